"""Where a validator stands after a restart, from its own records."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from photon_core.api.finality import block_hash

from . import records
from .heights import Candidate
from .messages import NewView, PreparedProof, Vote, VotePhase
from .records import PendingView, Record
from .replica import Replica


@frozen
class Standing:
    """The highest view that it asked for or entered, by what it did last; None: view 0, where everybody begins.

    Of a NEW-VIEW and a view change for one view, the NEW-VIEW came later.
    """

    last: PendingView | NewView | None
    proofs: dict[int, PreparedProof]

    @property
    def view(self) -> int:
        if self.last is None:
            return 0
        return self.last.view if isinstance(self.last, NewView) else self.last.statement.view


def _rank(record: PendingView | NewView) -> tuple[int, bool, int]:
    if isinstance(record, NewView):
        return (record.view, True, 0)
    return (record.statement.view, False, record.statement.final_height)


def standing_of(raw_records: Iterable[bytes], final_height: int) -> Standing:
    """All proofs above the final height come back, each height's of the highest view: the next VIEW-CHANGE must claim
    them, since a COMMIT for any of them may have left before the crash.
    """
    decoded: list[Record] = [records.decode(raw) for raw in raw_records]
    views = [record for record in decoded if not isinstance(record, PreparedProof)]
    proofs: dict[int, PreparedProof] = {}
    for record in decoded:
        if isinstance(record, PreparedProof) and record.header.height > final_height:
            known = proofs.get(record.header.height)
            if known is None or known.view < record.view:
                proofs[record.header.height] = record
    return Standing(max(views, key=_rank, default=None), proofs)


def restore_prepared(replica: Replica, now_ms: int) -> None:
    """Blocks that were prepared in the active view are candidates again, with the votes that prepared them; their
    bodies are pinned in core. The own COMMIT is signed anew: one slot, one statement, the same signature.
    """
    for height, proof in sorted(replica.proofs.items()):
        if proof.view != replica.view:
            continue
        log, name = replica.log_of(height), block_hash(proof.header)
        carried = log.candidate
        primary = replica.members.primary(replica.view, height)
        for vote in proof.votes:
            log.votes.add(
                Vote(
                    phase=VotePhase.PREPARE,
                    view=proof.view,
                    height=height,
                    block_hash=name,
                    validator=vote.validator,
                    signature=vote.signature,
                )
            )
        log.candidate = carried or Candidate(
            header=proof.header,
            block_hash=name,
            signature=next((vote.signature for vote in proof.votes if vote.validator == primary), None),
            arrived_ms=now_ms,
        )
        log.candidate.recorded = True
