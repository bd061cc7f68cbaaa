"""One lease as most tests of this room need it: `db` for `web` only, `web` for everybody."""

import pytest
from attrs import evolve

from photon_core.api.ids import LeaseId
from photon_core.api.resources import Resources, ResourceUnit
from photon_core.exchange.records import Deployment, Group, GroupSpec, GroupState, Lease
from photon_core.manifest.records import Expose, Protocol, Section, Service, Target
from photon_core.node.views import LeaseDetail
from photon_core.testing.fakes.runtime import FakeRuntime

SMALL = Resources(cpu_milli=100, memory_bytes=2**27, storage_bytes=2**26)

PROVIDER = bytes([7]) * 20
OWNER = bytes([9]) * 20


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


@pytest.fixture(scope="session")
def make_lease_factory():
    """A lease as the node answers for it; keyword arguments change the lease's record."""

    def make(of: LeaseId, **changes: object) -> LeaseDetail:
        group = GroupSpec(
            name="west",
            units=(ResourceUnit(resources=SMALL, count=4, max_price=100),),
            collateral_uptn=10,
            section_hash=bytes(32),
        )
        record = Lease(
            id=of,
            provider=PROVIDER,
            price=100,
            collateral_uptn=10,
            collateral_payer=PROVIDER,
            status_since_ms=0,
            origin_ms=0,
            matched_height=1,
            confirmed_ms=0,
        )
        return LeaseDetail(
            lease=evolve(record, **changes),
            group=Group(deployment=of.deployment, index=of.group, spec=group, state=GroupState.LEASED, orders=1),
            deployment=Deployment(
                id=of.deployment,
                owner=OWNER,
                version=bytes(32),
                persist=True,
                third_party_deposits=False,
                groups=1,
                depositors=(),
                created_ms=0,
                created_height=1,
            ),
            earned_uptn=0,
            confirmed_ms=0,
        )

    return make


@pytest.fixture
def make_lease(make_lease_factory, lease):
    def make(of: LeaseId = lease, **changes: object) -> LeaseDetail:
        return make_lease_factory(of, **changes)

    return make
