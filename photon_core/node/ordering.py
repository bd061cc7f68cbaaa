"""What core does for the engine that orders blocks: it carries out effects and answers what can be answered at once.

Theory of operation
-------------------
`step` gives the engine one event and goes on with the events that follow from its own effects without anybody else:
a header is judged (`Validated`), a block turns out to be here (`ContentAvailable`), a proposal is built
(`ProposalBuilt`). They are queued, so that an engine is never entered twice. What takes time leaves as a step of the
node (sign, persist, fetch, send); messages that wait for a disk are held here until it has answered, and timers are
kept here too: a node needs no other clock than the one that it is given.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Protocol, assert_never

from attrs import define, field

from photon_core.api import consensus
from photon_core.api.chain import Block, Header, Proposal, ValidatorSet
from photon_core.api.errors import CodecError
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain import blocks
from photon_core.chain.transactions import Transaction

from . import steps
from .contents import Contents, Found
from .mempool import Mempool
from .pipeline import Effects

IN_FLIGHT_MS = 3_000
"""A proposal that led to nothing for so long is not counted as work under way any more."""


class Chain(Protocol):
    """What ordering must know of committed blocks."""

    @property
    def head(self) -> steps.Head: ...

    @property
    def tip(self) -> tuple[int, Hash]:
        """Height and hash of the newest committed block."""
        ...

    @property
    def executed_height(self) -> int: ...

    def header_of(self, name: Hash) -> Header | None:
        """Of the head or of a block on its way."""
        ...


Commit = Callable[[Block, Hash, tuple[Transaction, ...]], None]
Build = Callable[[Header, frozenset[Hash], steps.Now], tuple[Proposal, tuple[Transaction, ...]]]
"""On this parent, without these transactions, which its ancestors in flight hold."""


@define
class Ordering:
    engine: consensus.Engine
    validators: ValidatorSet
    chain: Chain
    mempool: Mempool
    bound_ms: int
    """How far block time may lie ahead of the clock."""
    emit: Effects
    build: Build
    commit: Commit
    contents: Contents = field(factory=Contents)
    ignored: Counter[str] = field(factory=Counter)
    state: str = ""
    """What the engine said of itself last, for people."""
    proposed_at_ms: int = -IN_FLIGHT_MS
    """When a header was last built or found valid."""
    proposed_height: int = 0
    _timers: dict[str, int] = field(factory=dict)
    _held: dict[int, list[consensus.SendAfter]] = field(factory=dict)
    _events: deque[consensus.Event] = field(factory=deque)
    _stepping: bool = False

    def step(self, event: consensus.Event, now: steps.Now) -> None:
        self._events.append(event)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._events:
                for effect in self.engine.step(self._events.popleft(), now.monotonic_ms):
                    self._carry_out(effect, now)
        finally:
            self._stepping = False

    # --- time ----------------------------------------------------------------------------------------------------

    def tick(self, linked: Sequence[ConsensusKey], now: steps.Now) -> None:
        """Timers that are due, and what is to be fetched. `linked`: the validators that can be asked."""
        due = sorted((at, name) for name, at in self._timers.items() if at <= now.monotonic_ms)
        for at, name in due:
            if self._timers.get(name) == at:  # the one before may have cancelled or set it anew
                del self._timers[name]
                self.step(consensus.TimerFired(name=name), now)
        self.emit(*self.contents.step(linked, now.monotonic_ms))

    def due_in_ms(self, now: steps.Now) -> int | None:
        times = [max(0, at - now.monotonic_ms) for at in self._timers.values()]
        if (content := self.contents.due_in_ms(now.monotonic_ms)) is not None:
            times.append(content)
        return min(times, default=None)

    def in_flight(self, now: steps.Now) -> bool:
        """Whether a proposal above the head is on its way to be final."""
        return self.proposed_height > self.chain.head.height and now.monotonic_ms - self.proposed_at_ms < IN_FLIGHT_MS

    # --- answers -------------------------------------------------------------------------------------------------

    def found(self, found: Found, now: steps.Now) -> None:
        if found.problem:
            self.step(consensus.Validated(block_hash=found.name, reason=found.problem), now)
        else:
            self.step(consensus.ContentAvailable(block_hash=found.name), now)

    def persisted(self, token: int, now: steps.Now) -> None:
        self.step(consensus.Persisted(token=token), now)
        for held in self._held.pop(token, ()):
            self.emit(steps.SendMessage(message=held.message, to=held.to))

    def final(self, event: consensus.BlockFinal, now: steps.Now) -> None:
        self.step(event, now)
        self.contents.drop(event.height)

    # --- effects -------------------------------------------------------------------------------------------------

    def _carry_out(self, effect: consensus.Effect, now: steps.Now) -> None:
        match effect:
            case consensus.BuildProposal() | consensus.Fetch() | consensus.Validate():
                self._answer(effect, now)
            case consensus.Commit(header=header, block_hash=name):
                self._commit(header, name)
            case consensus.SetTimer(name=timer, after_ms=after_ms):
                self._timers[timer] = now.monotonic_ms + after_ms
            case consensus.CancelTimer(name=timer):
                self._timers.pop(timer, None)
            case consensus.Ignored(reason=why):
                self.ignored[why] += 1
            case consensus.StateChange(what=what):
                self.state = what
            case _:
                self._pass_on(effect)

    def _pass_on(
        self,
        effect: consensus.SendNow
        | consensus.SendAfter
        | consensus.Persist
        | consensus.Forget
        | consensus.Sign
        | consensus.Evidence,
    ) -> None:
        """What takes time, or leaves the node."""
        match effect:
            case consensus.SendNow(message=message, to=to):
                self.emit(steps.SendMessage(message=message, to=to))
            case consensus.SendAfter():
                self._send_after(effect)
            case consensus.Persist():
                self._persist(effect)
            case consensus.Forget(below_height=below):
                self.emit(steps.ForgetRecords(below_height=below))
            case consensus.Sign(slot=slot, statement=statement, round_floor=floor):
                self.emit(steps.SignSlot(slot=slot, message=statement, round_floor=floor))
            case consensus.Evidence(first=first, second=second):
                self.emit(steps.NoteEvidence(first=first, second=second))
            case _:
                assert_never(effect)

    def _answer(self, effect: consensus.BuildProposal | consensus.Fetch | consensus.Validate, now: steps.Now) -> None:
        """What can be answered at once; `Fetch` perhaps later."""
        match effect:
            case consensus.BuildProposal():
                self._build(effect, now)
            case consensus.Fetch():
                if (found := self.contents.want(effect, self.mempool.get, now.monotonic_ms)) is not None:
                    self.found(found, now)
            case consensus.Validate():
                reason = self._problem(effect, now)
                if not reason:
                    self._proposed(effect.block_hash, effect.header, now)
                self.step(consensus.Validated(block_hash=effect.block_hash, reason=reason), now)
            case _:
                assert_never(effect)

    def _send_after(self, effect: consensus.SendAfter) -> None:
        if effect.token in self._held:
            self._held[effect.token].append(effect)
        else:  # synced already
            self.emit(steps.SendMessage(message=effect.message, to=effect.to))

    def _persist(self, effect: consensus.Persist) -> None:
        self._held[effect.token] = []
        kept = tuple(self._block(name) for name in effect.contents)
        self.emit(steps.PersistRecords(token=effect.token, height=effect.height, records=effect.records, blocks=kept))

    def _block(self, name: Hash) -> Block:
        header, transactions = self.contents.header(name), self.contents.transactions(name)
        assert header is not None, "an engine persists blocks that it has named before"
        assert transactions is not None, "an engine persists a block once its content is available"
        return Block(header=header, transactions=tuple(t.raw for t in transactions))

    def _commit(self, header: Header, name: Hash) -> None:
        if header.height <= self.chain.head.height:
            return  # peers' certificates were faster
        transactions = self.contents.transactions(name)
        assert transactions is not None, "an engine commits a block once its content is available"
        self.commit(Block(header=header, transactions=tuple(t.raw for t in transactions)), name, transactions)

    # --- proposals -----------------------------------------------------------------------------------------------

    def _header(self, name: Hash) -> Header | None:
        return self.chain.header_of(name) or self.contents.header(name)

    def _build(self, wanted: consensus.BuildProposal, now: steps.Now) -> None:
        """Not at all while an ancestor is not here, nor for a height that is committed (a restarted engine may not know
        it): the engine is told of work again.
        """
        parent = self._header(wanted.parent)
        ancestors = self.contents.ancestors_of(wanted.parent, self.chain.executed_height)
        if parent is None or ancestors is None or parent.height + 1 != wanted.height:
            return
        if wanted.height <= self.chain.tip[0]:
            return
        taken = frozenset(t.id for name in ancestors for t in self.contents.transactions(name) or ())
        proposal, transactions = self.build(parent, taken, now)
        self.contents.keep(proposal.block_hash, proposal.header, transactions)
        self._proposed(proposal.block_hash, proposal.header, now)
        self.step(consensus.ProposalBuilt(proposal=proposal), now)

    def _proposed(self, name: Hash, header: Header, now: steps.Now) -> None:
        self.contents.note(name, header)
        self.proposed_at_ms, self.proposed_height = now.monotonic_ms, max(self.proposed_height, header.height)

    def _problem(self, asked: consensus.Validate, now: steps.Now) -> str:
        """Why this header cannot stand where it wants to; empty when it can."""
        header = asked.header
        parent = self._header(header.parent)
        if parent is None:
            return f"block {header.height} names a parent that is not known here, {header.parent.hex()[:16]}"
        try:
            blocks.check_header(header, parent, self.validators)
        except CodecError as error:
            return str(error)
        if asked.late_max_ms is None:
            return ""
        arrived_ms = now.unix_ms - (now.monotonic_ms - asked.arrived_ms)
        ahead_ms = header.time_ms - arrived_ms
        if ahead_ms > self.bound_ms:
            return f"block {header.height} has a time {ahead_ms} ms ahead of this validator's clock"
        if -ahead_ms > asked.late_max_ms:
            return f"block {header.height} has a time {-ahead_ms} ms behind this validator's clock"
        return ""
