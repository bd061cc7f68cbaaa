"""The primary's part: when to ask core for a block, and what becomes of it."""

from __future__ import annotations

from attrs import define

from photon_core.api import consensus as api
from photon_core.api.chain import Proposal
from photon_core.api.ids import Hash

from .heights import Candidate, Validity
from .messages import IDS_PER_MESSAGE_MAX
from .ordering import Ordering
from .replica import Mode, Replica


@define
class Proposing:
    """`wanted` is the height and parent of the block that core was asked for and has not built. Core may let a request
    lapse, so with more work it is asked once more; while one is wanted, no other is.
    """

    replica: Replica
    ordering: Ordering
    wanted: tuple[int, Hash] | None = None

    def work_waiting(self) -> None:
        replica = self.replica
        if replica.own is None:
            return
        replica.work_waiting = True
        self.wanted = self._next()
        if self.wanted is not None:
            replica.emit(api.BuildProposal(height=self.wanted[0], parent=self.wanted[1]))
        self.ordering.watch()

    def view_active(self) -> None:
        """With nothing carried over, what waited when the view before failed still waits. Core need not say so again,
        and may not: it can take the block that was left behind for one on its way.
        """
        replica = self.replica
        if replica.work_waiting and replica.fresh_from == replica.final.height + 1:
            self.work_waiting()

    def _next(self) -> tuple[int, Hash] | None:
        replica = self.replica
        if replica.mode is not Mode.ACTIVE:
            return None
        top, parent = self.ordering.top()
        height = top + 1
        if not replica.fresh_from <= height <= replica.window_top:
            return None
        log = replica.heights.get(height)
        taken = log is not None and (log.closed or log.candidate is not None)
        return None if taken or replica.members.primary(replica.view, height) != replica.own else (height, parent)

    def proposal_built(self, proposal: Proposal) -> None:
        """An answer to what is wanted no more (a view change, another block) is dropped."""
        header = proposal.header
        if self.wanted != (header.height, header.parent) or self.wanted != self._next():
            return
        self.wanted = None
        ids = proposal.transaction_ids
        self.replica.log_of(header.height).candidate = Candidate(
            header=header,
            block_hash=proposal.block_hash,
            built=True,
            transaction_ids=b"".join(ids) if len(ids) <= IDS_PER_MESSAGE_MAX else None,
            arrived_ms=self.replica.now_ms,
            content=True,
            validity=Validity.VALID,
        )
        self.ordering.advance()
