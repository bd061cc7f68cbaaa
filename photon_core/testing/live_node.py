"""A real node in the caller's process: real disk, real HTTP, links in memory. Needs the plugins installed.

chain = LiveChain(folder)
async with chain.client() as client:                     # a validator runs while the context is open
    await client.submit([chain.transaction(0)], wait_s=10)
async with chain.client() as client:                     # again, from what is on the disk
    …

network = LiveNetwork(folder, validators=4)              # with consensus_pbft
async with network.running():
    async with network.client(0) as client: …
    await network.stop(3)
    await network.start(3)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import evolve

from photon_core.chain.genesis import (
    Genesis,
    GenesisAccount,
    GenesisValidator,
    Rule,
    RuleKind,
    chain_id,
    make_genesis,
)
from photon_core.chain.keys import KeyPurpose, SigningKey, from_seed
from photon_core.chain.transactions import build_transaction
from photon_core.exchange.genesis import DEVELOPMENT, genesis_parameters
from photon_core.exchange.messages import MESSAGE, Message, Transfer
from photon_core.exchange.parameters import development
from photon_core.exchange.records import UPTN_PER_PTN
from photon_core.node.client import NodeClient
from photon_core.node.config import NodeSettings, RunInfo
from photon_core.node.service import NodeSetup, run_node
from photon_core.node.signer import SIGNER_FOLDER, make_signer_store
from photon_core.plugins import PluginManager, choose

CONSENSUS = from_seed(b"\x41" * 32, KeyPurpose.CONSENSUS)
NODE = from_seed(b"\x42" * 32, KeyPurpose.NODE)
RICH = from_seed(b"\x43" * 32, KeyPurpose.ACCOUNT)
"""Begins with 1 000 PTN, and gets the fees."""
POOR = from_seed(b"\x44" * 32, KeyPurpose.ACCOUNT)
"""Begins with 1 PTN."""
PLUGINS = ("consensus_solo", "market_auction", "transport_memory")
SOLO = Rule(kind=RuleKind.CONSENSUS, from_height=0, name="solo", version=1)


def live_genesis(
    name: str = "live", consensus: Rule = SOLO, validators: Sequence[GenesisValidator] | None = None
) -> Genesis:
    """One validator, no fees, everything quick: what `photon genesis create --development` makes."""
    lone = GenesisValidator(key=CONSENSUS.public, node_key=NODE.public, power=1, payee=RICH.address)
    return make_genesis(
        name=name,
        time_ms=1_700_000_000_000,
        rules=(
            Rule(kind=RuleKind.CODEC, from_height=0, name="photon", version=1),
            Rule(kind=RuleKind.EXCHANGE, from_height=0, name="photon", version=1),
            consensus,
            Rule(kind=RuleKind.MARKET, from_height=0, name="auction", version=1),
        ),
        validators=(lone,) if validators is None else tuple(validators),
        accounts=(
            GenesisAccount(address=RICH.address, balance_uptn=1_000 * UPTN_PER_PTN),
            GenesisAccount(address=POOR.address, balance_uptn=UPTN_PER_PTN),
        ),
        parameters=genesis_parameters(development()),
        allow=("crash-only", DEVELOPMENT),
    )


def live_setup(
    folder: Path,
    genesis: Genesis,
    *,
    name: str = "validator",
    network: str = "",
    node_key: SigningKey = NODE,
    consensus_key: SigningKey | None = CONSENSUS,
    settings: NodeSettings | None = None,
    plugins: Sequence[str] = PLUGINS,
) -> NodeSetup:
    """A node in `folder/name`, which is made; nodes of one `network` (the folder's, if not said) can meet."""
    home = folder / name
    home.mkdir(exist_ok=True)
    if consensus_key is not None and not (home / SIGNER_FOLDER).exists():
        make_signer_store(home / SIGNER_FOLDER, consensus_key)
    choice = choose(flag=tuple(plugins), environment={})
    return NodeSetup(
        home=home,
        genesis=genesis,
        settings=settings or NodeSettings(api="127.0.0.1:0", listen=("",)),
        plugins=PluginManager(choice, tables={"transport_memory": {"network": network or str(folder)}}),
        node_key=node_key,
        consensus_key=consensus_key,
    )


class LiveChain:
    """A folder, and the validator that runs from it while a context is open."""

    def __init__(self, folder: Path) -> None:
        self.genesis = live_genesis()
        self.setup = live_setup(folder, self.genesis)
        self.chain_id = chain_id(self.genesis)

    @asynccontextmanager
    async def start(self, **changes: Any) -> AsyncIterator[RunInfo]:
        """`changes` are those to the setup."""
        async with trio.open_nursery() as nursery:
            info: RunInfo = await nursery.start(run_node, evolve(self.setup, **changes))
            yield info
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def client(self, **changes: Any) -> AsyncIterator[NodeClient]:
        async with self.start(**changes) as info, NodeClient(info.api) as client:
            yield client

    def transaction(self, sequence: int, *messages: Message, key: SigningKey = RICH, **given: Any) -> bytes:
        """RICH pays POOR one uptn, unless told otherwise."""
        plain: list[Any] = [MESSAGE.to_plain(message) for message in messages or (transfer(),)]
        return build_transaction(
            key.seed,
            given.get("chain_id", self.chain_id),
            sequence,
            given.get("fee_uptn", 0),
            given.get("expires_height", 500),
            plain,
        )


def transfer(amount_uptn: int = 1) -> Transfer:
    return Transfer(to=POOR.address, amount_uptn=amount_uptn)


class LiveNetwork:
    """Validators under PBFT, each with a folder, that meet in memory; and nodes that follow them.

    Any of them can be stopped and started again while `running` is open. All are numbered, validators first.
    """

    def __init__(self, folder: Path, validators: int = 4, followers: int = 0, **rule: int) -> None:
        """`rule` is the consensus plugin's table in the genesis."""
        self.folder, self.validators = folder, validators
        keys = [from_seed(bytes([0x60 + n]) * 32, KeyPurpose.CONSENSUS) for n in range(validators)]
        nodes = [from_seed(bytes([0x80 + n]) * 32, KeyPurpose.NODE) for n in range(validators + followers)]
        self.genesis = live_genesis(
            "network",
            Rule(kind=RuleKind.CONSENSUS, from_height=0, name="pbft", version=1, config=tuple(sorted(rule.items()))),
            sorted(
                (
                    GenesisValidator(key=key.public, node_key=node.public, power=1, payee=RICH.address)
                    for key, node in zip(keys, nodes, strict=False)
                ),
                key=lambda validator: validator.key,
            ),
        )
        self.chain_id = chain_id(self.genesis)
        addresses = [f"{node.public.hex()}@memory:node-{n}" for n, node in enumerate(nodes[:validators])]
        self.setups = [
            live_setup(
                folder,
                self.genesis,
                name=f"node-{n}",
                node_key=node,
                consensus_key=keys[n] if n < validators else None,
                settings=NodeSettings(api="127.0.0.1:0", listen=(f"memory:node-{n}",), peers=tuple(addresses)),
                plugins=("consensus_pbft", "market_auction", "transport_memory"),
            )
            for n, node in enumerate(nodes)
        ]
        self.infos: dict[int, RunInfo] = {}
        self._scopes: dict[int, tuple[trio.CancelScope, trio.Event]] = {}
        self._nursery: trio.Nursery | None = None

    @asynccontextmanager
    async def running(self, *numbers: int) -> AsyncIterator[LiveNetwork]:
        """These run, or all."""
        async with trio.open_nursery() as self._nursery:
            async with trio.open_nursery() as starting:
                for number in numbers or range(len(self.setups)):
                    starting.start_soon(self.start, number)
            yield self
            self._nursery.cancel_scope.cancel()

    async def start(self, number: int) -> RunInfo:
        assert self._nursery is not None, "within `running` only"
        info: RunInfo = await self._nursery.start(self._run, number)
        self.infos[number] = info
        return info

    async def stop(self, number: int) -> None:
        """As a process that ends; what it has not synced is on its disk all the same."""
        scope, ended = self._scopes[number]
        scope.cancel()
        await ended.wait()

    async def _run(self, number: int, task_status: trio.TaskStatus[RunInfo]) -> None:
        ended = trio.Event()
        try:
            with trio.CancelScope() as scope:
                self._scopes[number] = (scope, ended)
                await run_node(self.setups[number], task_status)
        finally:
            ended.set()

    @asynccontextmanager
    async def client(self, number: int = 0) -> AsyncIterator[NodeClient]:
        async with NodeClient(self.infos[number].api) as client:
            yield client

    def transaction(self, sequence: int, *messages: Message, key: SigningKey = RICH) -> bytes:
        """RICH pays POOR one uptn, unless told otherwise."""
        plain: list[Any] = [MESSAGE.to_plain(message) for message in messages or (transfer(),)]
        return build_transaction(key.seed, self.chain_id, sequence, 0, 5_000, plain)
