"""One lease as most tests of this room need it: `db` for `web` only, `web` for everybody."""

import pytest

from photon_core.api.ids import LeaseId
from photon_core.api.resources import Resources
from photon_core.manifest.records import Expose, Protocol, Section, Service, Target
from photon_core.testing.fakes.runtime import FakeRuntime

SMALL = Resources(cpu_milli=100, memory_bytes=2**27, storage_bytes=2**26)


@pytest.fixture
def lease() -> LeaseId:
    return LeaseId(17, 0, 1)


@pytest.fixture
def section() -> Section:
    """`web` waits for `db`, which it alone may reach; `other` may reach nothing."""
    db = Service(
        name="db",
        image="redis:7",
        command=("redis",),
        count=1,
        resources=SMALL,
        expose=(Expose(port=6379, as_port=5000, targets=(Target(service="web"),)),),
    )
    web = Service(
        name="web",
        image="nginx:1.27",
        command=("nginx",),
        count=2,
        resources=SMALL,
        depends_on=("db",),
        expose=(
            Expose(port=8080, as_port=80, protocol=Protocol.HTTP, hostnames=("shop.example",), targets=(Target(),)),
            Expose(port=9000, as_port=9000, targets=(Target(),)),
        ),
    )
    other = Service(name="other", image="busybox", command=("sleep",), count=1, resources=SMALL)
    return Section(group="west", services=(db, web, other))


@pytest.fixture
def runtime():
    fake = FakeRuntime()
    yield fake
    fake.close()
