"""One lease as most tests of this room need it: `db` for `web` only, `web` for everybody."""

from collections.abc import Callable

import pytest
import trio
from attrs import define, evolve

from photon_core import sdl
from photon_core.api import fields
from photon_core.api.ids import InstanceId, LeaseId, OrderId
from photon_core.api.pricing import Quote
from photon_core.api.resources import Resources, ResourceUnit
from photon_core.api.runtime import NETWORK_AGENT, InstanceState
from photon_core.api.transport import Standing
from photon_core.chain.keys import KeyPurpose, SigningKey, generate
from photon_core.exchange.messages import CloseDeployment, CreateDeployment, RegisterProvider, UpdateDeployment
from photon_core.exchange.records import UPTN_PER_PTN, Deployment, Group, GroupSpec, GroupState, Lease
from photon_core.manifest.records import Expose, Protocol, Section, Service, Target
from photon_core.manifest.versions import Manifest, SealedSection, seal_plan, section_hash
from photon_core.node.account import AccountSender
from photon_core.node.client import NodeUnreachable
from photon_core.node.views import LeaseDetail
from photon_core.peers import Peers
from photon_core.peers.authorization import EVERY_DEPLOYMENT, Authorization, Scope, sign_authorization
from photon_core.peers.errors import RemoteError
from photon_core.peers.methods import LeaseReport, LogChunk, Method
from photon_core.provider.driver import Agent
from photon_core.provider.gateway import Gateway
from photon_core.provider.manifests import Held
from photon_core.provider.parts import AgentOptions, AgentParts
from photon_core.sdl import Plan
from photon_core.testing.exchange import address
from photon_core.testing.fakes.chain import FakeChain
from photon_core.testing.fakes.runtime import FakeRuntime
from photon_core.testing.fakes.transport import linked_transports

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


# --- a whole agent ----------------------------------------------------------------------------------------------------

FILE = """\
version: "2.0"
services:
  db:
    image: photon.test/db:1
    command: [db]
    expose: [{port: 5432, to: [{service: web}]}]
  web:
    image: photon.test/web:1
    command: [web]
    dependencies: [{service: db}]
    expose: [{port: 8080, as: 80, to: [{global: true}]}]
profiles:
  compute:
    small: {resources: {cpu: {units: 0.1}, memory: {size: 128Mi}, storage: {size: 64Mi}}}
  placement:
    west:
      pricing: {small: {denom: uptn, amount: 1000}}
deployment:
  db: {west: {profile: small, count: 1}}
  web: {west: {profile: small, count: 1}}
"""
PATIENCE_S = 10.0


class NodesChain(FakeChain):
    """`away`: the node does not answer."""

    away = False

    async def status(self):
        if self.away:
            raise NodeUnreachable(self.url, "away")
        return await super().status()


class FixedPrice:
    def quote(self, request):
        return Quote(price=min(10**9, request.max_price))


class Clock:
    """The agent's, and the test's to turn."""

    def __init__(self):
        self.now_ms = 1_700_000_000_000

    def __call__(self):
        return self.now_ms


@define
class Tenant:
    """An account with a manifest: `deploy` orders, and `sealed` is what the winner must be given."""

    chain: FakeChain
    key: SigningKey
    plan: Plan
    manifest: Manifest | None = None

    @property
    def sealed(self) -> SealedSection:
        return self.manifest.sections[0]

    async def deploy(self) -> OrderId:
        manifest = self.manifest = seal_plan(self.plan.groups, chain_id=self.chain.chain_id)
        number = self.chain.world.exchange.ledger.status.next_deployment
        await AccountSender(self.chain, self.key).send(
            CreateDeployment(
                groups=manifest.groups, version=manifest.version, deposit_uptn=20 * UPTN_PER_PTN, persist=True
            )
        )
        return OrderId(number, 0, 0)

    async def update(self, lease: LeaseId, section: Section) -> None:
        """The deployment's only group has this section from now on; `held` gives it, nothing delivers it."""
        group = evolve(self.plan.groups[0], section=section)
        self.manifest = seal_plan([group], chain_id=self.chain.chain_id, previous=self.manifest)
        hashes = tuple(spec.section_hash for spec in self.manifest.groups)
        await AccountSender(self.chain, self.key).send(
            UpdateDeployment(deployment=lease.deployment, version=self.manifest.version, section_hashes=hashes)
        )

    async def close(self, lease: LeaseId) -> None:
        await AccountSender(self.chain, self.key).send(CloseDeployment(deployment=lease.deployment))

    def held(self) -> Held:
        hash_ = section_hash(self.chain.chain_id, self.sealed.salt, self.sealed.raw)
        return Held(salt=self.sealed.salt, raw=self.sealed.raw, section=self.sealed.section, hash=hash_)


