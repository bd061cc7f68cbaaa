"""Leaving a view and entering the next. Numbers are sections of the PBFT paper, "design" is section 6 of Photon's."""

from __future__ import annotations

from itertools import pairwise

import pytest
from pbft_cluster import Cluster, Envelope, certify
from pbft_forging import new_view, pre_prepare, proof, view_change, vote
from pbft_node import GENESIS, Node

from photon_consensus_pbft import messages
from photon_consensus_pbft.config import PbftConfig
from photon_consensus_pbft.messages import NewView, Phase, Status, ViewChange, Vote, VotePhase
from photon_consensus_pbft.replica import PATIENCE_DOUBLINGS_MAX, Mode, Reason
from photon_core.api import consensus as api
from photon_core.api.finality import block_hash

TIMEOUT_MS = PbftConfig().view_change_timeout_ms


def alone(**parts: object) -> tuple[Cluster, Node]:
    cluster = Cluster(drop=lambda _: True, **parts).start()  # type: ignore[arg-type]
    return cluster, cluster.nodes[1]


def all_are_heard(cluster: Cluster, final_height: int = 0) -> None:
    for index in (0, 2, 3):
        cluster.inject(index, 1, Status(view=0, active=True, final_height=final_height, heights=()))


def sent(node: Node, kind: type) -> list:
    found = (messages.decode(e.message) for e in node.log if isinstance(e, api.SendNow | api.SendAfter))
    return [message for message in found if isinstance(message, kind)]


def standing(node: Node) -> tuple[int, Mode]:
    return node.replica.view, node.replica.mode


def commits_at(cluster: Cluster, *reached: int):
    """Lets COMMITs through to these nodes only."""

    def drop(envelope: Envelope) -> bool:
        message = envelope.message
        return isinstance(message, Vote) and message.phase is VotePhase.COMMIT and envelope.target not in reached

    cluster.drop = drop


def change_views(cluster: Cluster) -> None:
    """Everything arrives again, and the backups have left before any STATUS could heal what was lost."""
    cluster.drop = lambda _: False
    cluster.wire.clear()
    for node in cluster.alive:
        node.tell(api.WorkIgnored())
    cluster.settle()


# --- when ------------------------------------------------------------------------------------------------------------


def test_patience_begins_with_work_and_is_not_begun_again() -> None:
    """4.4: a backup starts a timer when it receives a request and the timer is not already running."""
    cluster, node = alone()
    all_are_heard(cluster)
    node.tell(api.WorkWaiting())
    cluster.advance(TIMEOUT_MS - 1)
    node.tell(api.WorkWaiting())
    assert standing(node) == (0, Mode.ACTIVE)
    cluster.advance(1)
    assert standing(node) == (1, Mode.PENDING)


def test_without_work_a_view_lasts() -> None:
    cluster = Cluster().start()
    cluster.advance(3_600_000)
    assert [standing(node) for node in cluster.nodes] == [(0, Mode.ACTIVE)] * 4


def test_a_block_that_becomes_final_ends_the_wait_and_what_still_waits_begins_another() -> None:
    """4.4: it stops the timer when no longer waiting, and restarts it if it waits for something else."""
    cluster, node = alone()
    first = cluster.block_on(GENESIS)
    second = cluster.block_on(first)
    for block in (first, second):
        cluster.inject(0, 1, pre_prepare(block, 0))
    all_are_heard(cluster)
    cluster.advance(TIMEOUT_MS - 1)
    for index in (0, 2, 3):
        cluster.vouch(index, first)
    cluster.advance(TIMEOUT_MS - 1)
    assert standing(node) == (0, Mode.ACTIVE)
    cluster.advance(2)
    assert standing(node) == (1, Mode.PENDING)


def test_whoever_is_shut_out_asks_for_a_view_change() -> None:
    """Design: a backup also asks for one when an executable transaction is left out of N blocks that had room."""
    cluster, node = alone()
    node.tell(api.WorkIgnored())
    assert standing(node) == (1, Mode.PENDING)
    primary = cluster.nodes[0]
    primary.tell(api.WorkIgnored())
    assert standing(primary) == (0, Mode.ACTIVE), "it knows best why"


