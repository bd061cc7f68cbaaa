"""The node's executor, of blocks: the exchange over the state, and the roots that follow from it.

One place joins the exchange (what happens), the state view (where it is kept until it is flushed) and the outcome (how
it is proved). Runs on one thread; reads between blocks see whole blocks only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from photon_core.api.chain import Header
from photon_core.api.ids import Address, Hash
from photon_core.chain.state_store import BlockResult
from photon_core.chain.transactions import Transaction
from photon_core.exchange.events import Event, Outcome, Receipt
from photon_core.exchange.machine import BlockContext, Exchange

from .mempool import Refusal, Standing
from .outcome import BlockOutcome, encode_outcome

Changes = tuple[tuple[bytes, bytes | None], ...]


class StateView(Protocol):
    """Executed state, flushed or not."""

    def get(self, key: bytes) -> bytes | None: ...

    def apply(self, result: BlockResult) -> None: ...


@frozen(kw_only=True)
class Executed:
    height: int
    market_ms: int
    begin_events: tuple[Event, ...]
    receipts: tuple[Receipt, ...]
    receipts_root: Hash
    changes: Changes


class Executor:
    def __init__(self, exchange: Exchange, state: StateView) -> None:
        self.exchange, self._state = exchange, state

    def execute(self, header: Header, transactions: Sequence[Transaction]) -> Executed:
        context = BlockContext(height=header.height, time_ms=header.time_ms, proposer=header.proposer)
        result = self.exchange.execute(context, transactions)
        market_ms = self.exchange.market_ms
        outcome = encode_outcome(
            BlockOutcome(market_ms=market_ms, begin_events=result.begin_events, receipts=result.receipts)
        )
        self._state.apply(
            BlockResult(
                height=header.height,
                changes=result.changes,
                receipts=outcome.data,
                transactions=tuple(
                    (receipt.transaction_id, index)
                    for index, receipt in enumerate(result.receipts)
                    if receipt.outcome is not Outcome.VOID
                ),
            )
        )
        return Executed(
            height=header.height,
            market_ms=market_ms,
            begin_events=result.begin_events,
            receipts=result.receipts,
            receipts_root=outcome.receipts_root,
            changes=result.changes,
        )

    def check(self, transaction: Transaction) -> Refusal | None:
        """Why the mempool should not take it, as far as state says now."""
        refused = self.exchange.check(transaction)
        return None if refused is None else Refusal(refused.code, refused.reason)

    def forget(self, transaction: Transaction) -> None:
        """The mempool did not take it all the same."""
        self.exchange.forget(transaction)

    def standing_of(self, sender: Address) -> Standing:
        account = self.exchange.ledger.account(sender)
        return Standing(sequence=account.sequence, balance_uptn=account.balance_uptn)

    def next_event_in_ms(self) -> int | None:
        """Market time until the next event falls due: as long in block time, while no step exceeds `max_gap`."""
        due_ms = self.exchange.next_due_ms()
        return None if due_ms is None else max(0, due_ms - self.exchange.market_ms)
