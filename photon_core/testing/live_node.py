"""A real node in the caller's process: real disk, real HTTP, links in memory. Needs the plugins installed.

chain = LiveChain(folder)
async with chain.client() as client:                     # a validator runs while the context is open
    await client.submit([chain.transaction(0)], wait_s=10)
async with chain.client() as client:                     # again, from what is on the disk
    …
"""

from __future__ import annotations

from collections.abc import AsyncIterator
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


def live_genesis(name: str = "live") -> Genesis:
    """One validator, no fees, everything quick: what `photon genesis create --development` makes."""
    return make_genesis(
        name=name,
        time_ms=1_700_000_000_000,
        rules=(
            Rule(kind=RuleKind.CODEC, from_height=0, name="photon", version=1),
            Rule(kind=RuleKind.EXCHANGE, from_height=0, name="photon", version=1),
            Rule(kind=RuleKind.CONSENSUS, from_height=0, name="solo", version=1),
            Rule(kind=RuleKind.MARKET, from_height=0, name="auction", version=1),
        ),
        validators=(GenesisValidator(key=CONSENSUS.public, node_key=NODE.public, power=1, payee=RICH.address),),
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
) -> NodeSetup:
    """A node in `folder/name`, which is made; nodes of one `network` (the folder's, if not said) can meet."""
    home = folder / name
    home.mkdir(exist_ok=True)
    if consensus_key is not None and not (home / SIGNER_FOLDER).exists():
        make_signer_store(home / SIGNER_FOLDER, consensus_key)
    choice = choose(flag=PLUGINS, environment={})
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
