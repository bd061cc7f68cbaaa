"""The leader's NEW-VIEW while its signatures are being made."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from photon_core.api.chain import Certificate
from photon_core.api.consensus import Slot
from photon_core.api.finality import block_hash
from photon_core.api.ids import Hash

from . import messages
from .messages import NewView, Phase, SignedViewChange, ViewChange
from .new_view import CarryOver, carry_over, claim_of, proven_final_height


@define(kw_only=True)
class Draft:
    """`statements` are all that the leader has to sign, by slot: one PREPARE per carried block, and the NEW-VIEW."""

    view: int
    changes: tuple[SignedViewChange, ...]
    certificate: Certificate | None
    carried: CarryOver
    statements: dict[Slot, bytes]
    signatures: dict[Slot, bytes] = field(factory=dict)

    def finished(self) -> NewView | None:
        if self.signatures.keys() != self.statements.keys():
            return None
        foreign = () if self.carried.foreign is None else (self.carried.foreign,)
        return NewView(
            view=self.view,
            changes=self.changes,
            certificate=self.certificate,
            proofs=(*self.carried.carried, *foreign),
            votes=tuple(
                self.signatures[messages.slot_of(proof.header.height, self.view, Phase.PREPARE)]
                for proof in self.carried.carried
            ),
            signature=self.signatures[messages.slot_of(self.carried.start, self.view, Phase.NEW_VIEW)],
        )


def draft_new_view(chain_id: Hash, view: int, received: Sequence[ViewChange]) -> Draft:
    """From a quorum's VIEW-CHANGEs, ascending by validator. Each has the proofs of what it claims."""
    changes = tuple(message.change for message in received)
    statements = [change.statement for change in changes]
    final_height = proven_final_height(statements)
    certificate = next(m.certificate for m in received if m.change.statement.final_height == final_height)
    proofs = {claim_of(proof): proof for message in received for proof in message.proofs}
    final_hash = certificate.statement.block_hash if certificate is not None else None
    carried = carry_over(statements, final_hash, proofs.get)
    to_sign = {
        messages.slot_of(proof.header.height, view, Phase.PREPARE): messages.vote_statement(
            chain_id, Phase.PREPARE, view, proof.header.height, block_hash(proof.header)
        )
        for proof in carried.carried
    }
    to_sign[messages.slot_of(carried.start, view, Phase.NEW_VIEW)] = messages.new_view_statement(
        chain_id, view, carried.start, changes
    )
    return Draft(view=view, changes=changes, certificate=certificate, carried=carried, statements=to_sign)