def test_a_process_that_stood_still_blames_nobody_at_first() -> None:
    """A timer that fires long after it was due says more about this process than about the primary."""
    cluster, node = alone()
    node.tell(api.WorkWaiting())
    cluster.now_ms += 20_000
    all_are_heard(cluster)
    while cluster.next_timer(cluster.now_ms):
        pass
    assert standing(node) == (0, Mode.ACTIVE)
    cluster.advance(TIMEOUT_MS)
    assert standing(node) == (1, Mode.PENDING), "once, not for ever"


def test_who_lags_behind_blames_nobody() -> None:
    """Others have later blocks, and of those who say so one is honest: the chain goes on."""
    cluster, node = alone()
    node.tell(api.WorkWaiting())
    for _ in range(10):
        all_are_heard(cluster, final_height=7)
        cluster.advance(TIMEOUT_MS)
    assert standing(node) == (0, Mode.ACTIVE)


def test_who_is_cut_off_blames_nobody() -> None:
    """Without a quorum in hearing no view can be changed; to ask for it would only close the own one."""
    cluster, node = alone()
    cluster.inject(2, 1, Status(view=0, active=True, final_height=0, heights=()))
    node.tell(api.WorkWaiting())
    cluster.advance(10 * TIMEOUT_MS)
    assert standing(node) == (0, Mode.ACTIVE)
    all_are_heard(cluster)
    cluster.advance(TIMEOUT_MS)
    assert standing(node) == (1, Mode.PENDING)


def test_a_validator_that_was_away_while_nothing_happened_comes_back_into_the_view() -> None:
    """A restarted one sees an overdue heartbeat before it has heard a word; that is not the primary's fault."""
    cluster = Cluster().start()
    cluster.order(2)
    cluster.nodes[3].crash()
    cluster.order(5)
    cluster.held.add(3)  # core takes its time to catch up
    cluster.nodes[3].start()
    cluster.backlog += 1
    cluster.advance(3_000)
    cluster.held.clear()
    cluster.order(3)
    assert {standing(node) for node in cluster.nodes} == {(0, Mode.ACTIVE)}


def test_one_liar_that_claims_later_blocks_does_not_keep_a_dead_primary() -> None:
    cluster, node = alone()
    node.tell(api.WorkWaiting())
    all_are_heard(cluster)
    cluster.inject(2, 1, Status(view=0, active=True, final_height=7, heights=()))
    cluster.advance(TIMEOUT_MS)
    assert standing(node) == (1, Mode.PENDING)


# --- leaving ---------------------------------------------------------------------------------------------------------


def test_a_view_change_is_on_disk_before_it_is_signed_and_signed_before_it_is_sent() -> None:
    """Design: durability order. What is signed once must be what is signed again after a crash."""
    _, node = alone()
    node.tell(api.WorkIgnored())
    [persist] = node.effects(api.Persist)
    assert not node.effects(api.Sign)
    node.persisted(persist.token)
    node.answers.clear()
    [asked] = node.effects(api.Sign)
    assert asked.slot == (1, 1, Phase.VIEW_CHANGE)
    assert asked.round_floor == 1, "design: a view change forbids earlier views"
    assert not sent(node, ViewChange)
    node.tell(api.Signed(slot=asked.slot, signature=bytes(64)))
    assert len(sent(node, ViewChange)) == 1


def test_what_was_prepared_is_claimed_with_its_proof() -> None:
    """4.4: a VIEW-CHANGE has a set P with, for each request prepared above the checkpoint, its proof."""
    cluster, node = alone()
    first = cluster.block_on(GENESIS)
    second = cluster.block_on(first)
    for block in (first, second):
        cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.settle()
    cluster.inject(2, 1, vote(2, first))
    cluster.settle()
    node.tell(api.WorkIgnored())
    cluster.settle()
    [message] = sent(node, ViewChange)
    assert [claim.block_hash for claim in message.change.statement.prepared] == [block_hash(first)]
    assert message.proofs == (proof(first, 0, (0, 1, 2)),)


def test_in_a_view_change_nothing_of_lower_views_is_taken_or_told() -> None:
    """4.4: it stops accepting messages other than checkpoint, view-change and new-view messages."""
    cluster, node = alone()
    block = cluster.block_on(GENESIS)
    cluster.inject(0, 1, pre_prepare(block, 0))  # its PREPARE is being signed
    node.tell(api.WorkIgnored())
    cluster.inject(2, 1, vote(2, block))
    for validator in (0, 2, 3):
        cluster.inject(validator, 1, vote(validator, block, VotePhase.COMMIT))
    cluster.settle()
    assert not sent(node, Vote)
    assert not node.effects(api.Commit)
    assert node.ignored() == {Reason.OLD_VIEW: 4}


