"""Votes of one height: each validator once, and of later views the newest."""

from __future__ import annotations

import pytest
from pbft_cluster import Cluster
from pbft_forging import vote
from pbft_node import GENESIS

from photon_consensus_pbft.membership import Membership
from photon_consensus_pbft.messages import VotePhase
from photon_consensus_pbft.votes import Added, VoteTable
from photon_core.api.finality import block_hash

CLUSTER = Cluster(powers=(4, 3, 2, 1))
BLOCK, OTHER = CLUSTER.block_on(GENESIS), CLUSTER.block_on(GENESIS)
PREPARE, COMMIT = VotePhase.PREPARE, VotePhase.COMMIT


@pytest.fixture
def table() -> VoteTable:
    return VoteTable(Membership(CLUSTER.validators, 100))


def test_power_adds_up_per_phase_and_block(table: VoteTable) -> None:
    table.add(vote(0, BLOCK))
    table.add(vote(1, OTHER))
    table.add(vote(2, BLOCK))
    table.add(vote(0, BLOCK, COMMIT))
    assert [table.power(PREPARE, block_hash(b)) for b in (BLOCK, OTHER)] == [6, 3]
    assert table.power(COMMIT, block_hash(BLOCK)) == 4
    assert not table.has_quorum(PREPARE, block_hash(BLOCK))


def test_a_second_vote_counts_nothing_and_is_compared(table: VoteTable) -> None:
    assert table.add(vote(0, BLOCK)).outcome is Added.NEW
    assert table.add(vote(0, BLOCK)).outcome is Added.DUPLICATE
    conflict = table.add(vote(0, OTHER))
    assert (conflict.outcome, conflict.known) == (Added.CONFLICT, vote(0, BLOCK))
    assert [table.power(PREPARE, block_hash(b)) for b in (BLOCK, OTHER)] == [4, 0]


def test_of_views_to_come_each_validators_newest_vote_is_kept(table: VoteTable) -> None:
    for view, outcome in ((3, Added.NEW), (2, Added.OUTDATED), (5, Added.NEW), (5, Added.DUPLICATE)):
        assert table.add_ahead(vote(0, BLOCK, view=view)).outcome is outcome
    assert table.add_ahead(vote(0, OTHER, view=5)).outcome is Added.CONFLICT


def test_entering_a_view_counts_what_came_early_for_it_and_nothing_of_before(table: VoteTable) -> None:
    table.add(vote(0, BLOCK))
    for validator, view in ((1, 2), (2, 3), (3, 4)):
        table.add_ahead(vote(validator, BLOCK, view=view))
    table.enter(3)
    assert table.power(PREPARE, block_hash(BLOCK)) == 2
    table.enter(4)
    assert table.power(PREPARE, block_hash(BLOCK)) == 1


def test_a_proof_names_who_prepared_this_block_in_order(table: VoteTable) -> None:
    for validator, block in ((3, BLOCK), (1, OTHER), (0, BLOCK)):
        table.add(vote(validator, block))
    assert [v.validator for v in table.proof_votes(block_hash(BLOCK))] == [0, 3]
