"""Entering a view: its NEW-VIEW goes to disk, then its blocks are proposed as if by PRE-PREPAREs.

The NEW-VIEW is on disk before anything of the view is signed. So a proof of a view is never found after a crash
without what made the view, and the validator comes back into the view in which it last voted.
"""

from __future__ import annotations

from attrs import define

from photon_core.api import consensus as api
from photon_core.api.finality import block_hash

from . import messages, records
from .heights import Candidate, Validity
from .inspection import Inspector
from .intake import Intake
from .messages import NewView, PreparedProof, Vote, VotePhase
from .ordering import Ordering
from .replica import RECORD_LIFE_BLOCKS, Mode, Replica, Timer


@define
class Entering:
    replica: Replica
    inspector: Inspector
    ordering: Ordering
    intake: Intake
    _token: int | None = None

    def begin(self, new_view: NewView, *, leads: bool) -> None:
        replica = self.replica
        replica.view, replica.mode, replica.new_view = new_view.view, Mode.ENTERING, new_view
        self._token = replica.persist(replica.final.height + RECORD_LIFE_BLOCKS, records.encode(new_view))
        if leads:
            replica.emit(api.SendAfter(token=self._token, message=messages.encode(new_view)))

    def recorded(self, token: int) -> bool:
        """Whether this was the NEW-VIEW that was being written, so that its view is active now."""
        if token != self._token or self.replica.mode is not Mode.ENTERING:
            return False
        self._token = None
        self.activate()
        return True

    def activate(self) -> None:
        replica, new_view = self.replica, self.replica.new_view
        assert new_view is not None, "view 0 is active without being entered"
        carried = self.inspector.check_new_view(new_view)
        leader = replica.members.primary(new_view.view, carried.start)
        replica.mode, replica.fresh_from = Mode.ACTIVE, carried.fresh_from
        before = {height: log.candidate for height, log in replica.heights.items()}
        for log in replica.heights.values():
            log.candidate, log.closed = None, False
            log.votes.enter(new_view.view)
        for proof, signature in zip(carried.carried, new_view.votes, strict=True):
            if proof.header.height > replica.final.height:
                self._carry(proof, leader, signature, before.get(proof.header.height))
        self.intake.replay_early()
        replica.trace(f"view {new_view.view} is active, with {len(carried.carried)} blocks carried over")
        replica.cancel_timer(Timer.PROGRESS)
        self.ordering.advance()

    def _carry(self, proof: PreparedProof, leader: int, signature: bytes, before: Candidate | None) -> None:
        replica, header = self.replica, proof.header
        name = block_hash(header)
        known = before if before is not None and before.block_hash == name else None
        log = replica.log_of(header.height)
        log.candidate = Candidate(
            header=header,
            block_hash=name,
            source=None if leader == replica.own else replica.members.keys[leader],
            signature=signature,
            arrived_ms=replica.now_ms,
            carried=True,
            content=known is not None and known.content,
            fetching=known is not None and known.fetching,
            validity=Validity.VALID if known is not None and known.validity is Validity.VALID else Validity.UNKNOWN,
        )
        vote = Vote(
            phase=VotePhase.PREPARE,
            view=replica.view,
            height=header.height,
            block_hash=name,
            validator=leader,
            signature=signature,
        )
        log.votes.add(vote)
