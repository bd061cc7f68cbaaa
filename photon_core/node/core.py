"""The node's core: inputs in, effects out. No clock, no socket, no disk, no randomness.

Theory of operation
-------------------
Blocks reach the head by one of two ways and then go the same road, one block at a time:

    ordered by the engine (Commit) ──┐
                                     ├─► WriteBlock ─► execute ─► UpdateTree ─► roots known ─┐
    certified by others (Blocks)   ──┘   (synced)      (here)     (thread)                   │
        ┌────────────────────────────────────────────────────────────────────────────────────┘
        ├─ came with a certificate: roots must be the certificate's, or the node halts
        └─ ours: SignStatement ─► signatures gather to a quorum ─► certificate
                                                    │
                                     WriteCertificate ─► Publish, BlockFinal to the engine, next block

The log is the commit point: what is written is executed, now or at the next start; what is not written never was. State
may be read while a block waits for its certificate, but a transaction is reported committed only by Publish.

A follower knows peers' heights (PeerHead), fetches what it lacks from one peer at a time, and takes blocks that are
gossiped as they come. Transactions go the other way: each node keeps what it has admitted until a block has it, and
tells it to its peers once, and again to a peer that comes back.

Execution is the exchange's and happens here, on the caller's thread: it is plain computation over values. Everything
slow (signatures, fsync, the tree) is an effect.
"""

from __future__ import annotations

from itertools import islice
from typing import assert_never

from attrs import define, field

from photon_core.api import consensus
from photon_core.api.chain import Block, Certificate, FinalityStatement, Proposal, StatementSignature, ValidatorSet
from photon_core.api.errors import CodecError, LocalProtocolError
from photon_core.api.finality import block_hash
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain import blocks
from photon_core.chain.certificates import CertificateBuilder
from photon_core.chain.transactions import Transaction
from photon_core.exchange.market import MarketBroken

from . import steps
from .executor import Executed, Executor
from .mempool import Mempool, Refusal
from .sync import Sync

BLOCK_BYTES_MAX = 2 * 2**20
"""Of transactions in one block that we propose: a few frames, some tens of milliseconds to verify."""
BLOCK_TRANSACTIONS_MAX = 2_000


TELL_AGAIN_BLOCKS = 8
"""Gossip may be lost when a peer is busy: what still waits after so many blocks is told again, the oldest first."""


_Peers = steps.ClockTicked | steps.PeerAppeared | steps.PeerVanished | steps.PeerHead | steps.BlocksArrived


@define
class _InHand:
    """The one block between the head and the next head."""

    block: Block
    transactions: tuple[Transaction, ...]
    block_hash: Hash
    certificate: Certificate | None
    executed: Executed | None = None
    statement: FinalityStatement | None = None


