"""How a node is put together from its genesis, its folder and its plugins. PhotonError says what does not fit."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from attrs import frozen

from photon_core.api.consensus import CRASH_ONLY, Engine, EngineContext
from photon_core.api.errors import PhotonError
from photon_core.api.ids import Hash
from photon_core.api.market import Market, MarketContext
from photon_core.api.observer import ObserverContext
from photon_core.api.transport import Transport, TransportContext
from photon_core.chain.genesis import Genesis, Rule, RuleKind, chain_id
from photon_core.chain.keys import SigningKey
from photon_core.peers.requests import Peers
from photon_core.plugins import PluginManager
from photon_core.plugins.rules import Rule as PluginRule

from .config import NodeSettings
from .core import NodeCore
from .driver import Driver
from .feed import Feed
from .observers import Observers
from .signer import SIGNER_FOLDER, Signer
from .signer.store import RECOVER, has_joined, require_signer_store
from .storage import Storage


@frozen(kw_only=True)
class NodeSetup:
    """`consensus_key` None: a full node, which follows."""

    home: Path
    genesis: Genesis
    settings: NodeSettings
    plugins: PluginManager
    node_key: SigningKey
    consensus_key: SigningKey | None = None


def require_rules(plugins: PluginManager, genesis: Genesis) -> None:
    for kind, name in ((RuleKind.CONSENSUS, "consensus"), (RuleKind.MARKET, "market")):
        rules = [
            PluginRule(from_height=rule.from_height, name=rule.name, rules_version=rule.version)
            for rule in genesis.rules
            if rule.kind is kind
        ]
        plugins.require_rules(name, rules)
    plugins.load("transport", "observers")


def open_storage(setup: NodeSetup) -> Storage:
    """Blocking."""
    return Storage.open(
        setup.home / "chain",
        setup.genesis,
        partial(_market, setup.plugins),
        votes=setup.consensus_key is not None,
    )


def open_signer(setup: NodeSetup, storage: Storage) -> Signer | None:
    """Blocking. None for a full node. PhotonError when the signer's store or the engine's log is not what it must be.

    The two belong together: what the key signed is in the one, what the engine promised by it in the other. An engine
    that begins anew beside a store that does not would deny its promises, so its log may be empty at the first start
    only, and is not empty from then on.
    """
    if setup.consensus_key is None or storage.engine_log is None:
        return None
    folder, key, chain = setup.home / SIGNER_FOLDER, setup.consensus_key, chain_id(setup.genesis)
    if not storage.engine_log.is_begun:
        require_signer_store(folder, key, chain)  # else the store may only be away, and have been in use
        if has_joined(folder):
            raise PhotonError(
                code="engine-log-missing",
                what="the signer's store has been in use and the consensus engine's log beside it is empty: what this "
                "validator has promised the others is not known",
                where=str(storage.engine_log.folder),
                remedy=f"Put back nothing; {RECOVER}.",
            )
        storage.engine_log.begin()
    return Signer.open(key, folder, chain)


def _market(plugins: PluginManager, rule: Rule) -> Market:
    return plugins.make(
        "market", rule.name, MarketContext(config=None), table=dict(rule.config), rules_version=rule.version
    )


def make_transport(setup: NodeSetup) -> Transport:
    return setup.plugins.make(
        "transport",
        setup.plugins.choice.one("transport").name,
        TransportContext(node_seed=setup.node_key.seed, chain_id=chain_id(setup.genesis), config=None),
    )


def make_driver(setup: NodeSetup, storage: Storage, transport: Transport, signer: Signer | None) -> Driver:
    genesis, plugins = setup.genesis, setup.plugins
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
    parameters = storage.executor.exchange.parameters
    core = NodeCore(
        chain_id=storage.chain_id,
        validators=genesis.validator_set,
        own_key=own_key,
        engine=_make_engine(setup, storage.chain_id, storage.head.height + 1),
        executor=storage.executor,
        heartbeat_ms=parameters.heartbeat_ms,
        bound_ms=parameters.block_time_bound_ms,
    )
    observers = [
        plugins.make("observers", chosen.name, ObserverContext(config=None))
        for chosen in plugins.choice.of("observers")
    ]
    return Driver(
        core=core,
        genesis=genesis,
        storage=storage,
        peers=Peers(transport),
        signer=signer,
        observers=Observers(observers),
        feed=Feed(storage.head.height),
    )


def _make_engine(setup: NodeSetup, identity: Hash, height: int) -> Engine:
    genesis = setup.genesis
    rule = genesis.rule_at(RuleKind.CONSENSUS, height)
    record = setup.plugins.consensus(rule.name, rule.version)
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
    return setup.plugins.make(
        "consensus",
        rule.name,
        EngineContext(chain_id=identity, validators=genesis.validator_set, own_key=own_key, config=None),
        table=dict(rule.config),
        rules_version=rule.version,
    )