@pytest.fixture
async def chain():
    async with NodesChain() as chain:
        yield chain


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def file_plan(tmp_path):
    path = tmp_path / "web.yml"
    path.write_text(FILE)
    return sdl.load(path)


@pytest.fixture
def tenant(chain, file_plan):
    key = generate(KeyPurpose.ACCOUNT)
    chain.give(key.address)
    return Tenant(chain, key, file_plan)


@pytest.fixture
def make_parts(chain, clock, runtime, tmp_path):
    """Of the registered provider `alpha`, over the fakes; each call is an agent that was started anew."""
    operator = generate(KeyPurpose.OPERATOR)
    chain.give(operator.address)
    chain.world.must(
        "alpha",
        RegisterProvider(operator=operator.address, node_key=bytes(32), addresses=("memory:alpha",), attributes=()),
    )
    folder = tmp_path / "agent"
    folder.mkdir()

    def make() -> AgentParts:
        return AgentParts(
            chain_id=chain.chain_id,
            provider=address("alpha"),
            node=chain,
            sender=AccountSender(chain, operator),
            runtime=runtime,
            capabilities=frozenset({NETWORK_AGENT}),
            pricing=FixedPrice(),
            folder=folder,
            now_ms=clock,
            options=AgentOptions(max_collateral_uptn=10 * UPTN_PER_PTN),
        )

    return make


@pytest.fixture
def until():
    """Waits for a condition of two arguments, agent and what to ask; asked again whenever the agent rings."""

    async def wait(agent: Agent, condition: Callable[[], object]) -> None:
        sleeper = agent.bell.sleeper()
        with trio.fail_after(PATIENCE_S):
            while not condition():
                await sleeper.wait(0.05)

    return wait


@pytest.fixture
async def agent(make_parts, nursery):
    agent = Agent(make_parts())
    await nursery.start(agent.run)
    return agent


@pytest.fixture
def win(agent, chain, tenant, until):
    """The agent's lease of the tenant's new deployment."""

    async def won() -> LeaseId:
        order = await tenant.deploy()
        await until(agent, lambda: chain.world.exchange.ledger.order(order).bidders)
        chain.end_bidding()
        await until(agent, lambda: any(detail.lease.id == order for detail in agent.view.leases))
        return order

    return won


# --- a link to it -----------------------------------------------------------------------------------------------------

ALL = Scope.DELIVER | Scope.STATUS | Scope.LOGS | Scope.EXEC


class Caller:
    """A stranger's end of a link to the agent."""

    def __init__(self, peers, provider_key, own_key, chain, clock, *, gateway, unplug):
        self.gateway, self.unplug = gateway, unplug
        self.peers, self.provider_key, self.key, self.chain, self.clock = peers, provider_key, own_key, chain, clock

    def paper(self, key, **changes):
        authorization = Authorization(
            chain_id=self.chain.chain_id,
            owner_key=key.public,
            caller=self.key,
            provider=address("alpha"),
            deployment=EVERY_DEPLOYMENT,
            scopes=int(ALL),
            expires_ms=self.clock.now_ms + 60_000,
        )
        return sign_authorization(key, evolve(authorization, **changes))

    async def call(self, method, request, reply):
        with trio.fail_after(10):
            plain = await self.peers.call(self.provider_key, method.value, fields.to_plain(request))
        return fields.from_plain(reply, plain)

    async def refusal(self, method, request):
        """The name of the refusal; a request that is granted fails the test."""
        with pytest.raises(RemoteError) as raised:
            await self.call(method, request, LeaseReport)
        return raised.value.code

    async def logs(self, request):
        found = []
        with trio.fail_after(10):
            async with self.peers.stream(self.provider_key, Method.LOGS.value, fields.to_plain(request)) as items:
                async for item in items:
                    found.append(fields.from_plain(LogChunk, item))  # noqa: PERF401 - a comprehension hides the stream
        return found


@pytest.fixture
async def caller(agent, chain, clock, nursery):
    ours, theirs = linked_transports(Standing.STRANGER)
    for transport in (ours, theirs):
        await nursery.start(transport.run)
    server, client = Peers(ours), Peers(theirs)
    gateway = Gateway(agent, server)
    await nursery.start(server.run)
    await nursery.start(client.run)
    await client.wait_link(ours.key, 5)
    return Caller(client, ours.key, theirs.key, chain, clock, gateway=gateway, unplug=theirs.disconnect)


@pytest.fixture
async def running(agent, runtime, tenant, win, until):
    """A lease whose two instances run."""
    lease = await win()
    await agent.take_section(lease, tenant.held())
    db = InstanceId(lease, "db", 0)
    await until(agent, lambda: db in runtime.worlds)
    with runtime.world(db).serve(5432):  # `web` waits for it
        await until(agent, lambda: sum(one.state is InstanceState.RUNNING for one in agent.observed or ()) == 2)
        yield lease
