"""What comes from a peer: what it claims, what is refused, what is ignored, what is evidence (issue 4, "Bad input")."""

from __future__ import annotations

from contextlib import suppress

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pbft_cluster import Cluster, certify
from pbft_forging import new_view, pre_prepare, proof, view_change, vote
from pbft_node import CHAIN_ID, GENESIS, Node, key_of, sign

from photon_consensus_pbft import messages
from photon_consensus_pbft.config import WINDOW_MAX, PbftConfig
from photon_consensus_pbft.engine import PbftEngine
from photon_consensus_pbft.messages import Message, NewView, PreparedClaim, Status, ViewChange, VotePhase
from photon_consensus_pbft.replica import Mode, Reason
from photon_core.api import codec
from photon_core.api import consensus as api
from photon_core.api.chain import VALIDATORS_MAX, Validator, ValidatorSet
from photon_core.api.errors import PeerProtocolError
from photon_core.api.finality import block_hash, claims_of
from photon_core.api.transport import FRAME_BYTES_MAX

CLUSTER = Cluster()
BLOCK = CLUSTER.block_on(GENESIS)
CHILD = CLUSTER.block_on(BLOCK)
OTHERS = [CLUSTER.block_on(GENESIS) for _ in range(3)]
QUORUM = (0, 1, 2)


def node_of(cluster: Cluster) -> Node:
    return cluster.start().nodes[1]


def inspect(message: Message | bytes) -> tuple[api.Claim, ...]:
    data = message if isinstance(message, bytes) else messages.encode(message)
    return CLUSTER.make_engine(1).inspect(data)


def full_change(validator: int = 2, view: int = 1) -> ViewChange:
    certificate = certify(BLOCK, QUORUM)
    return view_change(validator, view, proof(CHILD, 0, QUORUM), final_height=1, certificate=certificate)


def full_new_view() -> NewView:
    return new_view(1, 1, [full_change(i) for i in QUORUM])


# --- claims -----------------------------------------------------------------------------------------------------------


def test_every_signature_is_named_with_its_slot() -> None:
    [proposal] = inspect(pre_prepare(BLOCK, 0))
    [prepare] = inspect(vote(0, BLOCK))
    assert proposal == prepare, "a PRE-PREPARE is its primary's PREPARE"
    assert (proposal.key, proposal.slot) == (key_of(0), (1, 0, 1))
    [commit] = inspect(vote(3, BLOCK, VotePhase.COMMIT, view=6))
    assert (commit.key, commit.slot) == (key_of(3), (1, 6, 2))
    assert inspect(Status(view=1, active=True, final_height=0, heights=(0, 1, 7))) == ()


def test_nested_signatures_are_named_too() -> None:
    claims = inspect(full_change())
    assert claims[0].slot == (2, 1, 0)
    assert claims[1:4] == claims_of(certify(BLOCK, QUORUM))
    assert [claim.slot for claim in claims[4:]] == [(2, 0, 1)] * 3

    claims = inspect(full_new_view())
    assert [claim.slot for claim in claims[:5]] == [(2, 1, 0)] * 3 + [(2, 1, 3), (2, 1, 1)]
    assert len(claims) == 5 + 3 + 3
    assert all(sign(claim.key, claim.message) == claim.signature for claim in claims)


@pytest.mark.parametrize("place", range(11))
def test_one_bad_nested_signature_among_good_ones_is_told_by_its_claim(place: int) -> None:
    """Core verifies all claims; the message never reaches `step`."""
    made = full_new_view()
    plain = codec.decode(messages.encode(made), max_bytes=10**6)
    spots = _signatures(plain)
    assert len(spots) == 11
    holder, index = spots[place]
    holder[index] = bytes(64)
    cluster = Cluster()
    node = node_of(cluster)
    claims = node.engine.inspect(codec.encode(plain))
    assert [sign(c.key, c.message) == c.signature for c in claims].count(False) >= 1


def _signatures(plain: list) -> list[tuple[list, int]]:
    found = []
    for index, item in enumerate(plain):
        if isinstance(item, bytes) and len(item) == 64:
            found.append((plain, index))
        elif isinstance(item, list):
            found += _signatures(item)
    return found


def test_no_signature_of_one_chain_or_phase_passes_for_another() -> None:
    other = messages.vote_statement(b"\x34" * 32, 1, 0, 1, block_hash(BLOCK))
    assert other != messages.vote_statement(CHAIN_ID, 1, 0, 1, block_hash(BLOCK))
    statements = {messages.vote_statement(CHAIN_ID, phase, 0, 1, block_hash(BLOCK)) for phase in (1, 2)}
    statements.add(messages.change_statement(CHAIN_ID, full_change().change.statement))
    assert len(statements) == 3


