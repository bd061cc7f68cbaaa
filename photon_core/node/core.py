"""The node's core: inputs in, effects out. No clock, no socket, no disk, no randomness.

Theory of operation
-------------------
Blocks reach the head by one of two ways and then go the same road (`pipeline`):

    ordered by the engine (`ordering`, Commit) ──┐
                                                 ├─► pipeline: written, executed, signed for, certified ─► Publish
    certified by others (`sync`, Blocks)       ──┘                                                            │
                                                                        BlockFinal to the engine, next block ◄┘

Every validator signs a finality statement for each block that it has executed and tells it to the others; a quorum of
these (`gathering`) is the block's certificate. They may be lost: they are told again on a timer and to a validator that
comes back, until the certificate is there.

A follower knows peers' heights (PeerHead), fetches what it lacks from one peer at a time, and takes blocks that are
gossiped as they come. Transactions go the other way: each node keeps what it has admitted until a block has it, and
tells it to the validators (or, if it knows none, to its peers) once, and again if it waits for long. What a validator
tells another is not told on: validators are all linked to each other.

Execution is the exchange's and happens here, on the caller's thread: it is plain computation over values. Everything
slow (signatures, fsync, the tree) is an effect.
"""

from __future__ import annotations

from itertools import islice
from typing import assert_never

from attrs import define, field

from photon_core.api import consensus
from photon_core.api.chain import Block, ValidatorSet
from photon_core.api.errors import LocalProtocolError
from photon_core.api.finality import block_hash
from photon_core.api.ids import ConsensusKey, Hash, NodeKey
from photon_core.chain.transactions import Transaction

from . import steps
from .building import Builder
from .executor import Executor
from .gathering import Gathering
from .heads import Heads
from .mempool import Mempool, Refusal
from .ordering import Ordering
from .pipeline import BlockOnItsWay, Contradiction, Pipeline
from .sync import Sync
from .work import Work

TELL_AGAIN_BLOCKS = 16
"""Gossip may be lost when a peer is busy: what still waits after so many blocks is told again, the oldest first."""
TELL_AGAIN_MAX = 500
RESEND_MS = 500
"""A lost statement, or head, delays a certificate by this; a validator has at most a window of them to send."""

_Peers = steps.ClockTicked | steps.PeerAppeared | steps.PeerVanished | steps.PeerHead | steps.BlocksArrived
_Ordering = steps.MessageArrived | steps.ContentArrived | steps.SlotSigned | steps.SlotRefused | steps.RecordsPersisted


