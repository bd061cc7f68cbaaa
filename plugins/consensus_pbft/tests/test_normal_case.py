"""Pre-prepare, prepare, commit, on a chain.

Numbers are sections of the PBFT paper (OSDI 1999), "design" is section 6 of Photon's.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from pbft_cluster import Cluster
from pbft_forging import pre_prepare, vote
from pbft_node import GENESIS, Node, key_of

from photon_consensus_pbft import messages
from photon_consensus_pbft.config import PbftConfig
from photon_consensus_pbft.messages import PrePrepare, Vote, VotePhase
from photon_consensus_pbft.replica import Mode, Reason
from photon_core.api import consensus as api
from photon_core.api.chain import Header
from photon_core.api.finality import block_hash

PREPARE, COMMIT = VotePhase.PREPARE, VotePhase.COMMIT


def alone(**parts: object) -> tuple[Cluster, Node]:
    """Backup 1 of four, in view 0, whose words nobody hears: what comes to it is the test's."""
    cluster = Cluster(drop=lambda _: True, **parts).start()  # type: ignore[arg-type]
    return cluster, cluster.nodes[1]


def votes_of(node: Node, phase: VotePhase) -> list[int]:
    """Heights for which it has told a vote of this phase."""
    sent = (messages.decode(e.message) for e in node.log if isinstance(e, api.SendNow | api.SendAfter))
    return [m.height for m in sent if isinstance(m, Vote) and m.phase is phase]


def chain_of(cluster: Cluster, length: int, parent: Header = GENESIS) -> list[Header]:
    headers = []
    for _ in range(length):
        parent = cluster.block_on(parent)
        headers.append(parent)
    return headers


# --- all together ----------------------------------------------------------------------------------------------------


def test_four_validators_order_blocks_while_no_time_passes() -> None:
    """4.2: three phases order requests; design: propose at once when idle."""
    cluster = Cluster().start()
    before_ms = cluster.now_ms
    cluster.order(20)
    assert cluster.now_ms == before_ms
    assert [node.final.height for node in cluster.nodes] == [20] * 4


@pytest.mark.parametrize("powers", [(1,), (1, 1), (1, 1, 1), (1,) * 7, (5, 1, 3, 2), (10**9, 1, 1, 1)])
def test_sets_of_any_size_and_power_order_blocks(powers: tuple[int, ...]) -> None:
    cluster = Cluster(powers=powers).start()
    cluster.order(5)
    assert len(cluster.decided) == 5


