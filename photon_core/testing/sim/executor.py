"""Executors for simulated nodes: a cheap one whose roots mean something, and the exchange.

The cheap one counts each sender's transactions: one with the right sequence is done, any other is void. Its state root
is a hash over all blocks that were executed and what became of each of their transactions, in order. So two nodes have
one root if, and only if, they have executed the same, each thing once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from photon_core.api import codec
from photon_core.api.chain import Header
from photon_core.api.fields import Plain
from photon_core.api.finality import block_hash
from photon_core.api.hashing import ZERO_HASH, digest
from photon_core.api.ids import Address, Hash
from photon_core.chain.genesis import Genesis
from photon_core.chain.transactions import Transaction
from photon_core.exchange.machine import Exchange
from photon_core.node.executor import Changes, Executed, Executor
from photon_core.node.mempool import Refusal, Standing
from photon_core.testing.exchange import LowestPrice
from photon_core.testing.node import NodeState

_ROOT, _RECEIPTS = "photon/sim-root/1", "photon/sim-receipts/1"
_RICH_UPTN = 2**60
"""Nobody is too poor for a fee here: that is the exchange's to test."""


class Machine(Protocol):
    """What executes a node's blocks, and the tree over its state."""

    executor: Executor

    def update(self, changes: Changes) -> Hash:
        """The state root after these changes."""
        ...


class CountingExecutor(Executor):
    """Takes the place of the exchange's; nothing of that is used."""

    def __init__(self) -> None:
        self._sequences: dict[Address, int] = {}

    def execute(self, header: Header, transactions: Sequence[Transaction]) -> Executed:
        outcomes: list[Plain] = [block_hash(header)]
        for transaction in transactions:
            done = transaction.sequence == self._sequences.get(transaction.sender, 0)
            if done:
                self._sequences[transaction.sender] = transaction.sequence + 1
            outcomes += [transaction.id, done]
        told = codec.encode(outcomes)
        return Executed(
            height=header.height,
            market_ms=header.time_ms,
            begin_events=(),
            receipts=(),
            receipts_root=digest(_RECEIPTS, told),
            changes=((b"block", told),),
        )

    def check(self, transaction: Transaction) -> Refusal | None:
        del transaction
        return None

    def forget(self, transaction: Transaction) -> None:
        """Nothing was read of it."""

    def standing_of(self, sender: Address) -> Standing:
        return Standing(sequence=self._sequences.get(sender, 0), balance_uptn=_RICH_UPTN)

    def next_event_in_ms(self) -> int | None:
        return None


class CountingMachine:
    def __init__(self, genesis: Genesis) -> None:
        del genesis
        self.executor: Executor = CountingExecutor()
        self._root = ZERO_HASH

    def update(self, changes: Changes) -> Hash:
        self._root = digest(_ROOT, self._root, *(value or b"" for _, value in changes))
        return self._root


class ExchangeMachine:
    """The real thing, in memory. A tree of 2^16 buckets makes its start some ten times dearer than a block."""

    def __init__(self, genesis: Genesis) -> None:
        self._state = NodeState(genesis)
        exchange = Exchange(self._state, genesis=genesis, market_for=lambda _rule: LowestPrice())
        self.executor = Executor(exchange, self._state)

    def update(self, changes: Changes) -> Hash:
        return self._state.tree.update(changes)
