"""What validators may say: messages under any of the tests' keys, true or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pbft_node import CHAIN_ID, key_of, sign

from photon_consensus_pbft import messages
from photon_consensus_pbft.leading import draft_new_view
from photon_consensus_pbft.messages import (
    NewView,
    Phase,
    PreparedClaim,
    PreparedProof,
    PrePrepare,
    ProofVote,
    SignedViewChange,
    ViewChange,
    ViewChangeStatement,
    Vote,
    VotePhase,
)
from photon_core.api.chain import Certificate, Header
from photon_core.api.finality import block_hash


def pre_prepare(header: Header, primary: int, view: int = 0) -> PrePrepare:
    name = block_hash(header)
    statement = messages.vote_statement(CHAIN_ID, Phase.PREPARE, view, header.height, name)
    return PrePrepare(view=view, header=header, transaction_ids=name, signature=sign(key_of(primary), statement))


def vote(validator: int, header: Header, phase: VotePhase = VotePhase.PREPARE, view: int = 0) -> Vote:
    name = block_hash(header)
    statement = messages.vote_statement(CHAIN_ID, phase, view, header.height, name)
    return Vote(
        phase=phase,
        view=view,
        height=header.height,
        block_hash=name,
        validator=validator,
        signature=sign(key_of(validator), statement),
    )


def proof(header: Header, view: int, voters: Iterable[int]) -> PreparedProof:
    votes = (vote(i, header, VotePhase.PREPARE, view) for i in sorted(voters))
    return PreparedProof(view=view, header=header, votes=tuple(ProofVote(v.validator, v.signature) for v in votes))


def view_change(
    validator: int,
    view: int,
    *proofs: PreparedProof,
    final_height: int = 0,
    certificate: Certificate | None = None,
) -> ViewChange:
    prepared = tuple(
        PreparedClaim(height=p.header.height, view=p.view, block_hash=block_hash(p.header)) for p in proofs
    )
    statement = ViewChangeStatement(view=view, final_height=final_height, prepared=prepared)
    signature = sign(key_of(validator), messages.change_statement(CHAIN_ID, statement))
    change = SignedViewChange(statement=statement, validator=validator, signature=signature)
    return ViewChange(change=change, certificate=certificate, proofs=proofs)


def new_view(leader: int, view: int, changes: Sequence[ViewChange]) -> NewView:
    """As an honest leader makes it."""
    draft = draft_new_view(CHAIN_ID, view, changes)
    draft.signatures = {slot: sign(key_of(leader), statement) for slot, statement in draft.statements.items()}
    made = draft.finished()
    assert made is not None
    return made
