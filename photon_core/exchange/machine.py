"""The exchange: a deterministic machine that takes blocks and gives changes of state and receipts.

Theory of operation
-------------------
`execute` first fires what fell due, each event as of its own due time, and then the transactions, each as of the
block's market time. That moves on by the step of block time, but never by more than `max_gap_ms`, so that a halted
chain neither bills nor makes leases stale, and never past an event that is still to fire (see `due`).

A transaction is void (no fee, no change), failed (fee paid, sequence used, nothing else changed) or done. Before its
messages, what is overdue of the deployments that they touch is fired; those events stand whatever becomes of the
transaction, and are in its receipt.

Nothing here knows a clock, a disk or a random number; everything that can influence a result is a record in the state.
Timers and listings are derived from records, kept right by watching every write, and rebuilt by one scan at start.

    exchange = Exchange(reader, market_for=…, genesis=…)
    result = exchange.execute(BlockContext(…), transactions)
    # make the reader show result.changes, then the next block
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve, frozen

from photon_core.api.ids import Address, ConsensusKey
from photon_core.api.market import Market
from photon_core.chain.genesis import Genesis, Rule, RuleKind
from photon_core.exchange import due, keys
from photon_core.exchange.admission import ChainTransaction, Readings, read_message, unfit_reason, void_reason
from photon_core.exchange.events import Event, Outcome, Receipt
from photon_core.exchange.execution import Execution
from photon_core.exchange.handlers import HANDLERS, touched_deployments
from photon_core.exchange.listings import Listings
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import Account, BlockTime, ChainStatus, ValidatorRecord
from photon_core.exchange.refusals import Code, Refusal, Refused
from photon_core.exchange.schedule import Schedule
from photon_core.exchange.state import Ledger, Reader

Changes = tuple[tuple[bytes, bytes | None], ...]

FORGOTTEN_HEIGHTS_PER_BLOCK = 4
"""Each block adds one block time; forgetting a few per block catches up without one block paying for all."""


@frozen(kw_only=True)
class BlockContext:
    """What a header says that execution may depend on."""

    height: int
    time_ms: int
    proposer: ConsensusKey


@frozen(kw_only=True)
class BlockResult:
    """`begin_events` are those of the events that were due; `changes` in order of keys, None for what is gone."""

    begin_events: tuple[Event, ...]
    receipts: tuple[Receipt, ...]
    changes: Changes


class Exchange:
    """One chain's market. `market_for` makes the market of a rule of genesis, once per rule."""

    def __init__(self, reader: Reader, *, genesis: Genesis, market_for: Callable[[Rule], Market]) -> None:
        self._genesis = genesis
        self._market_for = market_for
        self._markets: dict[int, Market] = {}
        self._ledger = Ledger(reader, self._watch)
        self._readings = Readings()
        self.schedule = Schedule(self._ledger.parameters)
        self.schedule.rebuild(reader)
        self.listings = Listings()
        self.listings.rebuild(reader)

    # --- asking ------------------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> Parameters:
        return self._ledger.parameters

    @property
    def height(self) -> int:
        return self._ledger.status.height

    @property
    def market_ms(self) -> int:
        """Market time of the newest executed block."""
        return self._ledger.status.market_ms

    @property
    def ledger(self) -> Ledger:
        """For invariants and tests; to be read between blocks only."""
        return self._ledger

    def sequence_of(self, sender: Address) -> int:
        """What the sender's next transaction carries."""
        return self._ledger.account(sender).sequence

    def next_due_ms(self) -> int | None:
        """Market time at which the next event falls due; None when nothing waits for a time."""
        timer = self.schedule.next_due()
        return None if timer is None else timer.due_ms

    def market_time_at(self, block_time_ms: int) -> int:
        """The market time that a next block of this block time would have."""
        return _market_ms(self._ledger.status, block_time_ms, self.parameters)

    def check(self, transaction: ChainTransaction) -> Refusal | None:
        """Why a mempool should not take it, as far as the newest block tells. Changes no result of anything.

        A sequence ahead of the account's is let in: what comes before it may be on its way.
        """
        try:
            messages = [read_message(plain, index) for index, plain in enumerate(transaction.messages)]
        except Refused as refused:
            return refused.refusal
        refusal = unfit_reason(self._ledger, self.parameters, transaction, self.height + 1)
        if refusal is None:
            self._readings.remember(transaction, messages)
        return refusal

    def forget(self, transaction: ChainTransaction) -> None:
        """It passed `check` and is not kept: then what was read of it is not either."""
        self._readings.take(transaction)

    # --- executing ---------------------------------------------------------------------------------------------------

    def execute(self, context: BlockContext, transactions: Sequence[ChainTransaction]) -> BlockResult:
        """One block. `MarketBroken` and AssertionError halt the node; the exchange must not be used after."""
        self._ledger.applied()
        run = self._begin(context)
        self._advance(context, due.fire_due(run, run.now_ms))
        begin_events = tuple(run.events)
        receipts = tuple(self._transaction(run, transaction) for transaction in transactions)
        return BlockResult(begin_events=begin_events, receipts=receipts, changes=self._ledger.changes())

    def _begin(self, context: BlockContext) -> Execution:
        status = self._ledger.status
        assert context.height == status.height + 1, f"height {context.height} after {status.height}"
        assert context.time_ms > status.block_time_ms, f"block time {context.time_ms} after {status.block_time_ms}"
        return Execution(
            ledger=self._ledger,
            schedule=self.schedule,
            parameters=self.parameters,
            market_at=self._market_at,
            height=context.height,
            payee=self._payee_of(context.proposer),
            overdue_left=self.parameters.events_per_block,
            now_ms=self.market_time_at(context.time_ms),
        )

    def _advance(self, context: BlockContext, now_ms: int) -> None:
        """Puts down when it is."""
        status = self._ledger.status
        assert now_ms >= status.market_ms, f"market time {now_ms} after {status.market_ms}"
        self._ledger.put_status(
            evolve(
                status,
                height=context.height,
                block_time_ms=context.time_ms,
                market_ms=now_ms,
                oldest_height=self._forget_heights(status, now_ms),
            )
        )
        self._ledger.put(keys.block_time_key(context.height), BlockTime(market_ms=now_ms))

    def _forget_heights(self, status: ChainStatus, now_ms: int) -> int:
        """Drops block times that no ConfirmLeases may name any more; the oldest height that is kept."""
        oldest = status.oldest_height
        for _ in range(FORGOTTEN_HEIGHTS_PER_BLOCK):
            made_ms = self._ledger.block_market_ms(oldest)
            if oldest >= status.height or made_ms is None or made_ms >= now_ms - self.parameters.confirm_interval_ms:
                break
            self._ledger.put(keys.block_time_key(oldest), None)
            oldest += 1
        return oldest

    def _transaction(self, run: Execution, transaction: ChainTransaction) -> Receipt:
        refusal = void_reason(run.ledger, run.parameters, transaction, run.height)
        if refusal is not None:
            return Receipt(
                transaction_id=transaction.id,
                outcome=Outcome.VOID,
                fee_uptn=0,
                code=refusal.code,
                reason=refusal.reason,
            )
        run.events = []
        messages = self._readings.take(transaction)
        position = 0
        try:
            for position, plain in enumerate(() if messages else transaction.messages):
                messages.append(read_message(plain, position))
            for position, message in enumerate(messages):  # noqa: B007  # which one was refused
                for deployment in dict.fromkeys(touched_deployments(message)):
                    due.fire_overdue(run, deployment, run.now_ms)
        except Refused as refused:
            self._charge(run, transaction)
            return _failed(transaction, refused, position, tuple(run.events))
        self._charge(run, transaction)
        overdue_events = tuple(run.events)
        try:
            with run.ledger.savepoint():
                for position, message in enumerate(messages):  # noqa: B007  # likewise
                    HANDLERS[type(message)](run, transaction.sender, message)
                    _check_events(len(run.events) - len(overdue_events))
        except Refused as refused:
            return _failed(transaction, refused, position, overdue_events)
        return Receipt(
            transaction_id=transaction.id,
            outcome=Outcome.DONE,
            fee_uptn=transaction.fee_uptn,
            events=tuple(run.events),
        )

    def _charge(self, run: Execution, transaction: ChainTransaction) -> None:
        account = run.ledger.account(transaction.sender)
        left_uptn = account.balance_uptn - transaction.fee_uptn
        assert left_uptn >= 0, f"a transaction that cannot pay {transaction.fee_uptn} uptn is void"
        run.ledger.put_account(transaction.sender, Account(balance_uptn=left_uptn, sequence=account.sequence + 1))
        run.credit(run.payee, transaction.fee_uptn)

    def _payee_of(self, proposer: ConsensusKey) -> Address:
        validator: ValidatorRecord | None = self._ledger.get(keys.validator_key(proposer))
        assert validator is not None, f"the proposer {proposer.hex()} is no validator"
        return validator.payee

    def _market_at(self, height: int) -> Market:
        rule = self._genesis.rule_at(RuleKind.MARKET, height)
        if rule.from_height not in self._markets:
            self._markets[rule.from_height] = self._market_for(rule)
        return self._markets[rule.from_height]

    def _watch(self, key: bytes, before: Any, after: Any) -> None:
        if key[:1] == keys.ACCOUNT:  # most writes, and nothing is derived from balances
            return
        self.schedule.watch(key, before, after)
        self.listings.watch(key, before, after)


def _market_ms(status: ChainStatus, block_time_ms: int, parameters: Parameters) -> int:
    step_ms = max(0, block_time_ms - status.block_time_ms)
    return status.market_ms + min(step_ms, parameters.max_gap_ms)


def _check_events(events: int) -> None:
    if events > due.EVENTS_MAX:
        raise Refused(
            Code.TOO_MANY_EVENTS, f"one transaction causes at most {due.EVENTS_MAX} events; send it in smaller ones"
        )


def _failed(transaction: ChainTransaction, refused: Refused, message: int, events: tuple[Event, ...]) -> Receipt:
    refusal = refused.refusal
    return Receipt(
        transaction_id=transaction.id,
        outcome=Outcome.FAILED,
        fee_uptn=transaction.fee_uptn,
        code=refusal.code,
        reason=refusal.reason,
        message=message,
        events=events,
    )