# --- joining ---------------------------------------------------------------------------------------------------------


def test_weak_power_that_has_left_is_followed_at_once() -> None:
    """4.5.2: with f + 1 VIEW-CHANGEs for views above its own a replica sends one too, before its timer expires."""
    cluster, node = alone()
    cluster.inject(2, 1, view_change(2, 1))
    assert standing(node) == (0, Mode.ACTIVE), "4.5.2: one faulty replica cannot cause a view change"
    cluster.inject(3, 1, view_change(3, 1))
    assert standing(node) == (1, Mode.PENDING)


@pytest.mark.parametrize(("views", "joined"), [((5, 5), 5), ((3, 9), 3), ((9, 3), 3)])
def test_it_joins_the_highest_view_that_an_honest_validator_has_reached(views: tuple[int, int], joined: int) -> None:
    """4.5.2 joins the smallest view of f + 1; of these one may be a liar's, and lower than all honest ones."""
    cluster, node = alone()
    for validator, view in zip((2, 3), views, strict=True):
        cluster.inject(validator, 1, view_change(validator, view))
    assert standing(node) == (joined, Mode.PENDING)


def test_weak_power_is_power() -> None:
    cluster, node = alone(powers=(5, 1, 3, 2))
    cluster.inject(2, 1, view_change(2, 1))
    assert standing(node) == (0, Mode.ACTIVE), "3 of 11 may be liars"
    cluster.inject(3, 1, view_change(3, 1))
    assert standing(node) == (1, Mode.PENDING)


# --- the new view ----------------------------------------------------------------------------------------------------


def test_with_the_primary_down_the_chain_goes_on() -> None:
    """Issue 4: with one of four down the chain goes on within 5 s."""
    cluster = Cluster().start()
    cluster.order(3)
    cluster.nodes[0].crash()
    cluster.order(3, within_ms=2 * TIMEOUT_MS)
    assert {standing(node) for node in cluster.alive} == {(1, Mode.ACTIVE)}


def test_a_backup_that_is_down_is_not_missed() -> None:
    cluster = Cluster().start()
    cluster.nodes[2].crash()
    cluster.order(10, within_ms=1)


def test_when_the_next_leader_is_down_too_the_one_after_it_leads() -> None:
    """4.5.2: patience ends without a NEW-VIEW for v + 1, and it asks for v + 2."""
    cluster = Cluster(powers=(1,) * 7).start()
    cluster.order(2)
    cluster.nodes[0].crash()
    cluster.nodes[1].crash()
    cluster.order(3)
    assert {standing(node) for node in cluster.alive} == {(2, Mode.ACTIVE)}


