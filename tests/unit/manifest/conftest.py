import pytest

from photon_core.api.resources import Resources, ResourceUnit
from photon_core.manifest.plan import GroupPlan
from photon_core.manifest.records import Expose, Protocol, Section, Service, Target

SMALL = Resources(cpu_milli=100, memory_bytes=2**27, storage_bytes=2**26)


@pytest.fixture
def group() -> GroupPlan:
    web = Service(
        name="web",
        image="nginx:1.27",
        env=(("PASSWORD", "secret"),),
        count=2,
        resources=SMALL,
        depends_on=("db",),
        expose=(Expose(port=8080, as_port=80, protocol=Protocol.HTTP, hostnames=("a.org",), targets=(Target(),)),),
    )
    db = Service(
        name="db",
        image="redis:7",
        count=1,
        resources=SMALL,
        expose=(Expose(port=6379, as_port=6379, targets=(Target(service="web"),)),),
    )
    units = (ResourceUnit(resources=SMALL, count=1, max_price=5), ResourceUnit(resources=SMALL, count=2, max_price=7))
    return GroupPlan(section=Section(group="west", services=(db, web)), units=units, collateral_uptn=10)
