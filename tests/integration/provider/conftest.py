"""One network of real processes for this folder's tests, without a keeper: who gets a manifest is the tests' business.

Every test deploys for itself and waits for what it asks for; the network is shared, since making one takes seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

for folder in (Path(__file__).parents[2] / "e2e", Path(__file__).parent):  # `harness` and `deploying`: no packages here
    sys.path.append(str(folder))

from harness import Network  # noqa: E402 - found by what the loop adds

PARAMETERS = {
    "bidding_window_ms": 1_500,  # a busy machine's agents bid late
    "fault_timeout_ms": 15_000,  # long enough to look at a fault, short enough to wait for its end
    "manifest_timeout_ms": 8_000,
    "start_timeout_ms": 6_000,  # half of it is how long an agent waits for a declared port
}


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(tmp_path_factory.mktemp("providers") / "net", PARAMETERS).start()
    network.kill("keeper")
    yield network
    network.close()


@pytest.fixture
def write(tmp_path):
    """`write(name, service={...})`: a deployment file for provider-1, each service in one small instance."""

    def make(name: str = "file", region: str = "us-west", **services: dict) -> Path:
        body = {
            "version": "2.0",
            "services": {each: {"image": "photon.test/any:1", **rest} for each, rest in services.items()},
            "profiles": {
                "compute": {
                    "small": {
                        "resources": {"cpu": {"units": 0.02}, "memory": {"size": "64Mi"}, "storage": {"size": "32Mi"}}
                    }
                },
                "placement": {
                    "here": {
                        "attributes": {"region": region},
                        "pricing": {"small": {"denom": "uptn", "amount": 1000}},
                    }
                },
            },
            "deployment": {each: {"here": {"profile": "small", "count": 1}} for each in services},
        }
        file = tmp_path / f"{name}.yml"
        file.write_text(yaml.safe_dump(body, sort_keys=False))
        return file

    return make
