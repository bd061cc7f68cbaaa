"""A validator that was killed, anywhere: it never contradicts itself, and what it may have committed it claims."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pbft_cluster import Cluster
from pbft_forging import new_view, pre_prepare, proof, view_change, vote
from pbft_node import GENESIS, Node

from photon_consensus_pbft import messages, records
from photon_consensus_pbft.config import PbftConfig
from photon_consensus_pbft.messages import NewView, Phase, ViewChange, Vote, VotePhase
from photon_consensus_pbft.records import PendingView
from photon_consensus_pbft.recovery import standing_of
from photon_consensus_pbft.replica import RECORD_LIFE_BLOCKS, Mode
from photon_core.api import consensus as api
from photon_core.api.errors import LocalProtocolError
from photon_core.api.finality import block_hash


def sent(node: Node, kind: type) -> list:
    found = (messages.decode(e.message) for e in node.log if isinstance(e, api.SendNow | api.SendAfter))
    return [message for message in found if isinstance(message, kind)]


def restart(node: Node) -> None:
    node.crash()
    node.log.clear()
    node.start()


def prepared() -> tuple[Cluster, Node, object]:
    """Backup 1 has prepared a block and its proof is on disk; nobody has heard of it."""
    cluster = Cluster(drop=lambda _: True).start()
    block = cluster.block_on(GENESIS)
    cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.settle()
    cluster.inject(2, 1, vote(2, block))
    cluster.settle()
    return cluster, cluster.nodes[1], block


def a_kill_of_the_primary(cluster: Cluster) -> None:
    cluster.nodes[0].crash()
    for node in cluster.alive:
        node.tell(api.WorkIgnored())


def nothing(cluster: Cluster) -> None:
    """Just the normal case."""


@pytest.mark.parametrize("before", [nothing, a_kill_of_the_primary])
@pytest.mark.parametrize("victim", [1, 2, 3])
def test_killed_after_any_step_it_comes_back_and_all_agree(victim: int, before: Callable[[Cluster], None]) -> None:
    """Contract: Restored with every record that was persisted. Issue 4: a restarted one catches up, all agree."""
    step = 0
    while True:
        cluster = Cluster().start()
        cluster.backlog = 2
        for _ in range(6):
            cluster.happen()
        before(cluster)
        over = not all([cluster.happen() for _ in range(step)])  # noqa: C419  # each is to happen
        restart(cluster.nodes[victim])
        cluster.order(3, within_ms=10_000)
        assert not [e for e in cluster.nodes[victim].effects(api.StateChange) if "Phase.COMMIT" in e.what]
        if over:
            return
        step += 3


@pytest.mark.parametrize("step", range(0, 60, 4))
def test_all_killed_at_once_go_on_from_their_disks(step: int) -> None:
    cluster = Cluster().start()
    cluster.backlog = 3
    for _ in range(step):
        cluster.happen()
    decided = dict(cluster.decided)
    cluster.wire.clear()
    for node in cluster.nodes:
        restart(node)
    cluster.order(3, within_ms=10_000)
    assert decided.items() <= cluster.decided.items()


def test_a_commit_is_signed_again_and_told_again() -> None:
    """Same slot, same statement: the signer gives the same signature, and its proof needs no second write."""
    _, node, block = prepared()
    restart(node)
    node.cluster.settle()
    [asked] = node.effects(api.Sign)
    assert asked.slot == (1, 0, Phase.COMMIT)
    assert sent(node, Vote) == [vote(1, block, VotePhase.COMMIT)]
    assert not node.effects(api.Persist)


def test_the_next_view_change_claims_what_was_prepared_before_the_crash() -> None:
    """Design: a COMMIT may have left; a prepared certificate that is forgotten could lose a committed block."""
    cluster, node, block = prepared()
    restart(node)
    node.tell(api.WorkIgnored())
    cluster.settle()
    [message] = sent(node, ViewChange)
    assert [claim.block_hash for claim in message.change.statement.prepared] == [block_hash(block)]
    assert message.proofs == (proof(block, 0, (0, 1, 2)),)


def test_what_was_prepared_but_not_on_disk_was_never_promised() -> None:
    cluster = Cluster(drop=lambda _: True).start()
    node, block = cluster.nodes[1], cluster.block_on(GENESIS)
    cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.settle()
    cluster.inject(2, 1, vote(2, block))  # persisting and signing are under way
    restart(node)
    assert not node.replica.proofs
    assert not [m for m in sent(node, Vote) if m.phase is VotePhase.COMMIT]


def test_a_pending_view_change_is_pending_again_with_the_same_statement() -> None:
    cluster, node, _ = prepared()
    node.tell(api.WorkIgnored())
    cluster.settle()
    [before] = sent(node, ViewChange)
    restart(node)
    cluster.settle()
    assert (node.replica.view, node.replica.mode) == (1, Mode.PENDING)
    assert sent(node, ViewChange) == [before]
    assert not [e for e in node.effects(api.StateChange) if "refused" in e.what]


def test_a_view_that_was_entered_is_active_again_with_its_blocks() -> None:
    cluster = Cluster(drop=lambda _: True).start()
    node, block = cluster.nodes[1], cluster.block_on(GENESIS)
    message = new_view(3, 3, [view_change(i, 3, proof(block, 0, (0, 2, 3))) for i in (0, 2, 3)])
    cluster.inject(3, 1, message)
    cluster.settle()
    restart(node)
    cluster.settle()
    assert (node.replica.view, node.replica.mode) == (3, Mode.ACTIVE)
    assert node.replica.fresh_from == 2
    assert sent(node, Vote) == [vote(1, block, VotePhase.PREPARE, 3)]


def test_a_primary_that_forgot_what_it_proposed_gets_it_back_from_others() -> None:
    """Its signer refuses another block in that slot; the old one comes by STATUS, and no view is lost."""
    cluster = Cluster().start()
    primary = cluster.nodes[0]
    cluster.backlog = 1
    while not cluster.nodes[1].bodies:
        assert cluster.happen()
    proposed = cluster.nodes[1].replica.heights[1].candidate.block_hash
    restart(primary)
    cluster.wire.clear()
    cluster.now_ms += 1  # whatever it builds now has another time
    cluster.order(1, within_ms=900)
    assert cluster.decided[1] == proposed
    assert primary.replica.view == 0


def test_a_proof_of_a_later_view_replaces_one_of_an_earlier_view() -> None:
    cluster = Cluster()
    old, new = cluster.block_on(GENESIS), cluster.block_on(GENESIS, 1)
    raw = [records.encode(proof(header, view, (0, 1, 2))) for header, view in ((old, 0), (new, 4), (old, 2))]
    assert standing_of(raw, 0).proofs == {1: proof(new, 4, (0, 1, 2))}
    assert standing_of(raw, 1).proofs == {}


def test_the_highest_view_counts_and_in_it_the_last_step() -> None:
    changes = [view_change(i, 2) for i in (0, 1, 2)]
    pending = [
        records.encode(PendingView(statement=view_change(0, view).change.statement, certificate=None, proofs=()))
        for view in (1, 2)
    ]
    entered = records.encode(new_view(2, 2, changes))
    later = records.encode(PendingView(statement=view_change(0, 3).change.statement, certificate=None, proofs=()))
    assert isinstance(standing_of([*pending, entered], 0).last, NewView)
    assert isinstance(standing_of([entered, *pending], 0).last, NewView)
    assert standing_of([later, entered], 0).view == 3
    assert standing_of([], 0).view == 0


def test_a_record_that_is_none_is_a_bug_and_said() -> None:
    with pytest.raises(LocalProtocolError, match="came back from disk as something else"):
        standing_of([b"\x00"], 0)


def test_a_view_outlives_the_records_of_its_time() -> None:
    """Forget gives up by height: a view that lasts is written again."""
    cluster = Cluster(config=PbftConfig(tenure_blocks=10**6)).start()
    cluster.order(1)
    cluster.nodes[0].crash()
    cluster.order(1)
    node = cluster.nodes[1]
    while node.final.height < RECORD_LIFE_BLOCKS + 50:
        cluster.order(210)
        cluster.advance(1_000)  # block time is ahead of a clock that stands still
    assert len(node.disk) <= 2
    restart(node)
    assert (node.replica.view, node.replica.mode) == (1, Mode.ACTIVE)


def test_a_validator_back_from_a_pending_view_that_the_chain_has_left_behind_asks_anew() -> None:
    """Its old statement is below the signer's mark: the new one is for the height where the chain is."""
    cluster = Cluster().start()
    cluster.order(1)
    node = cluster.nodes[3]
    node.tell(api.WorkIgnored())
    cluster.settle()
    node.crash()
    cluster.order(3)
    node.start()
    for _ in range(3):
        cluster.finalize(node)
    cluster.advance(1_500)
    cluster.nodes[0].crash()
    cluster.order(3)


def test_a_validator_whose_blocks_are_older_than_its_records_asks_for_no_view_before_it_has_caught_up() -> None:
    """What it must claim lies beyond its window: others would take the VIEW-CHANGE for a breach, and it may not claim
    less.
    """
    cluster = Cluster().start()
    cluster.order(6)
    node = cluster.nodes[1]
    node.disk.append((6, records.encode(proof(cluster.headers[cluster.decided[6]], 0, (0, 1, 2)))))
    node.final, node.certificate = GENESIS, None
    cluster.held.add(1)
    restart(node)
    node.tell(api.WorkIgnored())
    cluster.advance(1_000)
    assert node.replica.mode is Mode.PENDING
    assert not sent(node, ViewChange)
    cluster.held.clear()
    cluster.settle()
    cluster.advance(1_000)
    assert {message.change.statement.final_height for message in sent(node, ViewChange)} == {6}
