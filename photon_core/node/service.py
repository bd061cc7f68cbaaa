"""A whole node, put together: genesis, disk, plugins, keys, links, HTTP; run until cancelled.

`run_node` is what `photon node start` and `photon validator start` call; the only difference is the consensus key.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, frozen

import photon_core
from photon_core.api.consensus import CRASH_ONLY, EngineContext
from photon_core.api.errors import PhotonError, UsageError
from photon_core.api.fields import to_json
from photon_core.api.ids import Hash, NodeKey
from photon_core.api.market import Market, MarketContext
from photon_core.api.observer import ObserverContext
from photon_core.api.transport import Standing, Transport, TransportContext
from photon_core.chain.genesis import Genesis, Rule, RuleKind, chain_id
from photon_core.chain.keys import SigningKey
from photon_core.exchange.events import Receipt
from photon_core.exchange.listings import Listings
from photon_core.exchange.state import Ledger
from photon_core.peers.requests import Peers
from photon_core.plugins import PluginManager
from photon_core.plugins.rules import Rule as PluginRule

from .config import CONFIG_FILE, NodeSettings, RunInfo, clear_run_info, parse_peer, write_run_info
from .core import NodeCore
from .driver import Driver
from .feed import Feed
from .http.app import make_app
from .http.server import serve_api
from .observers import Observers
from .signer import SIGNER_FOLDER, Signer
from .storage import Storage
from .views import BlockDetail, BlockEvents, NodeStatus, Submitted

if TYPE_CHECKING:
    from photon_core.node.http.surface import NodeSurface

log = logging.getLogger(__name__)

DIAL_AGAIN_S = 10.0
"""A configured peer that broke the protocol is given another chance this often; the transport backs off on its own."""


@frozen(kw_only=True)
class NodeSetup:
    """`consensus_key` None: a full node, which follows."""

    home: Path
    genesis: Genesis
    settings: NodeSettings
    plugins: PluginManager
    node_key: SigningKey
    consensus_key: SigningKey | None = None


@define
class RunningNode:
    """The node as its API sees it."""

    setup: NodeSetup
    driver: Driver
    storage: Storage
    feed: Feed
    addresses: tuple[str, ...] = ()

    def status(self) -> NodeStatus:
        head, core = self.storage.head, self.driver.core
        certificate = head.certificate
        return NodeStatus(
            version=photon_core.__version__,
            chain_id=core.chain_id,
            chain_name=self.setup.genesis.name,
            height=head.height,
            block_hash=head.block_hash,
            block_time_ms=head.time_ms,
            market_ms=self.storage.executor.exchange.market_ms,
            state_root=certificate.statement.state_root if certificate else self.storage.tree.root,
            best_height=max(head.height, core.sync.best_height),
            node_key=self.setup.node_key.public,
            addresses=self.addresses,
            peers=len(self.driver.peers.transport.links()),
            validator=core.own_key is not None,
            halted=core.halted[:1000],
        )

    def genesis_json(self) -> dict[str, Any]:
        return to_json(self.setup.genesis)

    def ledger(self) -> Ledger:
        return Ledger(self.storage.view)

    @property
    def listings(self) -> Listings:
        return self.storage.executor.exchange.listings

    async def submit(self, raw: Sequence[bytes], wait_s: float) -> tuple[Submitted, ...]:
        return await self.driver.submit(raw, wait_s)

    async def outcome(self, transaction_id: Hash) -> tuple[int, Receipt] | None:
        recent = self.feed.outcome(transaction_id)
        return recent or await trio.to_thread.run_sync(self.storage.archive.outcome, transaction_id)

    def is_waiting(self, transaction_id: Hash) -> bool:
        return self.driver.core.is_waiting(transaction_id)

    async def block(self, height: int) -> BlockDetail | None:
        return await trio.to_thread.run_sync(self.storage.archive.block_detail, height)

    async def block_events(self, height: int) -> BlockEvents | None:
        recent = self.feed.recent(height)
        return recent or await trio.to_thread.run_sync(self.storage.archive.block_events, height)


async def run_node(setup: NodeSetup, task_status: trio.TaskStatus[RunInfo] = trio.TASK_STATUS_IGNORED) -> None:
    """`started` with where it answers, once peers and clients can reach it. PhotonError when it cannot run."""
    plugins, genesis = setup.plugins, setup.genesis
    _require_rules(plugins, genesis)
    identity = chain_id(genesis)
    storage = await trio.to_thread.run_sync(_open_storage, setup)
    signer = None
    try:
        for note in storage.notes:
            log.warning("%s", note)
        if setup.consensus_key is not None:
            signer = Signer.open(setup.consensus_key, setup.home / SIGNER_FOLDER, identity)
            signer.open_gate()  # one validator alone has nobody to ask
        transport = plugins.make(
            "transport",
            plugins.choice.one("transport").name,
            TransportContext(node_seed=setup.node_key.seed, chain_id=identity, config=None),
        )
        driver = _make_driver(setup, storage, transport, signer, identity)
        node = RunningNode(setup, driver, storage, driver.feed)
        await _run(node, transport, task_status)
    finally:
        if signer is not None:
            signer.close()
        storage.close()


def _open_storage(setup: NodeSetup) -> Storage:
    return Storage.open(
        setup.home / "chain",
        setup.genesis,
        partial(_market, setup.plugins),
        votes=setup.consensus_key is not None,
    )


def _require_rules(plugins: PluginManager, genesis: Genesis) -> None:
    for kind, name in ((RuleKind.CONSENSUS, "consensus"), (RuleKind.MARKET, "market")):
        rules = [
            PluginRule(from_height=rule.from_height, name=rule.name, rules_version=rule.version)
            for rule in genesis.rules
            if rule.kind is kind
        ]
        plugins.require_rules(name, rules)
    plugins.load("transport", "observers")


def _market(plugins: PluginManager, rule: Rule) -> Market:
    return plugins.make(
        "market", rule.name, MarketContext(config=None), table=dict(rule.config), rules_version=rule.version
    )


def _make_driver(
    setup: NodeSetup, storage: Storage, transport: Transport, signer: Signer | None, identity: Hash
) -> Driver:
    genesis, plugins = setup.genesis, setup.plugins
    rule = genesis.rule_at(RuleKind.CONSENSUS, storage.head.height + 1)
    record = plugins.consensus(rule.name, rule.version)
    if CRASH_ONLY in record.capabilities and CRASH_ONLY not in genesis.allow:
        raise PhotonError(
            code="crash-only",
            what=f"consensus_{rule.name} survives crashes, not lies",
            where="genesis",
            expected=f'allow = ["{CRASH_ONLY}"]',
            found=f"allow = {list(genesis.allow)}",
            remedy="Choose another consensus plugin, or let genesis allow it (that makes another chain).",
        )
    own_key = setup.consensus_key.public if setup.consensus_key is not None else None
    if own_key is not None and not genesis.validator_set.power_of(own_key):
        raise PhotonError(
            code="not-a-validator",
            what="the consensus key of this folder is no validator's of this chain",
            where=str(setup.home),
            expected=f"one of {[v.key.hex()[:16] for v in genesis.validators]}",
            found=own_key.hex()[:16],
            remedy="Start it with `photon node start`, or use the genesis that names this key.",
        )
    engine = plugins.make(
        "consensus",
        rule.name,
        EngineContext(chain_id=identity, validators=genesis.validator_set, own_key=own_key, config=None),
        table=dict(rule.config),
        rules_version=rule.version,
    )
    core = NodeCore(
        chain_id=identity,
        validators=genesis.validator_set,
        own_key=own_key,
        engine=engine,
        executor=storage.executor,
        heartbeat_ms=storage.executor.exchange.parameters.heartbeat_ms,
        bound_ms=storage.executor.exchange.parameters.block_time_bound_ms,
    )
    observers = [
        plugins.make("observers", chosen.name, ObserverContext(config=None))
        for chosen in plugins.choice.of("observers")
    ]
    return Driver(core, storage, Peers(transport), signer, Feed(storage.head.height), Observers(observers))


async def _run(node: RunningNode, transport: Transport, task_status: trio.TaskStatus[RunInfo]) -> None:
    setup = node.setup
    async with trio.open_nursery() as nursery:
        await nursery.start(transport.run)
        dial: dict[NodeKey, list[str]] = {}
        for peer, address in map(parse_peer, setup.settings.peers):
            dial.setdefault(peer, []).append(address)
        transport.set_admission(partial(_admit, frozenset(dial)))
        nursery.start_soon(node.driver.peers.run)
        await nursery.start(node.driver.run)
        node.addresses = tuple([await _listen(transport, address, setup) for address in setup.settings.listen])
        nursery.start_soon(_keep_linked, transport, {peer: tuple(addresses) for peer, addresses in dial.items()})
        surface: NodeSurface = node
        url = await nursery.start(serve_api, make_app(surface), setup.settings.api)
        info = RunInfo(pid=os.getpid(), api=url, node_key=setup.node_key.public.hex(), addresses=node.addresses)
        write_run_info(setup.home, info)
        try:
            task_status.started(info)
            await trio.sleep_forever()
        finally:
            clear_run_info(setup.home)


async def _keep_linked(transport: Transport, configured: Mapping[NodeKey, tuple[str, ...]]) -> None:
    """Dials the configured peers, and once more those that were dropped for a breach: an operator named them."""
    while True:
        linked = {link.peer for link in transport.links()}
        for peer, addresses in configured.items():
            if peer not in linked:
                _dial(transport, peer, addresses)
        await trio.sleep(DIAL_AGAIN_S)


def _dial(transport: Transport, peer: NodeKey, addresses: tuple[str, ...]) -> None:
    try:
        transport.dial(peer, addresses)
    except ValueError as error:
        raise UsageError(
            code="bad-peer",
            where="[node] peers",
            what=f"{peer.hex()}@{', '.join(addresses)} cannot be dialled: {error}",
            remedy="`photon node status` of the peer prints the line to use",
        ) from None


async def _listen(transport: Transport, address: str, setup: NodeSetup) -> str:
    try:
        return await transport.listen(address)
    except (ValueError, OSError) as error:
        raise UsageError(
            code="cannot-listen",
            what=f"peers cannot be listened for at {address!r}: {error}",
            where=f"{setup.home / CONFIG_FILE} [node] listen",
            remedy="Stop what uses the address, or name another in the form of the transport plugin.",
        ) from None


def _admit(configured: frozenset[NodeKey], peer: NodeKey) -> Standing:
    """Anybody may follow a public ledger, but takes no place of a peer that the operator named. Channels of validators
    open with the engines that use them.
    """
    return Standing.PEER if peer in configured else Standing.FOLLOWER
