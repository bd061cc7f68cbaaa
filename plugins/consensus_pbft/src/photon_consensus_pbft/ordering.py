"""The normal case: how the blocks of the active view are judged, voted for and committed.

`advance` is level-triggered: after any event it walks the chain of candidates up from the last final block and does
whatever has become possible. What came first, content, validity, votes or signatures, makes no difference, and nothing
that is lost or late leaves a step undone for ever. The walk is at most a window long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import define, field

from photon_core.api import consensus as api
from photon_core.api.chain import Header
from photon_core.api.ids import Hash

from . import messages, records
from .heights import Candidate, HeightLog, Validity
from .messages import ID_BYTES, PreparedProof, PrePrepare, Vote, VotePhase
from .replica import Mode, Replica, Timer
from .signing import Signing

Suspect = Callable[[str], None]


def fits_parent(header: Header, parent: Hash) -> bool:
    """Slots are not independent: a block is voted for only on top of the block accepted below it in this view."""
    return header.parent == parent


def may_commit(prepared_below: bool, prepared: bool) -> bool:
    """COMMIT(h) needs prepared certificates of this view for h and for every ancestor that is not final: a view change
    walks up and stops at the first gap, and below what a quorum has committed there must be none
    (`new_view.carry_over`).
    """
    return prepared_below and prepared


@define
class Ordering:
    replica: Replica
    signing: Signing
    suspect: Suspect
    _judging: dict[Hash, deque[bool]] = field(factory=dict)
    """Questions to core that it has not answered, in order: was the clock to count? Pruned with the heights."""

    # --- the walk ----------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        replica = self.replica
        if replica.mode is not Mode.ACTIVE or replica.own is None:
            return
        self._fetch()
        parent, prepared_below = replica.final.block_hash, True
        for height in range(replica.final.height + 1, replica.window_top + 1):
            log = replica.heights.get(height)
            candidate = log.candidate if log is not None else None
            if log is None or candidate is None:
                break
            if not fits_parent(candidate.header, parent):
                self._drop_foreign(height, candidate)
                break
            self._judge(log, candidate)
            if not candidate.accepted:
                break
            self._prepare(height, log, candidate)
            prepared_below = may_commit(prepared_below, log.is_prepared())
            if prepared_below:
                self._record_and_commit(height, log, candidate)
            if log.is_committed() and height == replica.committed + 1:
                self._hand_over(height, candidate)
            parent = candidate.block_hash
        self.watch()

    def watch(self) -> None:
        """Something is to happen: start to lose patience, unless that has begun."""
        replica = self.replica
        if replica.mode is not Mode.ACTIVE or replica.own is None or replica.is_running(Timer.PROGRESS):
            return
        if replica.work_waiting or any(log.candidate is not None for log in replica.heights.values()):
            replica.set_timer(Timer.PROGRESS, replica.patience_ms)

    def drop_from(self, height: int) -> None:
        """The candidates at this height and above hang in the air."""
        for at, log in self.replica.heights.items():
            if at >= height:
                log.candidate = None

    def rebase(self) -> None:
        """A block has become final. If it is not the one that the next candidate stands on, nothing above it stands."""
        final = self.replica.final
        log = self.replica.heights.get(final.height + 1)
        if log is not None and log.candidate is not None and not fits_parent(log.candidate.header, final.block_hash):
            self.drop_from(final.height + 1)

    def top(self) -> tuple[int, Hash]:
        """Height and hash of the highest block that was accepted in this view, or is final."""
        height, block_hash = self.replica.final.height, self.replica.final.block_hash
        while (log := self.replica.heights.get(height + 1)) is not None:
            candidate = log.candidate
            if candidate is None or not candidate.accepted or not fits_parent(candidate.header, block_hash):
                break
            height, block_hash = height + 1, candidate.block_hash
        return height, block_hash

    # --- content and validity ----------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        for height in range(self.replica.final.height + 1, self.replica.window_top + 1):
            log = self.replica.heights.get(height)
            candidate = log.candidate if log is not None else None
            if candidate is None or candidate.content or candidate.fetching:
                continue
            candidate.fetching = True
            self.replica.emit(
                api.Fetch(
                    header=candidate.header,
                    block_hash=candidate.block_hash,
                    transaction_ids=_split_ids(candidate.transaction_ids),
                    hint=candidate.source,
                )
            )

    def content_available(self, block_hash: Hash) -> None:
        for candidate in self._named(block_hash):
            candidate.content = True
        self.advance()

    def _judge(self, log: HeightLog, candidate: Candidate) -> None:
        """Its parent is accepted by now, so core can say whether it fits. Only with its content: until then core may
        tell by `Validated`, unasked, that the content cannot be right.
        """
        if not candidate.content:
            return
        if candidate.validity is Validity.UNKNOWN:
            candidate.validity = Validity.ASKED
            self._ask(candidate, with_clock=not candidate.carried)
        elif candidate.validity is Validity.UNTIMELY:
            power = log.votes.power(VotePhase.PREPARE, candidate.block_hash)
            if self.replica.members.is_weak(power):
                candidate.validity = Validity.VALID

    def _ask(self, candidate: Candidate, *, with_clock: bool) -> None:
        self._judging.setdefault(candidate.block_hash, deque()).append(with_clock)
        self.replica.emit(
            api.Validate(
                header=candidate.header,
                block_hash=candidate.block_hash,
                arrived_ms=candidate.arrived_ms,
                late_max_ms=self.replica.config.view_change_timeout_ms if with_clock else None,
            )
        )

    def validated(self, block_hash: Hash, reason: str) -> None:
        questions = self._judging.get(block_hash)
        with_clock = questions.popleft() if questions else False
        if not questions:
            self._judging.pop(block_hash, None)
        for candidate in self._named(block_hash):
            if candidate.validity is Validity.ASKED or (reason and not candidate.content):
                self._judged(candidate, reason, with_clock=with_clock)
        self.advance()

    def _judged(self, candidate: Candidate, reason: str, *, with_clock: bool) -> None:
        if not reason:
            timely = with_clock or candidate.carried
            candidate.validity = Validity.VALID if timely else Validity.UNTIMELY
        elif with_clock and not candidate.carried:
            self._ask(candidate, with_clock=False)
        elif not with_clock:
            candidate.validity = Validity.INVALID
            if candidate.carried:  # a quorum found it valid: it is not the leader who is wrong
                self.replica.trace(f"a block that was prepared before is not valid here: {reason}")
            else:
                self.suspect(f"its block of height {candidate.header.height} is not valid: {reason}")

    def _drop_foreign(self, height: int, candidate: Candidate) -> None:
        self.drop_from(height)
        if not candidate.carried:
            self.suspect(f"its block of height {height} has a parent other than the block before it")

    def _named(self, block_hash: Hash) -> list[Candidate]:
        candidates = [log.candidate for log in self.replica.heights.values() if log.candidate is not None]
        return [candidate for candidate in candidates if candidate.block_hash == block_hash]

    # --- votes -------------------------------------------------------------------------------------------------------

    def _statement(self, phase: VotePhase, height: int, block_hash: Hash) -> bytes:
        return messages.vote_statement(self.replica.chain_id, phase, self.replica.view, height, block_hash)

    def _prepare(self, height: int, log: HeightLog, candidate: Candidate) -> None:
        """Also a carried block that was committed here before: others may need this view's quorum for it."""
        replica = self.replica
        assert replica.own is not None
        slot = messages.slot_of(height, replica.view, VotePhase.PREPARE)
        if log.closed or self.signing.is_asked(slot) or log.votes.of(VotePhase.PREPARE, replica.own) is not None:
            return
        self.signing.ask(slot, self._statement(VotePhase.PREPARE, height, candidate.block_hash))

    def prepare_signed(self, height: int, statement: bytes, signature: bytes) -> None:
        replica = self.replica
        log = replica.heights.get(height)
        candidate = log.candidate if log is not None else None
        if replica.mode is not Mode.ACTIVE or log is None or candidate is None:
            return
        if statement != self._statement(VotePhase.PREPARE, height, candidate.block_hash):
            return
        vote = self._own_vote(VotePhase.PREPARE, height, candidate.block_hash, signature)
        message: Vote | PrePrepare = vote
        if replica.members.primary(replica.view, height) == replica.own and not candidate.carried:
            candidate.signature = signature
            message = PrePrepare(
                view=replica.view,
                header=candidate.header,
                transaction_ids=candidate.transaction_ids,
                signature=signature,
            )
        replica.emit(api.SendNow(message=messages.encode(message)))
        log.votes.add(vote)
        self.advance()

    def _record_and_commit(self, height: int, log: HeightLog, candidate: Candidate) -> None:
        """The proof goes to disk, with the block's body, while the COMMIT is signed; it leaves when both are done."""
        replica = self.replica
        if candidate.commit_asked:
            return
        candidate.commit_asked = True
        if not candidate.recorded:
            proof = PreparedProof(
                view=replica.view, header=candidate.header, votes=log.votes.proof_votes(candidate.block_hash)
            )
            replica.proofs[height] = proof
            candidate.record_token = replica.persist(height, records.encode(proof), (candidate.block_hash,))
        slot = messages.slot_of(height, replica.view, VotePhase.COMMIT)
        self.signing.ask(slot, self._statement(VotePhase.COMMIT, height, candidate.block_hash))

    def commit_signed(self, height: int, statement: bytes, signature: bytes) -> None:
        replica = self.replica
        log = replica.heights.get(height)
        candidate = log.candidate if log is not None else None
        if replica.mode is not Mode.ACTIVE or candidate is None:
            return
        if statement != self._statement(VotePhase.COMMIT, height, candidate.block_hash):
            return
        candidate.commit_signature = signature
        message = messages.encode(self._own_vote(VotePhase.COMMIT, height, candidate.block_hash, signature))
        if candidate.recorded:
            replica.emit(api.SendNow(message=message))
        else:
            assert candidate.record_token is not None, "a COMMIT is signed only when its proof is being written"
            replica.emit(api.SendAfter(token=candidate.record_token, message=message))
        self._count_own_commit(candidate)

    def recorded(self, token: int) -> None:
        for log in self.replica.heights.values():
            if log.candidate is not None and log.candidate.record_token == token:
                log.candidate.recorded = True
                self._count_own_commit(log.candidate)
                return

    def _count_own_commit(self, candidate: Candidate) -> None:
        if self.replica.mode is not Mode.ACTIVE or not candidate.recorded or candidate.commit_signature is None:
            return
        height = candidate.header.height
        vote = self._own_vote(VotePhase.COMMIT, height, candidate.block_hash, candidate.commit_signature)
        self.replica.log_of(height).votes.add(vote)
        self.advance()

    def refused(self, height: int) -> None:
        """The signer will not prepare here: it did so before, in an earlier run, or it abstains. What core built for
        this height is given up; what this validator proposed before may come back from others (STATUS).
        """
        log = self.replica.heights.get(height)
        if log is None:
            return
        log.closed = True
        if log.candidate is not None and log.candidate.built:
            self.drop_from(height)

    def _own_vote(self, phase: VotePhase, height: int, block_hash: Hash, signature: bytes) -> Vote:
        assert self.replica.own is not None
        return Vote(
            phase=phase,
            view=self.replica.view,
            height=height,
            block_hash=block_hash,
            validator=self.replica.own,
            signature=signature,
        )

    def _hand_over(self, height: int, candidate: Candidate) -> None:
        self.replica.committed = height
        self.replica.emit(api.Commit(header=candidate.header, block_hash=candidate.block_hash))
        self.replica.trace(f"commit height {height} in view {self.replica.view}")

    def forget(self) -> None:
        """Heights have become final."""
        live = {log.candidate.block_hash for log in self.replica.heights.values() if log.candidate is not None}
        for block_hash in [name for name in self._judging if name not in live]:
            del self._judging[block_hash]


def _split_ids(joined: bytes | None) -> tuple[Hash, ...] | None:
    if joined is None:
        return None
    return tuple(joined[at : at + ID_BYTES] for at in range(0, len(joined), ID_BYTES))