# --- refused ----------------------------------------------------------------------------------------------------------


def bad(message: Message, **changed: object) -> Message:
    return attrs.evolve(message, **changed)


def bad_statement(**changed: object) -> ViewChange:
    made = full_change()
    statement = attrs.evolve(made.change.statement, **changed)
    return attrs.evolve(made, change=attrs.evolve(made.change, statement=statement))


CHANGES = full_new_view().changes
OTHER_CHAINS = attrs.evolve(
    certify(BLOCK, QUORUM), statement=attrs.evolve(certify(BLOCK, QUORUM).statement, chain_id=b"\x34" * 32)
)
REFUSED: dict[str, tuple[Message, str]] = {
    "a stranger's vote": (bad(vote(3, BLOCK), validator=4), "a validator with index 4; there are 4"),
    "a stranger's view change": (
        attrs.evolve(full_change(), change=attrs.evolve(full_change().change, validator=100)),
        "index 100",
    ),
    "another's block": (pre_prepare(CLUSTER.header_on(GENESIS, 2), 0), "that another proposes"),
    "a block of height 0": (pre_prepare(GENESIS, 0), "a PRE-PREPARE of height 0"),
    "ids that are none": (bad(pre_prepare(BLOCK, 0), transaction_ids=b"123"), "not 32 bytes each"),
    "a STATUS of too many heights": (Status(view=0, active=True, final_height=0, heights=(0,) * 5), "than the window"),
    "a view change to view 0": (bad_statement(view=0), "to view 0"),
    "a view change to a view in which it has prepared": (
        view_change(2, 3, proof(BLOCK, 3, QUORUM)),
        "in the view it asks for",
    ),
    "final without a certificate": (bad(full_change(), certificate=None), "without a certificate"),
    "another height's certificate": (bad_statement(final_height=0, prepared=()), "another height's certificate"),
    "a certificate one vote short": (
        view_change(2, 1, final_height=1, certificate=certify(BLOCK, (0, 1))),
        "signatures of 3 of the power",
    ),
    "a certificate with a stranger": (
        view_change(2, 1, final_height=1, certificate=certify(BLOCK, (0, 1, 2, 77))),
        "this height's validators",
    ),
    "another chain's certificate": (
        view_change(2, 1, final_height=1, certificate=OTHER_CHAINS),
        "this chain",
    ),
    "a proof one vote short": (
        view_change(2, 1, proof(BLOCK, 0, (0, 1))),
        "a proof with 2 of the power; a quorum is 3",
    ),
    "a proof with one vote twice": (
        view_change(2, 1, attrs.evolve(proof(BLOCK, 0, QUORUM), votes=proof(BLOCK, 0, (0, 1)).votes[:1] * 3)),
        "do not ascend",
    ),
    "a proof with a stranger": (view_change(2, 1, proof(BLOCK, 0, (0, 1, 4))), "that does not exist"),
    "a claim without its proof": (bad(full_change(), proofs=()), "not of what it claims"),
    "a proof of something else": (
        bad_statement(prepared=(PreparedClaim(height=2, view=0, block_hash=bytes(32)),)),
        "not of what it claims",
    ),
    "a claim outside the window": (view_change(2, 1, proof(attrs.evolve(CHILD, height=6), 0, QUORUM)), "its window"),
    "claims out of order": (
        view_change(2, 1, proof(CHILD, 0, QUORUM), proof(BLOCK, 0, QUORUM)),
        "do not ascend",
    ),
    "a new view of too few": (bad(full_new_view(), changes=CHANGES[:2]), "a NEW-VIEW with 2 of the power"),
    "a new view with one voice twice": (bad(full_new_view(), changes=CHANGES[:2] + CHANGES[1:]), "do not ascend"),
    "a new view out of order": (bad(full_new_view(), changes=CHANGES[::-1]), "do not ascend"),
    "a new view of another view's changes": (bad(full_new_view(), view=2), "for another view"),
    "a new view for view 0": (bad(full_new_view(), view=0), "for view 0"),
    "a new view without what decides": (bad(full_new_view(), proofs=()), "claimed as prepared, and not proven"),
    "a new view with more": (
        bad(full_new_view(), proofs=(proof(CHILD, 0, QUORUM), proof(BLOCK, 0, QUORUM))),
        "do not call for",
    ),
    "a new view without votes": (bad(full_new_view(), votes=()), "without a vote for each"),
    "a new view without a certificate": (bad(full_new_view(), certificate=None), "without a certificate"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_well_formed_is_refused_and_why(name: str) -> None:
    message, why = REFUSED[name]
    with pytest.raises(PeerProtocolError, match=why.replace("(", r"\(")):
        inspect(message)


def test_a_message_of_another_form_is_refused() -> None:
    data = messages.encode(vote(0, BLOCK))
    for wrong in (b"", data + b"\x00", data[:-1], b"\x82\x09\x80", b"\x00" * FRAME_BYTES_MAX, b"\xa0"):
        with pytest.raises(PeerProtocolError, match="consensus_pbft"):
            inspect(wrong)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    with suppress(PeerProtocolError):
        inspect(data)


SAMPLES = [messages.encode(m) for m in (vote(0, BLOCK), pre_prepare(BLOCK, 0), full_change(), full_new_view())]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_a_message_with_any_bytes_changed_is_a_message_or_refused_and_taken_without_an_exception(
    sample: bytes, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(sample)
    for place, value in changes:
        data[place % len(data)] = value
    node = node_of(Cluster(drop=lambda _: True))
    try:
        node.engine.inspect(bytes(data))
    except PeerProtocolError:
        return
    node.tell(api.Received(sender=key_of(2), message=bytes(data)))  # as if its claims were good
    node.cluster.settle()


# --- ignored and evidence ---------------------------------------------------------------------------------------------


def test_a_second_proposal_for_one_slot_is_evidence_once() -> None:
    """Paper, 4.2: a backup has not accepted another pre-prepare for this view and number. Design: evidence."""
    cluster = Cluster(drop=lambda _: True)
    node = node_of(cluster)
    cluster.inject(0, 1, pre_prepare(BLOCK, 0))
    for other in OTHERS:
        cluster.inject(0, 1, pre_prepare(other, 0))
    assert node.ignored() == {Reason.SECOND_PROPOSAL: 3}
    [evidence] = cluster.evidence
    assert evidence.first.slot == (1, 0, 1)
    assert node.replica.heights[1].candidate.block_hash == block_hash(BLOCK)


@pytest.mark.parametrize("phase", list(VotePhase))
@pytest.mark.parametrize("view", [0, 5])
def test_two_votes_in_one_slot_are_evidence(phase: VotePhase, view: int) -> None:
    cluster = Cluster(drop=lambda _: True)
    node_of(cluster)
    cluster.inject(2, 1, vote(2, BLOCK, phase, view))
    cluster.inject(3, 1, vote(2, BLOCK, phase, view))
    assert not cluster.evidence, "the same twice is no lie"
    cluster.inject(3, 1, vote(2, OTHERS[0], phase, view))
    [evidence] = cluster.evidence
    assert evidence.first.slot == (1, view, int(phase))


def test_two_view_changes_in_one_slot_are_evidence() -> None:
    cluster = Cluster(drop=lambda _: True)
    node_of(cluster)
    cluster.inject(2, 1, view_change(2, 3))
    for _ in range(2):
        cluster.inject(2, 1, view_change(2, 3, proof(BLOCK, 0, QUORUM)))
    [evidence] = cluster.evidence
    assert evidence.first.slot == (1, 3, 0)


def test_two_new_views_of_one_leader_are_evidence() -> None:
    cluster = Cluster(drop=lambda _: True)
    node = node_of(cluster)
    cluster.inject(3, 1, new_view(3, 3, [view_change(i, 3) for i in (0, 2, 3)]))
    cluster.settle()
    other = new_view(3, 3, [view_change(0, 3), view_change(2, 3, proof(BLOCK, 0, QUORUM)), view_change(3, 3)])
    for _ in range(2):
        cluster.inject(3, 1, other)
    [evidence] = cluster.evidence
    assert evidence.first.slot == (1, 3, 3)
    assert node.replica.mode is Mode.ACTIVE


def test_old_and_far_views_cost_nothing() -> None:
    """Of later views one vote per validator and phase is kept, the newest; a view change, too."""
    cluster = Cluster(drop=lambda _: True)
    node = node_of(cluster)
    for view in range(2, 300):
        cluster.inject(2, 1, vote(2, BLOCK, VotePhase.PREPARE, view))
        cluster.inject(2, 1, view_change(2, view))
    cluster.inject(2, 1, vote(2, BLOCK, VotePhase.PREPARE, 5))
    cluster.inject(2, 1, view_change(2, 5))
    assert node.ignored() == {Reason.SUPERSEDED: 2}
    assert len(node.replica.heights[1].votes._ahead) == 1
    assert len(node.engine._changing._changes) == 1


def test_a_primary_of_many_views_keeps_one_early_proposal_without_its_ids() -> None:
    cluster = Cluster(drop=lambda _: True)
    node = node_of(cluster)
    for view in range(4, 400, 4):  # 0 is primary of all of them
        cluster.inject(0, 1, pre_prepare(cluster.block_on(GENESIS), 0, view))
    [(primary, early)] = node.replica.heights[1].early.items()
    assert (primary, early.message.view, early.message.transaction_ids) == (0, 396, None)


def test_a_storm_of_status_is_answered_five_times_a_second() -> None:
    cluster = Cluster()
    node = node_of(cluster)
    cluster.order(1)
    for other in cluster.nodes:
        other.tell(api.WorkIgnored())
    cluster.settle()
    node.log.clear()
    for _ in range(100):
        cluster.now_ms += 10
        cluster.inject(2, 1, Status(view=0, active=True, final_height=1, heights=()))
    assert len(node.effects(api.SendNow)) == 5
    assert node.ignored()[Reason.TOO_OFTEN] == 95


def test_a_status_of_a_stranger_is_ignored() -> None:
    node = node_of(Cluster())
    status = messages.encode(Status(view=0, active=True, final_height=0, heights=()))
    node.tell(api.Received(sender=b"\x66" * 32, message=status))
    assert node.ignored() == {Reason.STRANGER: 1}


def test_memory_is_bounded_whatever_liars_send() -> None:
    """Design: bounded buffers. Heights: two windows. Per height, validator and phase: this view's vote and one more."""
    cluster = Cluster(drop=lambda _: True)
    node = node_of(cluster)
    for view in range(0, 40, 4):
        for height in range(1, 40):
            block = attrs.evolve(BLOCK, height=height, time_ms=view + height)
            for validator in (2, 3):
                for phase in VotePhase:
                    cluster.inject(2, 1, vote(validator, block, phase, view))
            cluster.inject(0, 1, pre_prepare(block, 0, view))
    replica = node.replica
    assert len(replica.heights) <= 2 * replica.config.window
    for log in replica.heights.values():
        assert len(log.votes._current) + len(log.votes._ahead) <= 2 * 2 * 4
        assert len(log.early) <= 4


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_the_largest_messages_fit_in_a_frame() -> None:
    """With as many validators as a chain can have, all of them in every list, and the widest window."""
    everybody = tuple(range(VALIDATORS_MAX))
    config = PbftConfig(window=WINDOW_MAX)
    cluster = Cluster(powers=(1,) * VALIDATORS_MAX, config=config)
    height = 2**40
    blocks = [attrs.evolve(BLOCK, height=height)]
    for _ in range(WINDOW_MAX):
        blocks.append(cluster.header_on(blocks[-1], 0))
    blocks = [attrs.evolve(block, time_ms=2**45) for block in blocks]
    view = 2**40
    proofs = [messages.PreparedProof(
        view=view - 1, header=block,
        votes=tuple(messages.ProofVote(i, bytes(64)) for i in everybody)) for block in blocks[1:]]  # fmt: skip
    certificate = certify(blocks[0], range(VALIDATORS_MAX))
    change = view_change(127, view, *proofs, final_height=height, certificate=certificate)
    made = NewView(
        view=view,
        changes=(change.change,) * VALIDATORS_MAX,
        certificate=certificate,
        proofs=(*proofs, proofs[-1]),
        votes=(bytes(64),) * WINDOW_MAX,
        signature=bytes(64),
    )
    many = attrs.evolve(pre_prepare(BLOCK, 0), transaction_ids=bytes(messages.ID_BYTES * messages.IDS_PER_MESSAGE_MAX))
    for message in (change, made, many):
        assert len(messages.encode(message)) < messages.MESSAGE_BYTES_MAX


def test_a_follower_takes_messages_and_says_nothing() -> None:
    follower = PbftEngine(
        api.EngineContext(
            chain_id=CHAIN_ID,
            validators=ValidatorSet(validators=(Validator(key=key_of(0), power=1),)),
            own_key=None,
            config=None,
        )
    )
    follower.step(api.Restored(records=(), height=0, block_hash=block_hash(GENESIS), certificate=None), 0)
    for message in (vote(0, BLOCK), pre_prepare(BLOCK, 0), Status(view=9, active=True, final_height=0, heights=())):
        assert follower.step(api.Received(sender=key_of(0), message=messages.encode(message)), 0) == ()
    assert follower.step(api.WorkWaiting(), 0) == ()
