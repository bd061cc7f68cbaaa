from collections.abc import Callable
from pathlib import Path

import pytest

from photon_core.sdl import Plan, SdlErrors, load

MARK = "§"

GOOD_2 = """\
version: "2.0"
services:
  db:
    image: redis:7
    expose:
      - port: 6379
        to: [{service: web}]
  web:
    image: nginx:1.27
    env: [A=1]
    dependencies: [{service: db}]
    expose:
      - port: 8080
        as: 80
        accept: [www.example.org]
        to: [{global: true}]
profiles:
  compute:
    large: {resources: {cpu: {units: 1}, memory: {size: 1Gi}, storage: {size: 1Gi}}}
    small: {resources: {cpu: {units: 0.5}, memory: {size: 512Mi}, storage: {size: 512Mi}}}
  placement:
    westcoast:
      attributes: {region: us-west}
      pricing:
        large: {denom: uptn, amount: 1000}
        small: {denom: uptn, amount: 500}
deployment:
  db: {westcoast: {profile: small, count: 1}}
  web: {westcoast: {profile: large, count: 2}}
"""

GOOD_01 = """\
version: "0.1"
services:
  db:
    image: redis:7
    expose: [{port: 6379, to: [{service: web}]}]
  web:
    image: nginx:1.27
    env: [A=1]
    depends-on: [{service: db}]
    expose: [{port: 8080, as: 80, accept: [www.example.org], to: [{global: true}]}]
profiles:
  compute:
    large: {cpu: 1, memory: 1Gi, disk: 1Gi}
    small: {cpu: 500m, memory: 512Mi, disk: 512Mi}
  infrastructure:
    westcoast:
      attributes: {region: us-west}
      pricing: {large: 0.6, small: 0.3}
deployment:
  db: {westcoast: {profile: small, count: 1}}
  web: {westcoast: {profile: large, count: 2}}
"""

OLDER_01 = """\
version: "0.1"
services:
  db:
    image: redis:7
    expose: {port: 6379, to: {service: web}}
  web:
    image: nginx:1.27
    env: [A=1]
    depends-on: {service: db}
    expose: [{port: 8080, as: 80, accept: [www.example.org]}]
deployment:
  datacenters:
    westcoast:
      region: us-west
      profiles:
        large: {compute: {cpu: 1, memory: 1Gi, disk: 1Gi}, pricing: {max-price: 0.6}}
        small: {compute: {cpu: 1/2, memory: 512Mi, disk: 512Mi}, pricing: {max-price: 0.3}}
  services:
    web: {westcoast: {profile: large, nodes: 2}}
    db: {westcoast: {profile: small, nodes: 1}}
"""

BASES = {"2.0": GOOD_2, "2.1": GOOD_2.replace('"2.0"', '"2.1"'), "0.1": GOOD_01, "older": OLDER_01}


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Plan]:
    """Load a text as a file."""

    def read(text: str) -> Plan:
        path = tmp_path / "photon.yml"
        path.write_text(text)
        return load(path)

    return read


@pytest.fixture
def refused(read: Callable[[str], Plan]) -> Callable[[str], SdlErrors]:
    def refused(text: str) -> SdlErrors:
        with pytest.raises(SdlErrors) as raised:
            read(text)
        return raised.value

    return refused


@pytest.fixture
def bases() -> dict[str, str]:
    return BASES
