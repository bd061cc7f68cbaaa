"""A provider's gateway on a real link, over a chain that is a real exchange in memory (`FakeChain`).

`alpha` is `photon_core.provider.gateway` over `transport_memory`, so authorizations, section hashes and refusals are
those that tenants meet; only what its workloads do is made up.
"""

import pytest
import trio

from photon_core import sdl
from photon_core.api.ids import InstanceId
from photon_core.api.transport import TransportContext
from photon_core.chain import keys
from photon_core.chain.keys import KeyPurpose
from photon_core.exchange.messages import RegisterProvider
from photon_core.exchange.records import LeaseStatus
from photon_core.node.account import AccountSender
from photon_core.peers.errors import Refusal
from photon_core.peers.methods import Endpoint
from photon_core.peers.requests import Peers
from photon_core.provider.driver import Agent
from photon_core.provider.gateway import Gateway
from photon_core.provider.parts import AgentOptions, AgentParts
from photon_core.provider.reconcile import Judgement
from photon_core.tenant.client import open_tenant
from photon_core.tenant.papers import unix_ms
from photon_core.testing.exchange import address
from photon_core.testing.fakes.chain import FakeChain
from photon_core.testing.fakes.runtime import FakeRuntime

FILE = """\
version: "2.0"
services:
  web:
    image: photon.test/web:1
    env: [SECRET=hush]
    expose: [{port: 80, to: [{global: true}]}]
profiles:
  compute:
    small: {resources: {cpu: {units: 0.1}, memory: {size: 128Mi}, storage: {size: 64Mi}}}
  placement:
    west:
      attributes: {region: west}
      pricing: {small: {denom: uptn, amount: 1000}}
deployment:
  web: {west: {profile: small, count: 1}}
"""


class Provider:
    """The real gateway over an agent that does not run: the test says how its leases are (`say`, `serves`) and bids.

    `refuse_with`: what it refuses the next deliveries with; `callers`: the node keys that got an answer; `sections`:
    what was delivered, by lease.
    """

    def __init__(self, chain, name, make_transport, folder):
        self.chain, self.name = chain, name
        self.key = keys.generate(KeyPurpose.NODE)
        self.operator = keys.generate(KeyPurpose.OPERATOR)
        self.address = f"memory:{name}"
        self.peers = Peers(make_transport(self.key.seed, chain.chain_id))
        self.runtime = FakeRuntime()
        self.agent = Agent(
            AgentParts(
                chain_id=chain.chain_id,
                provider=address(name),
                node=chain,
                sender=AccountSender(chain, self.operator),
                runtime=self.runtime,
                capabilities=frozenset(),
                pricing=None,
                folder=folder,
                now_ms=unix_ms,
                options=AgentOptions(max_collateral_uptn=0),
            )
        )
        self.agent.fabric = self.ingress = Ingress()
        self.sections, self.refuse_with, self.callers = self.agent.held, [], []
        self.delivered = trio.Event()
        WatchedGateway(self)

    def register(self, attributes=(("region", "west"),)):
        self.chain.world.must(
            self.name,
            RegisterProvider(
                operator=address(f"{self.name}-op"),
                node_key=self.key.public,
                addresses=(self.address,),
                attributes=attributes,
            ),
        )

    async def run(self, task_status=trio.TASK_STATUS_IGNORED):
        async with trio.open_nursery() as nursery:
            self.agent.nursery = nursery
            await nursery.start(self.peers.transport.run)
            await nursery.start(self.peers.run)
            await self.peers.transport.listen(self.address)
            task_status.started()

    def serves(self, lease):
        """The workload of the lease serves from now on."""
        self.ingress.open[lease] = (
            Endpoint(
                service="web", port=80, protocol=1, address="127.0.0.1", external_port=8080, hostnames=("web.example",)
            ),
        )
        self.say(lease, LeaseStatus.SERVING)

    def say(self, lease, status, reason=""):
        self.agent.judgements[lease] = Judgement(status=status, reason=reason)

    def logged(self, lease, service, data):
        self.runtime.logged[InstanceId(lease, service, 0)] = data


class Ingress:
    """What a lease report asks of the provider's network."""

    def __init__(self):
        self.open = {}

    def endpoints(self, lease):
        return self.open.get(lease, ())

    def refused(self, _lease):
        return ()

    def notes(self, _lease):
        return ()


class WatchedGateway(Gateway):
    def __init__(self, provider):
        self._provider = provider
        super().__init__(provider.agent, provider.peers)

    async def deliver(self, caller, params):
        if self._provider.refuse_with:
            raise Refusal(self._provider.refuse_with.pop(0), "not now")
        answer = await super().deliver(caller, params)
        self._provider.callers.append(caller)
        self._provider.delivered.set()
        return answer

    async def status(self, caller, params):
        answer = await super().status(caller, params)
        self._provider.callers.append(caller)
        return answer


@pytest.fixture
def make_transport():
    """(seed, chain id) → a transport of a memory network of this test's own."""
    plugin = pytest.importorskip("photon_transport_memory.plugin", reason="needs the plugin transport_memory")
    network = pytest.importorskip("photon_transport_memory.network").MemoryNetwork()
    return lambda seed, chain_id: plugin.make(TransportContext(node_seed=seed, chain_id=chain_id, config=network))


@pytest.fixture
async def chain():
    async with FakeChain() as chain:
        yield chain


@pytest.fixture
async def make_provider(chain, make_transport, nursery, tmp_path):
    made = []

    async def make(name):
        folder = tmp_path / name
        folder.mkdir()
        made.append(Provider(chain, name, make_transport, folder))
        made[-1].register()
        await nursery.start(made[-1].run)
        return made[-1]

    yield make
    for provider in made:
        provider.runtime.close()


@pytest.fixture
async def alpha(make_provider):
    return await make_provider("alpha")


@pytest.fixture
def owner(chain):
    key = keys.generate(KeyPurpose.ACCOUNT)
    chain.give(key.address)
    return key


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "web.yml"
    path.write_text(FILE)
    return sdl.load(path)


@pytest.fixture
async def tenant(chain, owner, tmp_path, make_transport):
    async with open_tenant(chain, owner, home=tmp_path / "home", make_transport=make_transport) as tenant:
        yield tenant