def test_patience_doubles_from_view_to_view_up_to_a_bound_and_a_block_makes_it_short_again() -> None:
    """4.5.2: the timer after that of v + 1 waits 2T, and so on."""
    cluster = Cluster().start()
    cluster.order(1)
    cluster.nodes[0].crash()
    cluster.drop = lambda envelope: isinstance(envelope.message, NewView)
    cluster.backlog += 100
    times, view = [], 0
    while len(times) < PATIENCE_DOUBLINGS_MAX + 4:
        cluster.settle()
        top = max(node.replica.view for node in cluster.alive)
        if top > view:
            times.append(cluster.now_ms)
            view = top
        cluster.next_timer(cluster.now_ms + 10**6)
    waits = [(after - before) // TIMEOUT_MS for before, after in pairwise(times)]
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert set(waits[5:]) == {2**PATIENCE_DOUBLINGS_MAX}

    cluster.drop = lambda _: False
    cluster.order(2, within_ms=40 * TIMEOUT_MS)
    assert {node.replica.patience_ms for node in cluster.alive} == {TIMEOUT_MS}


@pytest.mark.parametrize("returning", [0, 1])
@pytest.mark.parametrize("heard_before_ms", [0, 3_000])
def test_while_two_of_four_are_down_nothing_commits_and_views_do_not_run_away(
    heard_before_ms: int, returning: int
) -> None:
    """4.5.2: the timer runs only with 2f + 1 VIEW-CHANGEs here. Issue 4: progress within 5 s of a return."""
    cluster = Cluster().start()
    cluster.order(3)
    cluster.advance(heard_before_ms)
    cluster.nodes[0].crash()
    cluster.nodes[1].crash()
    height = max(cluster.decided)
    cluster.backlog = height + 3
    cluster.advance(600_000)
    assert max(cluster.decided) == height
    waits_in = (1, Mode.PENDING) if heard_before_ms else (0, Mode.ACTIVE)
    assert {standing(node) for node in cluster.alive} == {waits_in}
    cluster.nodes[returning].start()
    cluster.order(3, within_ms=5_000)


def test_after_a_view_that_was_left_patience_does_not_run_on_the_votes_for_it() -> None:
    """A VIEW-CHANGE for a lower view says nothing of the next one."""
    cluster, node = alone()
    for validator in (2, 3):
        cluster.inject(validator, 1, view_change(validator, 1))
    cluster.settle()
    cluster.drop = lambda _: True
    node.replica.mode = Mode.PENDING  # its own NEW-VIEW, as leader of view 1, is lost with the disk it is on
    node.engine._changing.start(2, "for this test")
    cluster.advance(10**6)
    assert standing(node) == (2, Mode.PENDING)


def test_a_liar_cannot_hurry_views() -> None:
    """4.5.2: faulty replicas are unable to impede progress by forcing frequent view changes."""
    cluster = Cluster().start()
    cluster.nodes[3].crash()
    for view in range(1, 50):
        for target in (0, 1, 2):
            cluster.inject(3, target, view_change(3, view))
    cluster.order(5, within_ms=1)
    assert {standing(node) for node in cluster.alive} == {(0, Mode.ACTIVE)}


def test_blocks_prepared_in_the_old_view_are_prepared_again_byte_for_byte() -> None:
    """4.4: replicas redo the protocol for the messages of O. Design: carried-over blocks, exempt from the clock."""
    cluster = Cluster().start()
    commits_at(cluster)
    cluster.backlog = 3
    cluster.settle()
    prepared = cluster.nodes[1].replica.proofs[3].header
    change_views(cluster)
    assert cluster.decided[3] == block_hash(prepared)
    carried = [e for e in cluster.nodes[1].effects(api.Validate) if e.late_max_ms is None]
    assert not carried, "what was found valid once is not asked again"
    votes = [(m.view, m.height) for m in sent(cluster.nodes[2], Vote) if m.phase is VotePhase.PREPARE]
    assert votes == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]


@pytest.mark.parametrize("survivor", [1, 2, 3])
def test_a_block_that_one_validator_committed_survives_without_it(survivor: int) -> None:
    """Safety over views: it committed, told nobody, and is gone; every later view must have that block."""
    cluster = Cluster().start()
    commits_at(cluster, survivor)
    cluster.backlog = 2
    cluster.settle()
    assert set(cluster.decided) == {1, 2}
    assert {node.final.height for node in cluster.nodes} == {0}, "there is no certificate"
    decided = dict(cluster.decided)
    cluster.nodes[survivor].crash()
    change_views(cluster)
    cluster.order(4, within_ms=10_000)
    assert decided.items() <= cluster.decided.items()


def test_a_block_committed_here_and_not_final_is_voted_for_again() -> None:
    """4.4: requests between min-s and max-s are done again; they are not executed again."""
    cluster = Cluster().start()
    commits_at(cluster, 2)
    cluster.backlog = 1
    cluster.settle()
    [commit] = cluster.nodes[2].effects(api.Commit)
    change_views(cluster)
    cluster.order(2)
    assert [e.header.height for e in cluster.nodes[2].effects(api.Commit)].count(commit.header.height) == 1
    assert any(v.view == 1 and v.height == 1 for v in sent(cluster.nodes[2], Vote))


def test_a_leader_that_is_behind_begins_above_the_highest_proven_block() -> None:
    """Design: from the highest proven commit, whoever proved it; core of the leader catches up meanwhile."""
    cluster = Cluster().start()
    cluster.held.add(1)
    cluster.drop = lambda envelope: envelope.target == 1
    cluster.order(6)
    cluster.drop = lambda _: False
    cluster.nodes[0].crash()
    cluster.backlog += 2
    cluster.advance(2 * TIMEOUT_MS)
    cluster.held.clear()
    cluster.order(4, within_ms=10_000)


