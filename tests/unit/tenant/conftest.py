"""A provider's gateway on a real link, over a chain that is a real exchange in memory (`FakeChain`).

`alpha` serves the methods of `peers.methods` over `transport_memory`, and checks authorizations and section hashes as
an agent does.
"""

import pytest
import trio

from photon_core import sdl
from photon_core.api import fields
from photon_core.api.transport import TransportContext
from photon_core.chain import keys
from photon_core.chain.keys import KeyPurpose
from photon_core.exchange.messages import RegisterProvider
from photon_core.exchange.records import LeaseStatus
from photon_core.manifest.versions import section_hash
from photon_core.peers.authorization import Demand, Scope, check_authorization
from photon_core.peers.errors import Refusal
from photon_core.peers.methods import (
    Delivered,
    DeliverRequest,
    Endpoint,
    LeaseReport,
    LogChunk,
    LogsRequest,
    Method,
    StatusRequest,
)
from photon_core.peers.requests import Peers, everyone
from photon_core.tenant.client import open_tenant
from photon_core.tenant.papers import unix_ms
from photon_core.testing.exchange import address
from photon_core.testing.fakes.chain import FakeChain

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


class Gateway:
    """A provider's end of the link. `reports`: what it says of each lease; `refuse_with`: what it refuses with next."""

    def __init__(self, chain, name, make_transport):
        self.chain, self.name, self.provider = chain, name, address(name)
        self.key = keys.generate(KeyPurpose.NODE)
        self.address = f"memory:{name}"
        self.peers = Peers(make_transport(self.key.seed, chain.chain_id))
        self.sections, self.reports, self.callers = {}, {}, []
        self.refuse_with = []
        self.delivered = trio.Event()
        self.peers.serve(Method.DELIVER, self._deliver, allow=everyone, max_params_bytes=2**21)
        self.peers.serve(Method.STATUS, self._status, allow=everyone)
        self.peers.serve(Method.LOGS, self._logs, allow=everyone)

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
            await nursery.start(self.peers.transport.run)
            await nursery.start(self.peers.run)
            await self.peers.transport.listen(self.address)
            task_status.started()

    def serves(self, lease):
        """The workload of the lease serves from now on."""
        endpoint = Endpoint(
            service="web", port=80, protocol=1, address="127.0.0.1", external_port=8080, hostnames=("web.example",)
        )
        self.say(lease, LeaseStatus.SERVING, endpoints=(endpoint,))

    def say(self, lease, status, reason="", endpoints=()):
        self.reports[lease] = LeaseReport(
            lease=lease, status=status, reason=reason, services=(), endpoints=endpoints, refused=(), notes=()
        )

    async def _check(self, peer, request, scope):
        detail = await self.chain.lease(request.lease)
        if detail is None or detail.lease.provider != self.provider:
            raise Refusal("unknown-lease", f"lease {request.lease}")
        try:
            check_authorization(
                request.authorization,
                Demand(
                    chain_id=self.chain.chain_id,
                    caller=peer,
                    provider=self.provider,
                    deployment=request.lease.deployment,
                    owner=detail.deployment.owner,
                    scope=scope,
                    now_ms=unix_ms(),
                ),
            )
        except Exception as error:
            raise Refusal(error.code, error.what) from error
        self.callers.append((peer, scope))
        return detail

    async def _deliver(self, peer, params):
        request = fields.from_plain(DeliverRequest, params)
        detail = await self._check(peer, request, Scope.DELIVER)
        if self.refuse_with:
            raise Refusal(self.refuse_with.pop(0), "not now")
        if section_hash(self.chain.chain_id, request.salt, request.section) != detail.group.spec.section_hash:
            raise Refusal("wrong-version", "another section")
        news = self.sections.get(request.lease) != request.section
        self.sections[request.lease] = request.section
        if self.reports.get(request.lease) is None:
            self.say(request.lease, LeaseStatus.STARTING)
        self.delivered.set()
        return fields.to_plain(Delivered(news=news))

    async def _status(self, peer, params):
        request = fields.from_plain(StatusRequest, params)
        await self._check(peer, request, Scope.STATUS)
        if request.lease not in self.reports:
            self.say(request.lease, LeaseStatus.AWAITING_MANIFEST)
            report = self.reports.pop(request.lease)
        else:
            report = self.reports[request.lease]
        return fields.to_plain(report)

    async def _logs(self, peer, params):
        request = fields.from_plain(LogsRequest, params)
        await self._check(peer, request, Scope.LOGS)
        for line in (b"one\n", b"two\n"):
            yield fields.to_plain(LogChunk(service="web", ordinal=0, data=line))


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
async def alpha(chain, make_transport, nursery):
    gateway = Gateway(chain, "alpha", make_transport)
    gateway.register()
    await nursery.start(gateway.run)
    return gateway


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
