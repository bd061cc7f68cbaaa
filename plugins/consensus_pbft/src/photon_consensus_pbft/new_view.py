"""Which blocks a new view begins with: the one decision on which safety over views hangs.

Pure functions over the VIEW-CHANGEs of a quorum. The leader calls them to make a NEW-VIEW, everybody else to check it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count

from attrs import frozen

from photon_core.api.finality import block_hash
from photon_core.api.ids import Hash

from .messages import PreparedClaim, PreparedProof, ViewChangeStatement

ProofOf = Callable[[PreparedClaim], PreparedProof | None]


class UnprovenClaim(Exception):
    """A view change claims a prepared block that decides, and no proof of it is at hand."""


@frozen(kw_only=True)
class CarryOver:
    """`start` is the first height above the highest proven final one; `carried` are proofs of the blocks from there on,
    without a gap; `foreign` is the block that stopped the walk because its parent is not the block before it.
    """

    start: int
    carried: tuple[PreparedProof, ...]
    foreign: PreparedProof | None

    @property
    def fresh_from(self) -> int:
        """The first height at which this view's primaries may propose blocks of their own."""
        return self.start + len(self.carried)


def proven_final_height(statements: Iterable[ViewChangeStatement]) -> int:
    return max(statement.final_height for statement in statements)


def deciding_claims(statements: Sequence[ViewChangeStatement], height: int) -> tuple[PreparedClaim, ...]:
    """Of all claims for this height those of the highest view, in order of their hashes: one, unless quorums lie."""
    claims = {claim for statement in statements for claim in statement.prepared if claim.height == height}
    highest = max((claim.view for claim in claims), default=0)
    return tuple(sorted((c for c in claims if c.view == highest), key=lambda claim: claim.block_hash))


def carry_over(statements: Sequence[ViewChangeStatement], final_hash: Hash | None, proof_of: ProofOf) -> CarryOver:
    """Walk up from the highest proven final block: per height the prepared block of the highest view, until a gap or a
    foreign parent. `final_hash` names the block to start on; None for genesis, whose child no honest validator ever
    prepared on anything else. UnprovenClaim if a claim that decides cannot be shown.

    Why a committed block survives
    ------------------------------
    Claim: if block b at height h is committed in view v, then in each later view w, whoever accepts a block at h
    accepts b. By induction over w; assume it for all views from v up to w.

    1. A quorum C sent COMMIT(v, h, b); the VIEW-CHANGEs are of a quorum R. They share an honest validator r. Before its
       COMMIT left, r had on disk the proofs of b *and of all of b's ancestors above r's final height, each prepared in
       v* (`ordering.may_commit`). It sent the COMMIT before its VIEW-CHANGE, since that closes all views below w
       for ever; so its VIEW-CHANGE, which is made of what is on disk, claims each of them at view v or above.
    2. Let S be the highest final height proven in R. If S ≥ h, the certificate stands for b itself or for a
       descendant: its signers committed a block at each height up to S, and by induction at h that was b. Otherwise
       r's final height is at most S, so that at *every* height g in (S, h] R holds a claim of view v or above.
    3. Such a claim, proven, names b's ancestor at g (call it b_g; b itself at h). In view v: two quorums of PREPAREs in
       one view share an honest validator, and it prepares one block per height and view. In a view u with v < u < w:
       by induction u's NEW-VIEW carried b_g, or began above g on top of a certificate for it; and below `fresh_from`
       nobody honest takes any other proposal of that view. So nothing else was prepared at g from v on.
    4. So the highest claim at each g is b_g; each b_g is the parent of the next, and the certified block at S is the
       parent of the first. The walk meets no gap and no foreign parent before it has b.

    Step 2 is where prepared ancestors are needed: without them the walk may stop at a gap below b, though a quorum has
    committed b. Nobody would have handed b over, since that goes in order (`ordering.advance`); but a commit that may
    be undone is none, and whoever makes a quorum of COMMITs count for the ancestors too is right only because of it.
    Foreign parents are the same matter: below a committed block none can stop the walk, above it nothing is lost.
    """
    start = proven_final_height(statements) + 1
    parent = final_hash
    carried: list[PreparedProof] = []
    for height in count(start):
        claims = deciding_claims(statements, height)
        if not claims:
            break
        proof = next((proof for claim in claims if (proof := proof_of(claim)) is not None), None)
        if proof is None:
            raise UnprovenClaim(f"height {height}, view {claims[0].view}: claimed as prepared, and not proven")
        if parent is not None and proof.header.parent != parent:
            return CarryOver(start=start, carried=tuple(carried), foreign=proof)
        carried.append(proof)
        parent = block_hash(proof.header)
    return CarryOver(start=start, carried=tuple(carried), foreign=None)


def claim_of(proof: PreparedProof) -> PreparedClaim:
    return PreparedClaim(height=proof.header.height, view=proof.view, block_hash=block_hash(proof.header))