def test_a_backup_that_is_behind_enters_and_waits_for_core() -> None:
    cluster = Cluster().start()
    cluster.order(6)
    header = cluster.headers[cluster.decided[6]]
    late, node = alone()
    block = cluster.block_on(header)
    certificate = certify(header, (0, 1, 2))
    changes = [
        view_change(i, 1, proof(block, 0, (0, 2, 3)), final_height=6, certificate=certificate) for i in (0, 2, 3)
    ]
    late.inject(2, 1, new_view(1, 1, changes))
    late.settle()
    assert standing(node) == (1, Mode.ACTIVE)
    assert node.replica.fresh_from == 8
    assert not sent(node, Vote)
    foreign = late.header_on(GENESIS, 1)
    late.inject(2, 1, pre_prepare(foreign, 1, view=1))
    assert node.ignored()[Reason.NOT_FRESH] == 1, "below the new view's blocks nobody proposes"


def test_a_new_view_for_the_wrong_view_or_a_second_time_is_ignored() -> None:
    cluster, node = alone()
    message = new_view(3, 3, [view_change(i, 3) for i in (0, 2, 3)])
    cluster.inject(3, 1, message)
    cluster.settle()
    assert standing(node) == (3, Mode.ACTIVE), "a quorum has left: views below are closed for it"
    cluster.inject(3, 1, message)
    cluster.inject(3, 1, new_view(2, 2, [view_change(i, 2) for i in (0, 2, 3)]))
    assert node.ignored() == {Reason.DUPLICATE: 1, Reason.OLD_VIEW: 1}


def test_a_view_is_on_disk_before_anything_is_signed_in_it() -> None:
    cluster, node = alone()
    cluster.inject(3, 1, new_view(3, 3, [view_change(i, 3) for i in (0, 2, 3)]))
    assert standing(node) == (3, Mode.ENTERING)
    block = cluster.block_on(GENESIS, 3)
    cluster.inject(3, 1, pre_prepare(block, 3, view=3))
    assert not node.effects(api.Sign)
    cluster.settle()
    assert [m.view for m in sent(node, Vote)] == [3], "what came meanwhile is not lost"


def test_a_leader_whose_signer_refuses_leaves_the_view_to_patience() -> None:
    cluster = Cluster().start()
    cluster.nodes[1].signed[1, 1, Phase.NEW_VIEW] = b"something else"
    cluster.nodes[0].crash()
    cluster.order(2)
    assert {standing(node) for node in cluster.alive} == {(2, Mode.ACTIVE)}


def test_a_validator_that_abstains_changes_nothing_for_the_others() -> None:
    """Design: a doubtful signer abstains. Its engine follows, and votes where it may."""
    cluster = Cluster().start()
    cluster.nodes[0].abstains = True
    cluster.order(3)
    cluster.nodes[0].abstains = False
    cluster.order(3)


# --- the primary stands still ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 1])
def test_a_validator_that_was_stopped_for_20_s_comes_back(index: int) -> None:
    """Issue 4: SIGSTOP for 20 s and CONT of the primary."""
    cluster = Cluster().start()
    cluster.order(3)
    cluster.backlog += 5
    cluster.stop(index)
    cluster.advance(20_000)
    cluster.go_on(index)
    cluster.order(5)
    cluster.advance(5_000)
    views = {standing(node) for node in cluster.nodes}
    assert len(views) == 1, f"all in one view, voting: {cluster.picture()}"


# --- loss ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [NewView, ViewChange, messages.PrePrepare, Vote])
def test_whatever_kind_is_lost_for_a_while_heals(kind: type) -> None:
    """Retransmission: no message has a retry of its own, STATUS heals them all."""
    cluster = Cluster().start()
    cluster.order(2)
    cluster.nodes[0].crash()
    lost = []

    def drop(envelope: Envelope) -> bool:
        if isinstance(envelope.message, kind) and len(lost) < 12:
            lost.append(envelope)
            return True
        return False

    cluster.drop = drop
    cluster.order(4, within_ms=10_000)
    assert lost


def test_work_that_waited_when_the_view_failed_is_proposed_when_the_next_is_active() -> None:
    """Core says once that something waits; it need not say it again for the new primary to propose."""
    cluster = Cluster().start()
    cluster.stop(0)
    for node in cluster.alive:
        node.tell(api.WorkWaiting())
    cluster.advance(2 * TIMEOUT_MS)
    assert [node.final.height for node in cluster.alive] == [1, 1, 1], cluster.picture()