@define
class NodeCore:
    chain_id: Hash
    validators: ValidatorSet
    own_key: ConsensusKey | None
    engine: consensus.Engine
    executor: Executor
    heartbeat_ms: int
    mempool: Mempool = field(factory=Mempool)
    sync: Sync = field(factory=Sync)
    head: steps.Head | None = None
    halted: str = ""
    _in_hand: _InHand | None = None
    _builder: CertificateBuilder | None = None
    _effects: list[steps.Effect] = field(factory=list)
    _proposed: dict[Hash, tuple[Block, tuple[Transaction, ...]]] = field(factory=dict)

    def handle(self, event: steps.Input, now: steps.Now) -> tuple[steps.Effect, ...]:
        """One input; the effects in the order in which they are to be begun."""
        if self.head is None and not isinstance(event, steps.Started):
            raise LocalProtocolError(f"the first input must be Started, not {type(event).__name__}")
        if not self.halted:
            self._dispatch(event, now)
            if not self.halted:
                self._go_on(now)
        elif isinstance(event, steps.TransactionsArrived) and event.ticket is not None:
            self._emit(self._answer_halted(event))
        effects, self._effects = tuple(self._effects), []
        return effects

    def wake_in_ms(self, now: steps.Now) -> int:
        """When ClockTicked is wanted at the latest."""
        may_propose = self.own_key is not None and self._in_hand is None and not self.halted
        if self.head is None or not may_propose:
            return self.heartbeat_ms
        return max(1, min(self._work_due_unix_ms() - now.unix_ms, self.heartbeat_ms))

    # --- dispatch ------------------------------------------------------------------------------------------------

    def _dispatch(self, event: steps.Input, now: steps.Now) -> None:
        match event:
            case steps.Started():
                self._started(event, now)
            case steps.TransactionsArrived():
                self._transactions_arrived(event)
            case (
                steps.ClockTicked()
                | steps.PeerAppeared()
                | steps.PeerVanished()
                | steps.PeerHead()
                | steps.BlocksArrived()
            ):
                self._keep_up(event)
                self._emit(*self.sync.step(self.head_height, now.monotonic_ms))
            case steps.BlockWritten():
                self._block_written(event)
            case steps.TreeUpdated():
                self._tree_updated(event, now)
            case steps.StatementSigned() | steps.StatementArrived():
                self._add_signature(event.statement, event.signature)
            case (
                steps.MessageArrived()
                | steps.ContentArrived()
                | steps.SlotSigned()
                | steps.SlotRefused()
                | steps.RecordsPersisted()
            ):
                raise LocalProtocolError(f"{type(event).__name__}: this core cannot do that yet")
            case steps.SigningRefused():
                self._halt(f"the signer refused the statement of height {event.height}: {event.reason}")
            case steps.CertificateWritten():
                self._certificate_written(event, now)
            case _:
                assert_never(event)

    def _keep_up(self, event: _Peers) -> None:
        """What peers have, and what they are told when they appear."""
        match event:
            case steps.PeerAppeared():
                self.sync.appeared(event.peer)
                self._emit(steps.GossipHead(height=self.head_height, only=event.peer))
                if waiting := tuple(self.mempool.waiting()):
                    self._emit(steps.GossipTransactions(transactions=waiting, only=event.peer))
            case steps.PeerVanished():
                self.sync.vanished(event.peer)
            case steps.PeerHead():
                self.sync.heard(event.peer, event.height)
            case steps.BlocksArrived():
                self.sync.arrived(event.peer, event.blocks, self.head_height, fetched=event.fetched)
            case steps.ClockTicked():
                pass
            case _:
                assert_never(event)

    def _go_on(self, now: steps.Now) -> None:
        """Whatever came in: take the next block that waits, or make one if it is time."""
        if self._in_hand is not None:
            self._certify_in_hand()
        elif (certified := self.sync.next_block(self.head_height)) is not None:
            self._take(certified.block, certified.transactions, certified.certificate)
        elif self.own_key is not None and now.unix_ms >= self._work_due_unix_ms():
            self._step_engine(consensus.WorkWaiting(), now)

    def _certify_in_hand(self) -> None:
        """A block that was written without a certificate, which others have by now (or had before we restarted)."""
        hand = self._in_hand
        assert hand is not None
        if hand.certificate is not None or hand.statement is None:
            return
        if (certified := self.sync.next_block(self.head_height)) is None:
            return
        if certified.certificate.statement != hand.statement:
            self._halt(_contradiction(certified.certificate.statement, hand.statement))
            return
        hand.certificate = certified.certificate
        self._emit(steps.WriteCertificate(certificate=certified.certificate))

    def _emit(self, *effects: steps.Effect) -> None:
        self._effects.extend(effects)

    # --- start ---------------------------------------------------------------------------------------------------

    def _started(self, event: steps.Started, now: steps.Now) -> None:
        self.head = event.head
        self._step_engine(
            consensus.Restored(
                records=event.engine_records,
                height=event.head.height,
                block_hash=event.head.block_hash,
                certificate=event.head.certificate,
            ),
            now,
        )
        for block, transactions in event.uncertified[:1]:
            self._in_hand = _InHand(block, transactions, block_hash(block.header), None)
            self._block_written(steps.BlockWritten(height=block.header.height))

    @property
    def head_height(self) -> int:
        return self.head.height if self.head is not None else 0

    # --- transactions --------------------------------------------------------------------------------------------

    def _transactions_arrived(self, event: steps.TransactionsArrived) -> None:
        refusals, fresh = [], []
        for transaction in event.transactions:
            known = transaction.id in self.mempool
            refusal = self.executor.check(transaction) or self.mempool.add(
                transaction, self.executor.standing_of(transaction.sender), self.head_height
            )
            refusals.append(refusal)
            if refusal is None and not known:
                fresh.append(transaction)
        if event.ticket is not None:
            self._emit(steps.Answer(ticket=event.ticket, refusals=tuple(refusals)))
        if fresh:
            self._emit(steps.GossipTransactions(transactions=tuple(fresh), besides=event.source))

    def _answer_halted(self, event: steps.TransactionsArrived) -> steps.Answer:
        assert event.ticket is not None
        refusal = Refusal("node-halted", f"this node has stopped: {self.halted}"[:400])
        return steps.Answer(ticket=event.ticket, refusals=(refusal,) * len(event.transactions))

    # --- making blocks -------------------------------------------------------------------------------------------

    def _work_due_unix_ms(self) -> int:
        """The wall-clock time at which the next block is wanted: now if anything waits, else event or heartbeat."""
        assert self.head is not None
        if len(self.mempool):
            return 0
        due = self.head.time_ms + self.heartbeat_ms
        until_event_ms = self.executor.next_event_in_ms()
        return due if until_event_ms is None else min(due, self.head.time_ms + until_event_ms)

    def _step_engine(self, event: consensus.Event, now: steps.Now) -> None:
        for effect in self.engine.step(event, now.monotonic_ms):
            match effect:
                case consensus.BuildProposal():
                    if self._in_hand is None and effect.parent == self._head_hash:
                        self._step_engine(consensus.ProposalBuilt(proposal=self._build(effect, now)), now)
                case consensus.Commit():
                    self._commit(effect)
                case consensus.StateChange():
                    pass
                case _:
                    raise LocalProtocolError(
                        f"the engine asks for {type(effect).__name__}, which this core cannot do yet"
                    )

    @property
    def _head_hash(self) -> Hash:
        assert self.head is not None
        return self.head.block_hash

    def _build(self, wanted: consensus.BuildProposal, now: steps.Now) -> Proposal:
        assert self.head is not None
        assert self.own_key is not None
        picked = self.mempool.pick(wanted.height, BLOCK_TRANSACTIONS_MAX, BLOCK_BYTES_MAX)
        made = blocks.make_block(
            parent=self.head.header,
            time_ms=now.unix_ms,
            proposer=self.own_key,
            validators=self.validators,
            transactions=picked,
        )
        self._proposed = {made.proposal.block_hash: (made.block, picked)}
        return made.proposal

    def _commit(self, committed: consensus.Commit) -> None:
        block, transactions = self._proposed.pop(committed.block_hash)
        self._take(block, transactions, None)

    # --- the road of one block -----------------------------------------------------------------------------------

    def _take(self, block: Block, transactions: tuple[Transaction, ...], certificate: Certificate | None) -> None:
        assert self._in_hand is None
        assert self.head is not None
        own_hash = block_hash(block.header)
        try:
            blocks.check_header(block.header, self.head.header, self.validators)
        except CodecError as error:
            self._halt(
                f"block {block.header.height} ({own_hash.hex()}) cannot follow this node's block {self.head.height} "
                f"({self.head.block_hash.hex()}), and both are certified: {error}"
            )
            return
        self._in_hand = _InHand(block, transactions, own_hash, certificate)
        self._emit(steps.WriteBlock(block=block, certificate=certificate))

    def is_waiting(self, transaction_id: Hash) -> bool:
        """It is here and has no certificate yet: in the mempool, or in the block in hand."""
        hand = self._in_hand
        return transaction_id in self.mempool or (
            hand is not None and any(transaction.id == transaction_id for transaction in hand.transactions)
        )

    def _expect(self, height: int) -> _InHand:
        if self._in_hand is None or self._in_hand.block.header.height != height:
            raise LocalProtocolError(f"height {height} is not the block in hand")
        return self._in_hand

    def _block_written(self, event: steps.BlockWritten) -> None:
        hand = self._expect(event.height)
        try:
            hand.executed = self.executor.execute(hand.block.header, hand.transactions)
        except MarketBroken as error:  # skipping it would fork the chain from every node whose rule behaved
            self._halt(f"block {event.height} cannot be executed: {error}")
            return
        self.mempool.settle(hand.transactions, self.executor.standing_of)
        self._emit(steps.UpdateTree(height=event.height, changes=hand.executed.changes))

    def _tree_updated(self, event: steps.TreeUpdated, now: steps.Now) -> None:
        hand = self._expect(event.height)
        assert hand.executed is not None
        statement = FinalityStatement(
            chain_id=self.chain_id,
            height=event.height,
            block_hash=hand.block_hash,
            state_root=event.state_root,
            receipts_root=hand.executed.receipts_root,
            next_validators_hash=hand.block.header.validators_hash,
        )
        hand.statement = statement
        if hand.certificate is None:
            self._builder = CertificateBuilder(statement, self.validators)
            if self.own_key is not None:
                self._emit(steps.SignStatement(statement=statement))
        elif hand.certificate.statement == statement:
            self._publish(hand, hand.certificate, now)
        else:
            self._halt(_contradiction(hand.certificate.statement, statement))

    def _add_signature(self, statement: FinalityStatement, signature: StatementSignature) -> None:
        hand = self._in_hand
        if hand is None or hand.certificate is not None or self._builder is None or hand.statement != statement:
            return  # late, early or foreign: statements are sent again, and a certificate says it all
        self._builder.add(signature, verified=True)
        if (certificate := self._builder.certificate) is not None:
            hand.certificate = certificate
            self._emit(steps.WriteCertificate(certificate=certificate))

    def _certificate_written(self, event: steps.CertificateWritten, now: steps.Now) -> None:
        hand = self._expect(event.height)
        assert hand.certificate is not None
        self._publish(hand, hand.certificate, now)

    def _publish(self, hand: _InHand, certificate: Certificate, now: steps.Now) -> None:
        assert hand.executed is not None
        self.head = steps.Head(header=hand.block.header, block_hash=hand.block_hash, certificate=certificate)
        self._emit(
            steps.Publish(
                block=hand.block,
                block_hash=hand.block_hash,
                transaction_ids=tuple(t.id for t in hand.transactions),
                certificate=certificate,
                market_ms=hand.executed.market_ms,
                begin_events=hand.executed.begin_events,
                receipts=hand.executed.receipts,
                changes=hand.executed.changes,
            )
        )
        self._in_hand = self._builder = None
        self._emit(steps.GossipHead(height=self.head.height))
        if self.head.height % TELL_AGAIN_BLOCKS == 0:
            self._tell_again(self.head.height)
        self._step_engine(
            consensus.BlockFinal(height=self.head.height, block_hash=hand.block_hash, certificate=certificate), now
        )

    def _tell_again(self, height: int) -> None:
        self.mempool.expire(height)
        old = tuple(islice(self.mempool.waiting_since(height - TELL_AGAIN_BLOCKS), BLOCK_TRANSACTIONS_MAX))
        if old:
            self._emit(steps.GossipTransactions(transactions=old))

    def _halt(self, reason: str) -> None:
        self.halted = reason
        self._emit(steps.Halt(reason=reason))


def _contradiction(certified: FinalityStatement, own: FinalityStatement) -> str:
    differing = [
        f"{name} {getattr(certified, name).hex()} (certified) and {getattr(own, name).hex()} (computed here)"
        for name in ("block_hash", "state_root", "receipts_root", "next_validators_hash")
        if getattr(certified, name) != getattr(own, name)
    ]
    return f"block {own.height}: this node computes something else than a quorum has signed: {'; '.join(differing)}"
