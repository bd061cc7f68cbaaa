"""The votes for one height: those of the view that is active here, and the newest of each validator from views above.

Bounded: per phase and validator one vote of the active view and one of a later view. Votes of a later view are kept
because a view begins at different times at different validators; of several, a validator's highest view counts, since
it has left the others.
"""

from __future__ import annotations

from enum import Enum

from attrs import define, field, frozen

from photon_core.api.ids import Hash

from .membership import Membership
from .messages import ProofVote, Vote, VotePhase

_Voter = tuple[VotePhase, int]


class Added(Enum):
    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    """The same validator voted for another block, in the same phase and view."""
    OUTDATED = "outdated"
    """A vote of a later view is known of this validator."""


@frozen
class AddedVote:
    outcome: Added
    known: Vote | None = None


@define
class VoteTable:
    members: Membership
    _current: dict[_Voter, Vote] = field(factory=dict)
    _ahead: dict[_Voter, Vote] = field(factory=dict)
    _power: dict[tuple[VotePhase, Hash], int] = field(factory=dict)

    def add(self, vote: Vote) -> AddedVote:
        """A vote of the active view."""
        voter = (vote.phase, vote.validator)
        known = self._current.get(voter)
        if known is not None:
            return AddedVote(Added.DUPLICATE if known.block_hash == vote.block_hash else Added.CONFLICT, known)
        self._current[voter] = vote
        choice = (vote.phase, vote.block_hash)
        self._power[choice] = self._power.get(choice, 0) + self.members.powers[vote.validator]
        return AddedVote(Added.NEW)

    def add_ahead(self, vote: Vote) -> AddedVote:
        """A vote of a view that is not active here yet."""
        voter = (vote.phase, vote.validator)
        known = self._ahead.get(voter)
        if known is None or known.view < vote.view:
            self._ahead[voter] = vote
            return AddedVote(Added.NEW)
        if known.view > vote.view:
            return AddedVote(Added.OUTDATED, known)
        return AddedVote(Added.DUPLICATE if known.block_hash == vote.block_hash else Added.CONFLICT, known)

    def enter(self, view: int) -> None:
        """`view` becomes the active one: what came early for it counts now, what was of lower views is nothing."""
        early = sorted(self._ahead.items())
        self._current, self._power = {}, {}
        self._ahead = {voter: vote for voter, vote in early if vote.view > view}
        for _, vote in early:
            if vote.view == view:
                self.add(vote)

    def of(self, phase: VotePhase, validator: int) -> Vote | None:
        return self._current.get((phase, validator))

    def power(self, phase: VotePhase, block_hash: Hash) -> int:
        return self._power.get((phase, block_hash), 0)

    def has_quorum(self, phase: VotePhase, block_hash: Hash) -> bool:
        return self.members.is_quorum(self.power(phase, block_hash))

    def proof_votes(self, block_hash: Hash) -> tuple[ProofVote, ...]:
        """The PREPAREs for this block, ascending by validator."""
        prepares = (self._current.get((VotePhase.PREPARE, index)) for index in range(len(self.members)))
        return tuple(
            ProofVote(vote.validator, vote.signature)
            for vote in prepares
            if vote is not None and vote.block_hash == block_hash
        )