@define
class NodeCore:
    chain_id: Hash
    validators: ValidatorSet
    own_key: ConsensusKey | None
    engine: consensus.Engine
    executor: Executor
    heartbeat_ms: int
    bound_ms: int
    mempool: Mempool = field(factory=Mempool)
    sync: Sync = field(factory=Sync)
    halted: str = ""
    pipeline: Pipeline = field(init=False)
    ordering: Ordering = field(init=False)
    gathering: Gathering = field(init=False)
    _work: Work = field(init=False)
    _started: bool = False
    _linked: dict[NodeKey, ConsensusKey] = field(factory=dict)
    """The validators among our peers."""
    _heads: Heads = field(factory=Heads)
    _told_of_work: bool = False
    """Whether the engine was told so by the newest step."""
    _resend_at_ms: int = 0
    _effects: list[steps.Effect] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.gathering = Gathering(self.validators)

    def handle(self, event: steps.Input, now: steps.Now) -> tuple[steps.Effect, ...]:
        """One input; the effects in the order in which they are to be begun."""
        if not self._started and not isinstance(event, steps.Started):
            raise LocalProtocolError(f"the first input must be Started, not {type(event).__name__}")
        if not self.halted:
            try:
                self._dispatch(event, now)
                self._go_on(now)
            except Contradiction as contradiction:
                self._halt(str(contradiction))
        elif isinstance(event, steps.TransactionsArrived) and event.ticket is not None:
            self._emit(self._answer_halted(event))
        effects, self._effects = tuple(self._effects), []
        return effects

    def wake_in_ms(self, now: steps.Now) -> int:
        """When ClockTicked is wanted at the latest."""
        if not self._started or self.halted:
            return self.heartbeat_ms
        times = [self.heartbeat_ms]
        if self._votes:
            if (work := self._work.due_in_ms(now)) > 0 or not self._told_of_work:
                times.append(work)  # else the engine knows of it, and something else must come
            unsettled = self.pipeline or self.mempool or self.sync.best_height > self.head_height
            if unsettled or self._heads.is_news(self.head_height):
                times.append(self._resend_at_ms - now.monotonic_ms)
        if (due := self.ordering.due_in_ms(now)) is not None:
            times.append(due)
        return max(1, min(times))

    @property
    def head(self) -> steps.Head | None:
        return self.pipeline.head if self._started else None

    @property
    def head_height(self) -> int:
        return self.pipeline.head.height if self._started else 0

    @property
    def _votes(self) -> bool:
        return self.own_key is not None

    def is_waiting(self, transaction_id: Hash) -> bool:
        """It is here and has no certificate yet: in the mempool, or in a block on its way."""
        return transaction_id in self.mempool or any(
            transaction.id == transaction_id for one in self.pipeline for transaction in one.transactions
        )

    def content(self, name: Hash, ids: tuple[Hash, ...] | None) -> tuple[bytes, ...] | None:
        """For other validators: a block that is not final yet, whole and in order (ids None), or as many of the named
        transactions as are here. None: nothing.
        """
        found = self.ordering.contents.transactions(name)
        if ids is None:
            return None if found is None else tuple(t.raw for t in found)
        inside = {t.id: t for t in found or ()}
        wanted = (inside.get(one) or self.mempool.get(one) for one in ids)
        return tuple(t.raw for t in wanted if t is not None) or None

    # --- dispatch ------------------------------------------------------------------------------------------------

    def _dispatch(self, event: steps.Input, now: steps.Now) -> None:
        match event:
            case steps.Started():
                self._start(event, now)
            case steps.TransactionsArrived():
                self._transactions_arrived(event, now)
            case (
                steps.ClockTicked()
                | steps.PeerAppeared()
                | steps.PeerVanished()
                | steps.PeerHead()
                | steps.BlocksArrived()
            ):
                self._keep_up(event, now)
                coming = self._votes and bool(self.pipeline or self.ordering.in_flight(now))
                self._emit(*self.sync.step(self.head_height, now.monotonic_ms, coming=coming))
            case (
                steps.MessageArrived()
                | steps.ContentArrived()
                | steps.SlotSigned()
                | steps.SlotRefused()
                | steps.RecordsPersisted()
            ):
                self._order(event, now)
            case steps.BlockWritten():
                self.mempool.settle(self.pipeline.block_written(event.height), self.executor.standing_of)
            case steps.TreeUpdated():
                self.pipeline.tree_updated(event.height, event.state_root)
                self._certify(event.height)
            case steps.StatementSigned():
                self._statement_signed(event)
            case steps.StatementArrived():
                self._heads.heard(event.signature.validator, event.statement.height)
                self._gather(event)
            case steps.SigningRefused():
                if not event.abstains:  # else others' statements make the certificate
                    self._halt(f"the signer refused the statement of height {event.height}: {event.reason}")
            case steps.CertificateWritten():
                self.pipeline.certificate_written(event.height)
            case _:
                assert_never(event)

    def _keep_up(self, event: _Peers, now: steps.Now) -> None:
        """What peers have, and what they are told when they appear."""
        match event:
            case steps.PeerAppeared():
                self._appeared(event)
            case steps.PeerVanished():
                self._linked.pop(event.peer, None)
                self.sync.vanished(event.peer)
            case steps.PeerHead():
                self.sync.heard(event.peer, event.height)
            case steps.BlocksArrived():
                self.sync.arrived(event.peer, event.blocks, self.head_height, fetched=event.fetched)
            case steps.ClockTicked():
                self.ordering.tick(tuple(sorted(self._linked.values())), now)
                if now.monotonic_ms >= self._resend_at_ms:
                    self._resend_at_ms = now.monotonic_ms + RESEND_MS
                    self._tell_statements(None)
                    if self._votes:
                        self._emit(*self._heads.again(self.head_height, self._linked))
                    if self._votes and not self.ordering.in_flight(now):  # the proposer may not have heard of them
                        self._tell_again(self.head_height)
            case _:
                assert_never(event)

    def _appeared(self, event: steps.PeerAppeared) -> None:
        self.sync.appeared(event.peer)
        self._emit(steps.GossipHead(height=self.head_height, only=event.peer))
        if event.validator is not None:
            self._linked[event.peer] = event.validator
            self._heads.appeared(event.validator)
            self._tell_statements(event.validator)
        elif self._votes:
            return  # followers get blocks; what waits is of use to those who order
        if waiting := tuple(self.mempool.waiting()):
            self._emit(steps.GossipTransactions(transactions=waiting, only=event.peer))

    def _order(self, event: _Ordering, now: steps.Now) -> None:
        """What the engine waits for."""
        match event:
            case steps.MessageArrived(sender=sender, message=message):
                self.ordering.step(consensus.Received(sender=sender, message=message), now)
            case steps.ContentArrived(block_hash=name, transactions=transactions):
                if (found := self.ordering.contents.answered(name, transactions, now.monotonic_ms)) is not None:
                    self.ordering.found(found, now)
            case steps.SlotSigned(slot=slot, signature=signature):
                self.ordering.step(consensus.Signed(slot=slot, signature=signature), now)
            case steps.SlotRefused(slot=slot, reason=reason):
                self.ordering.step(consensus.SignatureRefused(slot=slot, reason=reason), now)
            case steps.RecordsPersisted(token=token):
                self.ordering.persisted(token, now)
            case _:
                assert_never(event)

    def _go_on(self, now: steps.Now) -> None:
        """Whatever came in: publish what is through, take the next block that waits, or make one if it is time."""
        while (one := self.pipeline.next_final()) is not None:
            self._publish(one, now)
        if (certified := self.sync.next_block(self.head_height)) is not None:
            if self.pipeline:
                self.pipeline.certify(certified.certificate)
            else:
                self.pipeline.take(certified.block, certified.transactions, certified.certificate)
        self._told_of_work = self._votes and self._work.due_in_ms(now) <= 0
        if self._told_of_work:
            self.ordering.step(consensus.WorkWaiting(), now)

    def _emit(self, *effects: steps.Effect) -> None:
        self._effects.extend(effects)

    # --- start ---------------------------------------------------------------------------------------------------

    def _start(self, event: steps.Started, now: steps.Now) -> None:
        self.pipeline = Pipeline(
            chain_id=self.chain_id,
            validators=self.validators,
            executor=self.executor,
            head=event.head,
            signs=self._votes,
            emit=self._emit,
        )
        self.ordering = Ordering(
            engine=self.engine,
            validators=self.validators,
            chain=self.pipeline,
            mempool=self.mempool,
            bound_ms=self.bound_ms,
            emit=self._emit,
            build=Builder(self.validators, self.own_key, self.mempool).build,
            commit=self._commit,
        )
        self._work = Work(self.mempool, self.executor, self.pipeline, self.ordering, self.heartbeat_ms)
        self._started = True
        for block, transactions in event.contents:
            if block.header.height > event.head.height:
                self.ordering.contents.keep(block_hash(block.header), block.header, transactions)
        for block, transactions in event.uncertified:
            self.pipeline.resume(block, transactions)
        self.ordering.step(
            consensus.Restored(
                records=event.engine_records,
                height=event.head.height,
                block_hash=event.head.block_hash,
                certificate=event.head.certificate,
            ),
            now,
        )

    # --- transactions --------------------------------------------------------------------------------------------

    def _transactions_arrived(self, event: steps.TransactionsArrived, now: steps.Now) -> None:
        refusals, fresh = [], []
        for transaction in event.transactions:
            known = transaction.id in self.mempool
            refusal = None if known else self._admit(transaction)
            refusals.append(refusal)
            if refusal is None and not known:
                fresh.append(transaction)
        if event.ticket is not None:
            self._emit(steps.Answer(ticket=event.ticket, refusals=tuple(refusals)))
        if fresh and not (self._votes and event.source in self._linked):
            self._emit(steps.GossipTransactions(transactions=tuple(fresh), besides=event.source))
        for found in self.ordering.contents.gossiped(event.transactions):
            self.ordering.found(found, now)

    def _admit(self, transaction: Transaction) -> Refusal | None:
        if (refusal := self.executor.check(transaction)) is not None:
            return refusal
        standing = self.executor.standing_of(transaction.sender)
        if (refusal := self.mempool.add(transaction, standing, self.head_height)) is not None:
            self.executor.forget(transaction)
        return refusal

    def _answer_halted(self, event: steps.TransactionsArrived) -> steps.Answer:
        assert event.ticket is not None
        refusal = Refusal("node-halted", f"this node has stopped: {self.halted}"[:400])
        return steps.Answer(ticket=event.ticket, refusals=(refusal,) * len(event.transactions))

    def _tell_again(self, since_height: int) -> None:
        if old := tuple(islice(self.mempool.waiting_since(since_height), TELL_AGAIN_MAX)):
            self._emit(steps.GossipTransactions(transactions=old))

    # --- blocks --------------------------------------------------------------------------------------------------

    def _commit(self, block: Block, name: Hash, transactions: tuple[Transaction, ...]) -> None:
        """By the engine; once more after a restart, for a block that the log had already."""
        height = block.header.height
        if (known := self.pipeline.at(height)) is None:
            self.pipeline.take(block, transactions, None)
            self._certify(height)
        elif known.block_hash != name:
            raise Contradiction(
                f"block {height}: the engine commits {name.hex()}, and {known.block_hash.hex()} was committed"
            )

    def _statement_signed(self, event: steps.StatementSigned) -> None:
        one = self.pipeline.at(event.statement.height)
        if one is not None:
            one.own_signature = event.signature
        self._emit(steps.SendStatement(statement=event.statement, signature=event.signature))
        self._gather(event)

    def _gather(self, event: steps.StatementSigned | steps.StatementArrived) -> None:
        evidence = self.gathering.add(event.statement, event.signature, self.head_height)
        if evidence is not None:
            self._emit(evidence)
        self._certify(event.statement.height)

    def _certify(self, height: int) -> None:
        if (certificate := self.gathering.certificate(height)) is not None:
            self.pipeline.certify(certificate)

    def _tell_statements(self, to: ConsensusKey | None) -> None:
        """Again: those that have no certificate yet."""
        for one in self.pipeline:
            if one.statement is not None and one.own_signature is not None:
                self._emit(steps.SendStatement(statement=one.statement, signature=one.own_signature, to=to))

    def _publish(self, one: BlockOnItsWay, now: steps.Now) -> None:
        assert one.executed is not None
        assert one.certificate is not None
        self._emit(
            steps.Publish(
                block=one.block,
                block_hash=one.block_hash,
                transaction_ids=tuple(t.id for t in one.transactions),
                certificate=one.certificate,
                market_ms=one.executed.market_ms,
                begin_events=one.executed.begin_events,
                receipts=one.executed.receipts,
            ),
            steps.GossipHead(height=one.height, followers=self._votes),
        )
        if self._votes:
            self._emit(*self._heads.moved(one.height, self._linked))
        self.gathering.drop(one.height)
        self.mempool.expire(one.height)
        if one.height % TELL_AGAIN_BLOCKS == 0:
            self._tell_again(one.height - TELL_AGAIN_BLOCKS)
        self.ordering.final(
            consensus.BlockFinal(height=one.height, block_hash=one.block_hash, certificate=one.certificate), now
        )
        if self._votes and self._work.published(one.block):
            self.ordering.step(consensus.WorkIgnored(), now)

    def _halt(self, reason: str) -> None:
        self.halted = reason
        self._emit(steps.Halt(reason=reason))
