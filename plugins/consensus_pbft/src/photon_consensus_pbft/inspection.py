"""What a peer's bytes claim: every signature in them, named; or why they are no message.

Pure, and bounded by the size of a frame. All that can be known of a message without state is checked here, so that what
reaches `step` is well-formed: indices are validators', lists are in order, quorums are quorums, proofs are of what is
claimed, and a NEW-VIEW begins with exactly the blocks that its own VIEW-CHANGEs call for. Signatures are core's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from photon_core.api.chain import Certificate
from photon_core.api.consensus import Claim
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.finality import block_hash, check_certificate_form, claims_of
from photon_core.api.ids import Hash

from . import messages
from .membership import Membership
from .messages import (
    ID_BYTES,
    NewView,
    Phase,
    PreparedProof,
    PrePrepare,
    SignedViewChange,
    Status,
    ViewChange,
    Vote,
    VotePhase,
)
from .new_view import CarryOver, UnprovenClaim, carry_over, claim_of, proven_final_height


class Inspector:
    def __init__(self, chain_id: Hash, members: Membership, window: int) -> None:
        self._chain_id = chain_id
        self._members = members
        self._window = window
        self._claims: dict[type, Callable[[Any], Iterator[Claim]]] = {
            PrePrepare: self._pre_prepare,
            Vote: self._vote,
            ViewChange: self._view_change,
            NewView: self._new_view,
            Status: self._status,
        }

    def claims(self, data: bytes) -> tuple[Claim, ...]:
        message = messages.decode(data)
        return tuple(self._claims[type(message)](message))

    def vote_claim(self, vote: Vote) -> Claim:
        return self._block_claim(vote.validator, vote.phase, vote.view, vote.height, vote.block_hash, vote.signature)

    def change_claim(self, change: SignedViewChange) -> Claim:
        return Claim(
            self._key(change.validator),
            messages.change_statement(self._chain_id, change.statement),
            change.signature,
            messages.change_slot(change.statement),
        )

    def new_view_claim(self, message: NewView) -> Claim:
        start = proven_final_height([change.statement for change in message.changes]) + 1
        return Claim(
            self._members.keys[self._members.primary(message.view, start)],
            messages.new_view_statement(self._chain_id, message.view, start, message.changes),
            message.signature,
            messages.slot_of(start, message.view, Phase.NEW_VIEW),
        )

    # --- per message -------------------------------------------------------------------------------------------------

    def _pre_prepare(self, message: PrePrepare) -> Iterator[Claim]:
        header = message.header
        _require(0 < header.height <= messages.NUMBER_MAX, f"a PRE-PREPARE of height {header.height}")
        ids = message.transaction_ids
        _require(ids is None or len(ids) % ID_BYTES == 0, "transaction ids that are not 32 bytes each")
        primary = self._members.primary(message.view, header.height)
        _require(header.proposer == self._members.keys[primary], "a PRE-PREPARE of a block that another proposes")
        yield self._block_claim(
            primary, Phase.PREPARE, message.view, header.height, block_hash(header), message.signature
        )

    def _vote(self, message: Vote) -> Iterator[Claim]:
        yield self.vote_claim(message)

    def _status(self, message: Status) -> Iterator[Claim]:
        _require(len(message.heights) <= self._window, "a STATUS of more heights than the window")
        yield from ()

    def _view_change(self, message: ViewChange) -> Iterator[Claim]:
        statement = message.change.statement
        self._check_change(message.change)
        self._check_certificate(message.certificate, statement.final_height)
        named = tuple(claim_of(proof) for proof in message.proofs)
        _require(named == statement.prepared, "a VIEW-CHANGE whose proofs are not of what it claims")
        yield self.change_claim(message.change)
        yield from self._nested(message.certificate, message.proofs)

    def _new_view(self, message: NewView) -> Iterator[Claim]:
        carried = self.check_new_view(message)
        leader = self._members.primary(message.view, carried.start)
        for change in message.changes:
            yield self.change_claim(change)
        yield self.new_view_claim(message)
        for proof, signature in zip(carried.carried, message.votes, strict=True):
            header = proof.header
            yield self._block_claim(leader, Phase.PREPARE, message.view, header.height, block_hash(header), signature)
        yield from self._nested(message.certificate, message.proofs)

    def check_new_view(self, message: NewView) -> CarryOver:
        """The blocks that this NEW-VIEW begins with; PeerProtocolError if it is not what its VIEW-CHANGEs call for."""
        _require(message.view > 0, "a NEW-VIEW for view 0, which nobody has to enter")
        self._check_voters([change.validator for change in message.changes], "a NEW-VIEW")
        for change in message.changes:
            _require(change.statement.view == message.view, "a NEW-VIEW with a VIEW-CHANGE for another view")
            self._check_change(change)
        statements = [change.statement for change in message.changes]
        final_height = proven_final_height(statements)
        self._check_certificate(message.certificate, final_height)
        proofs = {claim_of(proof): proof for proof in message.proofs}
        final_hash = message.certificate.statement.block_hash if message.certificate is not None else None
        try:
            carried = carry_over(statements, final_hash, proofs.get)
        except UnprovenClaim as error:
            raise PeerProtocolError(f"consensus_pbft: a NEW-VIEW for {message.view}: {error}") from None
        needed = carried.carried if carried.foreign is None else (*carried.carried, carried.foreign)
        _require(needed == message.proofs, "a NEW-VIEW with proofs of blocks that its VIEW-CHANGEs do not call for")
        _require(len(message.votes) == len(carried.carried), "a NEW-VIEW without a vote for each carried block")
        return carried

    # --- parts -------------------------------------------------------------------------------------------------------

    def _nested(self, certificate: Certificate | None, proofs: Sequence[PreparedProof]) -> Iterator[Claim]:
        if certificate is not None:
            yield from claims_of(certificate)
        for proof in proofs:
            self._check_voters([vote.validator for vote in proof.votes], "a proof")
            height, name = proof.header.height, block_hash(proof.header)
            for vote in proof.votes:
                yield self._block_claim(vote.validator, VotePhase.PREPARE, proof.view, height, name, vote.signature)

    def _check_change(self, change: SignedViewChange) -> None:
        statement = change.statement
        _require(statement.view > 0, "a VIEW-CHANGE to view 0")
        heights = [claim.height for claim in statement.prepared]
        window = range(statement.final_height + 1, statement.final_height + self._window + 1)
        _require(all(height in window for height in heights), "a VIEW-CHANGE with blocks outside its window")
        _require(all(a < b for a, b in pairwise(heights)), "a VIEW-CHANGE whose heights do not ascend")
        below = all(claim.view < statement.view for claim in statement.prepared)
        _require(below, "a VIEW-CHANGE with a block prepared in the view it asks for, or above")

    def _check_certificate(self, certificate: Certificate | None, final_height: int) -> None:
        if certificate is None:
            _require(final_height == 0, f"height {final_height} as final, without a certificate")
            return
        _require(certificate.statement.height == final_height, f"another height's certificate for {final_height}")
        try:
            check_certificate_form(certificate, self._members.validators, self._chain_id)
        except CodecError as error:
            raise PeerProtocolError(f"consensus_pbft: {error}") from None

    def _check_voters(self, indices: list[int], what: str) -> None:
        _require(all(a < b for a, b in pairwise(indices)), f"{what} whose validators do not ascend")
        _require(indices[-1] < len(self._members), f"{what} with a validator that does not exist")
        power = self._members.power(indices)
        _require(
            self._members.is_quorum(power),
            f"{what} with {power} of the power; a quorum is {self._members.quorum_power}",
        )

    def _block_claim(self, validator: int, phase: int, view: int, height: int, name: Hash, signature: bytes) -> Claim:
        statement = messages.vote_statement(self._chain_id, phase, view, height, name)
        return Claim(self._key(validator), statement, signature, messages.slot_of(height, view, phase))

    def _key(self, index: int) -> bytes:
        _require(index < len(self._members), f"a validator with index {index}; there are {len(self._members)}")
        return self._members.keys[index]


def _require(holds: bool, found: str) -> None:
    if not holds:
        raise PeerProtocolError(f"consensus_pbft: {found}")