def test_the_turn_goes_on_with_the_tenure() -> None:
    """Design: the primary is (view + ⌊height / tenure⌋) mod n."""
    cluster = Cluster(config=PbftConfig(tenure_blocks=3)).start()
    cluster.order(12)
    proposers = [cluster.headers[cluster.decided[height]].proposer for height in range(1, 13)]
    assert proposers == [key_of(height // 3 % 4) for height in range(1, 13)]


def test_blocks_are_in_flight_up_to_the_window_and_no_further() -> None:
    """4.2: numbers lie between a low and a high water mark; design: at most W blocks past the last certificate."""
    cluster = Cluster(drop=lambda _: True).start()
    cluster.backlog = 100
    cluster.settle()
    sent = [messages.decode(effect.message) for effect in cluster.nodes[0].effects(api.SendNow)]
    assert [m.header.height for m in sent if isinstance(m, PrePrepare)] == [1, 2, 3, 4]


# --- pre-prepare and prepare -----------------------------------------------------------------------------------------


def test_a_backup_prepares_a_block_that_is_here_and_valid() -> None:
    """4.2: a backup that accepts the pre-prepare enters the prepare phase. Design: with every body in hand only."""
    cluster, node = alone()
    [block] = chain_of(cluster, 1)
    cluster.withheld.add(block_hash(block))
    cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.settle()
    assert votes_of(node, PREPARE) == []

    cluster.withheld.clear()
    cluster.settle()
    assert votes_of(node, PREPARE) == [1]


def test_a_block_on_an_unknown_ancestor_waits_for_it() -> None:
    """Design: blocks form a chain, so slots are not independent. 4.2: delivery need not be in order."""
    cluster, node = alone()
    first, second, third = chain_of(cluster, 3)
    for block in (third, second):
        cluster.inject(0, 1, pre_prepare(block, 0))
        cluster.settle()
    assert votes_of(node, PREPARE) == []

    cluster.inject(0, 1, pre_prepare(first, 0))
    cluster.settle()
    assert votes_of(node, PREPARE) == [1, 2, 3]


def test_a_foreign_parent_ends_the_view_and_gets_no_vote() -> None:
    """Design: PREPARE(h) is only for a block on the one accepted at h - 1."""
    cluster, node = alone()
    first, other = cluster.block_on(GENESIS), cluster.block_on(GENESIS)
    foreign = cluster.block_on(other)
    cluster.inject(0, 1, pre_prepare(first, 0))
    cluster.settle()
    cluster.inject(0, 1, pre_prepare(foreign, 0))
    cluster.settle()
    assert votes_of(node, PREPARE) == [1]
    assert (node.replica.view, node.replica.mode) == (1, Mode.PENDING)


def test_an_invalid_block_ends_the_view_and_gets_no_vote() -> None:
    """Design: block content rules; core judges the header (`Validated` with a reason)."""
    cluster, node = alone()
    [block] = chain_of(cluster, 1)
    cluster.invalid.add(block_hash(block))
    cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.settle()
    assert votes_of(node, PREPARE) == []
    assert (node.replica.view, node.replica.mode) == (1, Mode.PENDING)


def test_content_that_cannot_be_right_ends_the_view() -> None:
    """Core says so by `Validated`, unasked, in answer to `Fetch`: the ids are not what the header says."""
    cluster, node = alone()
    [block] = chain_of(cluster, 1)
    cluster.withheld.add(block_hash(block))
    cluster.inject(0, 1, pre_prepare(block, 0))
    node.tell(api.Validated(block_hash=block_hash(block), reason="another root"))
    assert (node.replica.view, node.replica.mode) == (1, Mode.PENDING)


def test_a_block_whose_time_is_off_by_this_clock_alone_gets_a_vote_once_an_honest_validator_gave_one() -> None:
    """Design, "Time": the bound is against the voter's clock. One wrong clock must cost neither a view nor a vote."""
    cluster, node = alone()
    node.clock_offset_ms = -5_000
    [block] = chain_of(cluster, 1)
    cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.settle()
    assert votes_of(node, PREPARE) == []
    assert node.replica.mode is Mode.ACTIVE, "the primary may be right"

    cluster.inject(2, 1, vote(2, block))  # with the primary's more than the liars have
    cluster.settle()
    assert votes_of(node, PREPARE) == [1]


def test_a_liar_alone_does_not_make_a_time_right() -> None:
    cluster, node = alone(powers=(1,) * 7)
    node.clock_offset_ms = -5_000
    [block] = chain_of(cluster, 1)
    cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.inject(2, 1, vote(2, block))
    cluster.settle()
    assert votes_of(node, PREPARE) == [], "two of seven may both be liars"


def test_a_body_that_nobody_has_costs_the_primary_its_view_and_nothing_else() -> None:
    cluster = Cluster().start()
    block = cluster.header_on(GENESIS, 0)
    cluster.nodes[0].crash()
    for target in (1, 2, 3):
        cluster.inject(0, target, pre_prepare(block, 0))
    cluster.order(3)
    assert block_hash(block) not in cluster.decided.values()


# --- commit ----------------------------------------------------------------------------------------------------------


def test_a_commit_leaves_when_a_quorum_has_prepared() -> None:
    """4.2: prepared is a pre-prepare and 2f matching prepares; then the replica multicasts a commit."""
    cluster, node = alone()
    [block] = chain_of(cluster, 1)
    cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.settle()
    assert votes_of(node, COMMIT) == [], "two of four is one vote short"
    cluster.inject(2, 1, vote(2, block))
    cluster.settle()
    assert votes_of(node, COMMIT) == [1]


def test_votes_for_another_block_or_of_the_same_validator_do_not_add_up() -> None:
    cluster, node = alone()
    [block], other = chain_of(cluster, 1), cluster.block_on(GENESIS)
    cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.inject(2, 1, vote(2, other))
    cluster.inject(0, 1, vote(0, block))
    cluster.settle()
    assert votes_of(node, COMMIT) == []


def test_power_counts_and_not_heads() -> None:
    """Design: stake-weighted quorums. 8 of 11 is a quorum, three validators with 6 are none."""
    cluster, node = alone(powers=(5, 1, 3, 2))
    [block] = chain_of(cluster, 1)
    cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.settle()
    assert votes_of(node, COMMIT) == [], "5 and 1"
    cluster.inject(3, 1, vote(3, block))
    cluster.settle()
    assert votes_of(node, COMMIT) == [1], "5, 1 and 2"


def test_no_commit_while_an_ancestor_is_not_prepared_in_this_view() -> None:
    """Design: commit(h) is sent only with prepared certificates of this view for all uncommitted ancestors."""
    cluster, node = alone()
    first, second = chain_of(cluster, 2)
    for block in (first, second):
        cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.inject(2, 1, vote(2, second))
    cluster.settle()
    assert votes_of(node, PREPARE) == [1, 2]
    assert votes_of(node, COMMIT) == []
    assert not node.effects(api.Persist)

    cluster.inject(2, 1, vote(2, first))
    cluster.settle()
    assert votes_of(node, COMMIT) == [1, 2]


def test_a_commit_leaves_only_after_its_proof_and_body_are_on_disk() -> None:
    """Design: a validator commits only when header, bodies and prepared certificate are in its write-ahead log."""
    cluster, node = alone()
    [block] = chain_of(cluster, 1)
    cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.settle()
    cluster.inject(2, 1, vote(2, block))
    [persist] = node.effects(api.Persist)
    assert (persist.height, persist.contents) == (1, (block_hash(block),))
    node.tell(next(event for event in node.answers if isinstance(event, api.Signed)))
    [commit] = node.effects(api.SendAfter)
    assert commit.token == persist.token
    assert messages.decode(commit.message) == vote(1, block, COMMIT)
    assert commit.message not in [effect.message for effect in node.effects(api.SendNow)]


def test_the_own_commit_counts_only_once_it_is_signed_and_its_proof_is_on_disk() -> None:
    """Spec: own commit counts only once both are done; a quorum must be one of disks."""
    cluster, node = alone()
    [block] = chain_of(cluster, 1)
    cluster.inject(0, 1, pre_prepare(block, 0))
    for validator in (0, 2):
        cluster.inject(validator, 1, vote(validator, block, COMMIT))
    cluster.settle()
    cluster.inject(2, 1, vote(2, block))
    pending = list(node.answers)
    assert {type(event) for event in pending} == {api.Persisted, api.Signed}
    node.answers.clear()
    signed = next(event for event in pending if isinstance(event, api.Signed))
    persisted = next(event for event in pending if isinstance(event, api.Persisted))
    node.tell(signed)
    assert not node.effects(api.Commit)
    node.persisted(persisted.token)
    assert len(node.effects(api.Commit)) == 1


def test_blocks_are_handed_over_in_order_and_once() -> None:
    """4.2: a replica executes only when its state reflects all lower sequence numbers; it may commit out of order."""
    cluster, node = alone()
    blocks = chain_of(cluster, 3)
    for block in blocks:
        cluster.inject(0, 1, pre_prepare(block, 0))
        cluster.inject(2, 1, vote(2, block))
    cluster.settle()
    for block in reversed(blocks):
        assert not node.effects(api.Commit)
        for validator in (2, 3):
            cluster.inject(validator, 1, vote(validator, block, COMMIT))
    cluster.settle()
    assert [effect.header.height for effect in node.effects(api.Commit)] == [1, 2, 3]


# --- water marks, garbage --------------------------------------------------------------------------------------------


def test_what_is_final_is_forgotten() -> None:
    """4.3: with a stable checkpoint all messages up to it are discarded. Here: with core's certificate."""
    cluster = Cluster().start()
    cluster.order(30)
    for node in cluster.nodes:
        assert not node.replica.heights
        assert not node.replica.proofs
        assert not node.disk
        floors = [effect.below_height for effect in node.effects(api.Forget)]
        assert floors == list(range(2, 32))


def test_finality_learnt_from_others_moves_the_window() -> None:
    """Contract: BlockFinal also comes for blocks that this engine did not commit."""
    cluster = Cluster().start()
    cluster.drop = lambda envelope: envelope.target == 3
    cluster.order(12)
    assert not cluster.nodes[3].effects(api.Commit)
    cluster.drop = lambda _: False
    cluster.order(3)
    assert cluster.nodes[3].effects(api.Commit), "it is back in the game"


def test_a_candidate_on_another_block_than_became_final_is_dropped_with_all_above_it() -> None:
    cluster, node = alone()
    first, second = chain_of(cluster, 2)
    for block in (first, second):
        cluster.inject(0, 1, pre_prepare(block, 0))
    cluster.settle()
    other = cluster.block_on(GENESIS)
    for index in (0, 2, 3):
        cluster.vouch(index, other)
    cluster.settle()
    assert node.final == other
    assert all(log.candidate is None for log in node.replica.heights.values())
    assert node.replica.mode is Mode.ACTIVE


@pytest.mark.parametrize(
    ("height", "reason"), [(0, None), (8, None), (9, Reason.FAR_HEIGHT), (10**12, Reason.FAR_HEIGHT)]
)
def test_two_windows_are_kept_and_the_rest_is_ignored(height: int, reason: Reason | None) -> None:
    """4.2: the high water mark keeps a faulty primary from exhausting the numbers by choosing a very large one."""
    cluster, node = alone()
    block = Header(
        height=max(height, 1),
        time_ms=1,
        parent=bytes(32),
        transactions_root=bytes(32),
        validators_hash=bytes(32),
        proposer=key_of(height // 100 % 4),
    )
    cluster.inject(2, 1, vote(2, block))
    assert list(node.ignored()) == ([reason] if reason else [])
    cluster.inject(0, 1, pre_prepare(block, height // 100 % 4))
    assert set(node.ignored()) == ({reason} if reason else set())


def test_final_heights_are_ignored() -> None:
    cluster = Cluster().start()
    cluster.order(2)
    node = cluster.nodes[1]
    cluster.inject(2, 1, vote(2, cluster.headers[cluster.decided[2]]))
    assert node.ignored()[Reason.OLD_HEIGHT] == 1


# --- the primary -----------------------------------------------------------------------------------------------------


def test_an_answer_that_is_wanted_no_more_is_dropped() -> None:
    """A view change, or another block, may come between BuildProposal and ProposalBuilt."""
    cluster = Cluster(drop=lambda _: True).start()
    primary = cluster.nodes[0]
    primary.tell(api.WorkWaiting())
    primary.tell(api.WorkIgnored())
    other = cluster.block_on(GENESIS)
    for index in (1, 2, 3):
        cluster.vouch(index, other)
    cluster.finalize(primary)
    cluster.settle()
    assert not primary.effects(api.Sign)


def test_only_the_primary_builds() -> None:
    cluster = Cluster().start()
    cluster.order(10)
    assert [bool(node.effects(api.BuildProposal)) for node in cluster.nodes] == [True, False, False, False]


def test_a_block_of_many_transactions_is_proposed_without_their_ids() -> None:
    """The message must fit in a frame; the ids are fetched by the block's hash."""
    cluster, node = Cluster(drop=lambda _: True).start(), None
    node = cluster.nodes[0]
    node.tell(api.WorkWaiting())
    built = node.answers.popleft()
    ids = tuple(n.to_bytes(32, "big") for n in range(messages.IDS_PER_MESSAGE_MAX + 1))
    proposal = built.proposal
    node.tell(api.ProposalBuilt(proposal=type(proposal)(
        header=proposal.header, transaction_ids=ids, block_hash=proposal.block_hash)))  # fmt: skip
    cluster.settle()
    [sent] = [m for e in node.effects(api.SendNow) if isinstance(m := messages.decode(e.message), PrePrepare)]
    assert sent.transaction_ids is None


def test_ids_travel_with_the_proposal_and_come_out_one_by_one() -> None:
    cluster, node = alone()
    [block] = chain_of(cluster, 1)
    ids = tuple(bytes([n]) * 32 for n in range(5))
    message = pre_prepare(block, 0)
    cluster.inject(0, 1, PrePrepare(
        view=0, header=block, transaction_ids=b"".join(ids), signature=message.signature))  # fmt: skip
    [fetch] = node.effects(api.Fetch)
    assert fetch.transaction_ids == ids
    assert fetch.hint == key_of(0)


def test_ids_that_another_than_the_primary_tells_are_not_believed() -> None:
    """They stand beside the signature, not under it: a backup that is first with wrong ones must not cost an honest
    primary its view.
    """
    cluster, node = alone()
    [block] = chain_of(cluster, 1)
    message = pre_prepare(block, 0)
    wrong = PrePrepare(view=0, header=block, transaction_ids=b"\xff" * 32, signature=message.signature)
    cluster.inject(2, 1, wrong)
    [fetch] = node.effects(api.Fetch)
    assert fetch.transaction_ids is None
    cluster.settle()
    assert votes_of(node, PREPARE) == [1]


def test_heights_of_one_chain_only_are_committed() -> None:
    cluster = Cluster().start()
    cluster.order(10)
    headers = [cluster.headers[cluster.decided[height]] for height in range(1, 11)]
    assert all(block_hash(below) == above.parent for below, above in pairwise([GENESIS, *headers]))
