"""What becomes of PRE-PREPAREs and votes that come in: used, kept for later, ignored, or evidence."""

from __future__ import annotations

import attrs
from attrs import define

from photon_core.api import consensus as api
from photon_core.api.finality import block_hash
from photon_core.api.ids import ConsensusKey

from .heights import Candidate, EarlyProposal, HeightLog
from .inspection import Inspector
from .messages import PrePrepare, Vote, VotePhase
from .ordering import Ordering
from .replica import Mode, Reason, Replica
from .votes import Added, AddedVote

_IGNORED = {
    Added.DUPLICATE: Reason.DUPLICATE,
    Added.OUTDATED: Reason.SUPERSEDED,
    Added.CONFLICT: Reason.SECOND_PROPOSAL,
}


@define
class Intake:
    replica: Replica
    inspector: Inspector
    ordering: Ordering

    def vote(self, sender: ConsensusKey, vote: Vote) -> None:
        if (reason := self._useless(vote.view, vote.height)) is not None:
            self.replica.ignore(reason, sender)
            return
        log = self.replica.log_of(vote.height)
        added = self._add(log, vote)
        if added.outcome is not Added.NEW:
            self.replica.ignore(_IGNORED[added.outcome], sender)
        elif self._is_current(vote.view):
            self.ordering.advance()

    def pre_prepare(self, sender: ConsensusKey, message: PrePrepare) -> None:
        """The primary's proposal, from itself or passed on by another."""
        height = message.header.height
        if (reason := self._useless(message.view, height)) is not None:
            self.replica.ignore(reason, sender)
        elif not self._is_current(message.view):
            self._keep_early(sender, message)
        elif height < self.replica.fresh_from:
            self.replica.ignore(Reason.NOT_FRESH, sender)
        elif (reason := self._propose(sender, message, self.replica.now_ms)) is not None:
            self.replica.ignore(reason, sender)
        else:
            self.ordering.advance()

    def replay_early(self) -> None:
        """A view has become active: what came for it before is proposed now, of lower views nothing is kept."""
        view = self.replica.view
        for height, log in sorted(self.replica.heights.items()):
            early = sorted(log.early.items())
            log.early = {primary: proposal for primary, proposal in early if proposal.message.view > view}
            for _, proposal in early:
                if proposal.message.view == view and height >= self.replica.fresh_from:
                    self._propose(proposal.source, proposal.message, proposal.arrived_ms)

    def _useless(self, view: int, height: int) -> Reason | None:
        if height <= self.replica.final.height:
            return Reason.OLD_HEIGHT
        if height > self.replica.buffer_top:
            return Reason.FAR_HEIGHT
        return Reason.OLD_VIEW if view < self.replica.view else None

    def _is_current(self, view: int) -> bool:
        return view == self.replica.view and self.replica.mode is Mode.ACTIVE

    def _keep_early(self, sender: ConsensusKey, message: PrePrepare) -> None:
        log = self.replica.log_of(message.header.height)
        vote = self._vote_of(message)
        added = self._add(log, vote)
        known = log.early.get(vote.validator)
        if added.outcome is Added.CONFLICT or (known is not None and known.message.view >= message.view):
            self.replica.ignore(_IGNORED.get(added.outcome, Reason.DUPLICATE), sender)
            return
        bare = attrs.evolve(message, transaction_ids=None)  # many could be held back: only the headers are kept
        log.early[vote.validator] = EarlyProposal(message=bare, arrived_ms=self.replica.now_ms, source=sender)

    def _propose(self, sender: ConsensusKey, message: PrePrepare, arrived_ms: int) -> Reason | None:
        """The first proposal for a height in a view becomes its candidate; why not, otherwise."""
        log = self.replica.log_of(message.header.height)
        vote = self._vote_of(message)
        if self._add(log, vote).outcome is Added.CONFLICT:
            return Reason.SECOND_PROPOSAL
        if log.candidate is not None:
            if log.candidate.block_hash == vote.block_hash:
                return Reason.DUPLICATE
            if not log.candidate.built:
                return Reason.SECOND_PROPOSAL
            # What core built after a restart is not signed; this was, before it, and others have it.
        # The ids are not signed: wrong ones from somebody else would look like a fault of the primary.
        by_primary = sender == self.replica.members.keys[vote.validator]
        log.candidate = Candidate(
            header=message.header,
            block_hash=vote.block_hash,
            source=sender,
            transaction_ids=message.transaction_ids if by_primary else None,
            signature=message.signature,
            arrived_ms=arrived_ms,
        )
        return None

    def _vote_of(self, message: PrePrepare) -> Vote:
        height = message.header.height
        return Vote(
            phase=VotePhase.PREPARE,
            view=message.view,
            height=height,
            block_hash=block_hash(message.header),
            validator=self.replica.members.primary(message.view, height),
            signature=message.signature,
        )

    def _add(self, log: HeightLog, vote: Vote) -> AddedVote:
        added = log.votes.add(vote) if self._is_current(vote.view) else log.votes.add_ahead(vote)
        if added.outcome is Added.CONFLICT and added.known is not None:
            accused = (vote.phase, vote.validator)
            if accused not in log.accused:
                log.accused.add(accused)
                first, second = self.inspector.vote_claim(added.known), self.inspector.vote_claim(vote)
                self.replica.emit(api.Evidence(first=first, second=second))
        return added
