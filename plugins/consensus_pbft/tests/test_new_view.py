"""Which blocks a new view begins with. The sentence under test is that of design, section 6, on new-view."""

from __future__ import annotations

import pytest
from pbft_cluster import Cluster, certify
from pbft_forging import proof, view_change
from pbft_node import GENESIS

from photon_consensus_pbft.messages import PreparedProof, ViewChange
from photon_consensus_pbft.new_view import CarryOver, UnprovenClaim, carry_over, claim_of
from photon_core.api.chain import Header
from photon_core.api.finality import block_hash

VOTERS = (0, 1, 2)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def choose(*changes: ViewChange, final: Header | None = None) -> CarryOver:
    proofs = {claim_of(p): p for change in changes for p in change.proofs}
    statements = [message.change.statement for message in changes]
    return carry_over(statements, None if final is None else block_hash(final), proofs.get)


def headers(carried: CarryOver) -> list[Header]:
    return [proof.header for proof in carried.carried]


def test_nothing_prepared_carries_nothing() -> None:
    carried = choose(*(view_change(i, 1) for i in VOTERS))
    assert (carried.start, carried.carried, carried.fresh_from) == (1, (), 1)


def test_one_validator_that_prepared_a_block_is_enough_to_carry_it(cluster: Cluster) -> None:
    block = cluster.block_on(GENESIS)
    carried = choose(view_change(0, 1), view_change(1, 1, proof(block, 0, VOTERS)), view_change(2, 1))
    assert headers(carried) == [block]
    assert carried.fresh_from == 2


def test_per_height_the_highest_view_wins(cluster: Cluster) -> None:
    """It takes per height the prepared block of the highest view: a later view's quorum may have committed."""
    old, new = cluster.block_on(GENESIS), cluster.block_on(GENESIS, 1)
    a, b = view_change(0, 6, proof(old, 2, VOTERS)), view_change(1, 6, proof(new, 5, VOTERS))
    assert headers(choose(a, b)) == [new]
    assert headers(choose(b, a)) == [new]


def test_a_gap_stops_the_walk(cluster: Cluster) -> None:
    """It stops at the first gap: what is above was committed by nobody, or the gap would not be there."""
    first = cluster.block_on(GENESIS)
    third = cluster.block_on(cluster.block_on(first))
    carried = choose(view_change(0, 1, proof(first, 0, VOTERS), proof(third, 0, VOTERS)), view_change(1, 1))
    assert headers(carried) == [first]
    assert carried.foreign is None


def test_a_foreign_parent_stops_the_walk(cluster: Cluster) -> None:
    """Or at a foreign parent; there are no null blocks."""
    one, other = cluster.block_on(GENESIS), cluster.block_on(GENESIS, 1)
    child = cluster.block_on(one)
    carried = choose(
        view_change(0, 3, proof(one, 0, VOTERS), proof(child, 0, VOTERS)), view_change(1, 3, proof(other, 1, VOTERS))
    )
    assert headers(carried) == [other]
    assert carried.foreign == proof(child, 0, VOTERS)
    assert carried.fresh_from == 2


def test_the_walk_starts_on_the_highest_proven_final_block(cluster: Cluster) -> None:
    """New-view walks up from the highest proven commit. What others claim at or below it is past."""
    first = cluster.block_on(GENESIS)
    second = cluster.block_on(first)
    behind = view_change(0, 1, proof(first, 0, VOTERS), proof(second, 0, VOTERS))
    ahead = view_change(1, 1, final_height=1, certificate=certify(first, VOTERS))
    carried = choose(behind, ahead, final=first)
    assert (carried.start, headers(carried)) == (2, [second])


def test_a_block_on_another_than_the_final_one_is_not_carried(cluster: Cluster) -> None:
    final, lost = cluster.block_on(GENESIS), cluster.block_on(GENESIS, 1)
    child = cluster.block_on(lost)
    behind = view_change(0, 2, proof(lost, 0, VOTERS), proof(child, 0, VOTERS))
    ahead = view_change(1, 2, final_height=1, certificate=certify(final, VOTERS))
    carried = choose(behind, ahead, final=final)
    assert headers(carried) == []
    assert carried.foreign == proof(child, 0, VOTERS)


def test_a_claim_that_decides_must_be_shown(cluster: Cluster) -> None:
    """A liar's claim of a higher view than any real one must not hide the real one."""
    real, made_up = cluster.block_on(GENESIS), cluster.block_on(GENESIS, 1)
    honest, liar = view_change(0, 9, proof(real, 0, VOTERS)), view_change(1, 9, proof(made_up, 8, VOTERS))
    shown: dict[object, PreparedProof] = {claim_of(p): p for p in honest.proofs}
    with pytest.raises(UnprovenClaim, match="height 1, view 8"):
        carry_over([honest.change.statement, liar.change.statement], None, shown.get)


def test_the_order_of_view_changes_does_not_matter(cluster: Cluster) -> None:
    """4.4: a backup verifies O by the computation that the primary made."""
    blocks = [cluster.block_on(GENESIS, i) for i in range(3)]
    changes = [view_change(i, 9, proof(block, i, VOTERS)) for i, block in enumerate(blocks)]
    assert choose(*changes) == choose(*reversed(changes))
