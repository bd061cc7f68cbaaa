"""The core as values: what it asks for, in which order, and where it stops."""

from __future__ import annotations

import pytest
from attrs import evolve

from photon_core.api.chain import Certificate, FinalityStatement, StatementSignature
from photon_core.api.errors import LocalProtocolError
from photon_core.api.finality import block_hash
from photon_core.chain.certificates import sign_statement, verify_certificate
from photon_core.chain.keys import KeyPurpose, from_seed
from photon_core.node import steps
from photon_core.node.core import RESEND_MS
from photon_core.node.heads import BEHIND_BLOCKS
from photon_core.testing.exchange import GENESIS_TIME_MS
from photon_core.testing.node import VALIDATOR, SimulatedNode, node_genesis, transfer

GENESIS = node_genesis()
PEER = b"\x0a" * 32


def now(ms: int = 0) -> steps.Now:
    return steps.Now(unix_ms=GENESIS_TIME_MS + ms, monotonic_ms=ms)


def started(*, validator: bool) -> SimulatedNode:
    node = SimulatedNode(b"\x01" * 32, GENESIS, VALIDATOR if validator else None)
    node.start(now())
    node.handle(steps.PeerAppeared(peer=PEER), now())
    node.outgoing.clear()
    return node


def submit(node: SimulatedNode, *sequences: int, ms: int = 1) -> None:
    transactions = tuple(transfer(node.chain_id, sequence) for sequence in sequences)
    node.handle(steps.TransactionsArrived(transactions=transactions, ticket=ms), now(ms))


def with_one_block() -> SimulatedNode:
    node = started(validator=True)
    submit(node, 0)
    node.finish_all(now(2))
    return node


def hear_of(node: SimulatedNode, peer: bytes, height: int) -> None:
    """A statement of the validator behind `peer`, for a block at this height."""
    certificate = node.core.pipeline.head.certificate
    assert certificate is not None
    statement = evolve(certificate.statement, height=height)
    signature = StatementSignature(validator=peer[::-1], signature=bytes(64))
    node.handle(steps.StatementArrived(statement=statement, signature=signature), now(4))


def kinds(effects: list[steps.Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def resigned(certificate: Certificate, **changes: object) -> Certificate:
    """What the validator would have signed had it seen something else."""
    statement: FinalityStatement = evolve(certificate.statement, **changes)
    return Certificate(statement=statement, signatures=(sign_statement(VALIDATOR, statement),))


# --- one block's road ------------------------------------------------------------------------------------------------


def test_a_block_is_written_executed_signed_certified_and_only_then_published() -> None:
    node = started(validator=True)
    submit(node, 0)
    road = []
    while node.todo:
        assert not node.published, "published before the road's end"
        assert len(node.todo) == 1
        road.append(type(node.todo[0]).__name__)
        node.finish(node.todo[0], now(2))
    assert road == ["WriteBlock", "UpdateTree", "SignStatement", "WriteCertificate"]
    (published,) = node.published
    verify_certificate(published.certificate, GENESIS.validator_set, node.chain_id)
    assert [r.transaction_id for r in published.receipts] == list(published.transaction_ids)


def test_transactions_that_arrive_meanwhile_make_the_next_block() -> None:
    node = started(validator=True)
    submit(node, 0)
    submit(node, 1, 2, ms=3)
    node.finish_all(now(4))
    assert [len(block.transactions) for block in node.blocks] == [1, 2]


def test_what_is_in_the_block_in_hand_waits_until_it_is_published() -> None:
    node = started(validator=True)
    transaction = transfer(node.chain_id, 0)
    submit(node, 0)
    while not node.published:
        assert node.core.is_waiting(transaction.id), "sent again meanwhile, it is not refused for its sequence"
        node.finish(node.todo[0], now(2))
    assert not node.core.is_waiting(transaction.id)


def test_an_idle_chain_beats_and_block_time_always_moves() -> None:
    node = started(validator=True)
    beat = node.core.heartbeat_ms
    node.handle(steps.ClockTicked(), now(beat - 1))
    assert not node.todo
    assert node.core.wake_in_ms(now(beat - 1)) == 1
    node.handle(steps.ClockTicked(), now(beat))
    node.finish_all(now(beat))
    submit(node, 0, ms=1)  # a clock that was set back
    node.finish_all(now(1))
    times = [block.header.time_ms for block in node.blocks]
    assert times == [GENESIS_TIME_MS + beat, GENESIS_TIME_MS + beat + 1]


def test_answers_come_in_the_order_of_what_was_submitted() -> None:
    node = started(validator=True)
    submit(node, 0, 5, 1)
    (answer,) = node.answers
    assert [refusal.code if refusal else "" for refusal in answer.refusals] == ["", "sequence-gap", ""]


def test_a_follower_tells_the_others_and_does_not_send_it_back() -> None:
    node = started(validator=False)
    taken = transfer(node.chain_id, 0)
    node.handle(steps.TransactionsArrived(transactions=(taken,), source=PEER), now(1))
    node.handle(steps.TransactionsArrived(transactions=(taken,), source=PEER), now(2))
    assert node.outgoing == [steps.GossipTransactions(transactions=(taken,), besides=PEER)]
    assert not node.todo, "it makes no blocks"


def test_a_peer_that_comes_is_told_the_head_and_what_waits() -> None:
    node = started(validator=False)
    submit(node, 0, 1)
    node.outgoing.clear()
    node.handle(steps.PeerAppeared(peer=b"\x0b" * 32), now(2))
    head, waiting = node.outgoing
    assert head == steps.GossipHead(height=0, only=b"\x0b" * 32)
    assert isinstance(waiting, steps.GossipTransactions)
    assert [t.sequence for t in waiting.transactions] == [0, 1]


def test_a_head_is_told_again_while_a_validator_may_lack_it() -> None:
    """A statement, and the height that would have made up for it, may both be lost: without this validator's vote the
    others may make no block, so its next height would never come.
    """
    node, other = with_one_block(), b"\x0b" * 32
    node.handle(steps.PeerAppeared(peer=other, validator=b"\x0c" * 32), now(3))
    node.outgoing.clear()
    again = steps.GossipHead(height=1, only=other)
    node.handle(steps.ClockTicked(), now(RESEND_MS))
    node.handle(steps.ClockTicked(), now(RESEND_MS + 1))
    assert node.outgoing.count(again) == 1
    node.handle(steps.ClockTicked(), now(2 * RESEND_MS))
    assert node.outgoing.count(again) == 2


def test_only_validators_that_do_not_keep_up_are_told_of_each_block() -> None:
    node, ahead, behind, silent = with_one_block(), b"\x0b" * 32, b"\x0d" * 32, b"\x0f" * 32
    for peer in (ahead, behind, silent):
        node.handle(steps.PeerAppeared(peer=peer, validator=peer[::-1]), now(3))
    node.outgoing.clear()
    last = BEHIND_BLOCKS + 3
    for height in range(2, last + 1):
        for peer in (ahead, behind) if height == 2 else (ahead,):
            hear_of(node, peer, height)
        submit(node, height - 1, ms=4)
        node.finish_all(now(5))
    heads = [effect for effect in node.outgoing if isinstance(effect, steps.GossipHead)]
    assert [head.height for head in heads if head.followers] == list(range(2, last + 1))
    assert [head.height for head in heads if head.only == silent] == list(range(2, last + 1))
    assert [head.height for head in heads if head.only == behind] == [2 + BEHIND_BLOCKS, last]
    assert not [head for head in heads if head.only == ahead]


def test_who_appears_anew_is_told_of_each_block_until_it_is_heard() -> None:
    node, peer = with_one_block(), b"\x0b" * 32
    node.handle(steps.PeerAppeared(peer=peer, validator=peer[::-1]), now(3))
    hear_of(node, peer, height=10)
    node.handle(steps.PeerVanished(peer=peer), now(4))
    node.handle(steps.PeerAppeared(peer=peer, validator=peer[::-1]), now(4))
    node.outgoing.clear()
    submit(node, 1, ms=4)
    node.finish_all(now(5))
    assert steps.GossipHead(height=2, only=peer) in node.outgoing


def test_after_the_last_block_of_many_the_clock_is_wanted_to_tell_the_head_again() -> None:
    """A validator that lost the last votes must not wait for the heartbeat to hear that there was a block."""
    node, peer = with_one_block(), b"\x0b" * 32
    node.handle(steps.PeerAppeared(peer=peer, validator=peer[::-1]), now(3))
    assert not node.core.pipeline
    assert not node.core.mempool
    assert node.core.wake_in_ms(now(3)) <= RESEND_MS
    node.handle(steps.ClockTicked(), now(3 + RESEND_MS))
    assert node.core.wake_in_ms(now(3 + RESEND_MS)) > RESEND_MS, "and then it is quiet"


def test_a_validator_that_executed_more_may_lack_the_certificate_and_is_told_again_too() -> None:
    """Seed 1542 of seven validators: two had executed a block past the head that the others had certified, and never
    heard of that certificate.
    """
    node, peer = with_one_block(), b"\x0b" * 32
    node.handle(steps.PeerAppeared(peer=peer, validator=peer[::-1]), now(3))
    hear_of(node, peer, height=2)
    node.outgoing.clear()
    node.handle(steps.ClockTicked(), now(3 + RESEND_MS))
    assert steps.GossipHead(height=1, only=peer) in node.outgoing


def test_work_that_fell_due_after_the_step_is_not_left_to_the_next_heartbeat() -> None:
    node = started(validator=True)
    due = node.core.heartbeat_ms
    node.handle(steps.ClockTicked(), now(due - 1))
    assert not node.todo, "no block is wanted yet"
    assert node.core.wake_in_ms(now(due + 5)) == 1


def test_a_follower_lets_go_of_what_expires() -> None:
    """It never makes a block, so only the passing of blocks can tell it."""
    source, node = started(validator=True), started(validator=False)
    early = transfer(node.chain_id, 0, amount_uptn=7, expires=3)
    node.handle(steps.TransactionsArrived(transactions=(early,), source=PEER), now(1))
    assert early.id in node.core.mempool
    for height in range(1, 9):
        source.handle(steps.ClockTicked(), now(height * 10_000))
        source.finish_all(now(height * 10_000))
    node.handle(steps.BlocksArrived(peer=PEER, blocks=source.certified(1, 8), fetched=False), now(90_000))
    node.finish_all(now(90_000))
    assert node.core.head_height == 8
    assert len(node.core.mempool) == 0


# --- following -------------------------------------------------------------------------------------------------------


def test_a_follower_comes_to_the_same_roots_from_certified_blocks() -> None:
    source, node = with_one_block(), started(validator=False)
    node.handle(steps.PeerHead(peer=PEER, height=1), now(3))
    assert node.outgoing == [steps.FetchBlocks(peer=PEER, from_height=1, count=1)]
    node.handle(steps.BlocksArrived(peer=PEER, blocks=source.certified(1, 1), fetched=True), now(4))
    assert kinds(node.todo) == ["WriteBlock"]
    node.finish_all(now(5))
    assert node.roots() == source.roots()
    assert node.core.head_height == 1


@pytest.mark.parametrize("crash_after", range(4))
def test_a_restart_at_any_point_of_the_road_goes_on_with_the_same_block(crash_after: int) -> None:
    node = started(validator=True)
    submit(node, 0)
    for _ in range(crash_after):
        node.finish(node.todo[0], now(2))
    written = list(node.blocks)
    node.start(now(9))
    node.finish_all(now(9))
    if written:
        assert node.blocks[: len(written)] == written
        assert node.core.head_height == 1
    submit(node, len(written), ms=10)
    node.finish_all(now(11))
    assert node.core.head_height == len(written) + 1
    assert not node.halts


def test_a_follower_with_an_uncertified_block_takes_its_certificate_from_others() -> None:
    source, node = with_one_block(), started(validator=False)
    node.handle(steps.BlocksArrived(peer=PEER, blocks=source.certified(1, 1), fetched=False), now(3))
    node.finish(node.todo[0], now(4))
    node.certificates.clear()  # the power went between block and certificate
    node.start(now(5))
    node.finish_all(now(5))
    assert node.core.head_height == 0
    node.handle(steps.BlocksArrived(peer=PEER, blocks=source.certified(1, 1), fetched=False), now(6))
    node.finish_all(now(7))
    assert node.core.head_height == 1
    assert node.certificates == source.certificates


# --- halting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["state_root", "receipts_root"])
def test_a_certificate_that_contradicts_what_was_computed_halts_and_names_both(field: str) -> None:
    source, node = with_one_block(), started(validator=False)
    own = getattr(source.certificates[0].statement, field)
    (block,) = source.certified(1, 1)
    lie = evolve(block, certificate=resigned(block.certificate, **{field: b"\xee" * 32}))
    node.handle(steps.BlocksArrived(peer=PEER, blocks=(lie,), fetched=False), now(3))
    node.finish_all(now(4))
    (reason,) = node.halts
    assert field in reason
    assert ("ee" * 32) in reason
    assert own.hex() in reason
    assert node.certificates == [lie.certificate], "what was certified stays on the disk"
    assert not node.published


def test_a_halted_node_takes_nothing_more_and_tells_submitters_why() -> None:
    source, node = with_one_block(), started(validator=False)
    (block,) = source.certified(1, 1)
    lie = evolve(block, certificate=resigned(block.certificate, state_root=b"\xee" * 32))
    node.handle(steps.BlocksArrived(peer=PEER, blocks=(lie,), fetched=False), now(3))
    node.finish_all(now(4))
    submit(node, 0, 1, ms=5)
    assert [refusal.code for refusal in node.answers[-1].refusals if refusal] == ["node-halted", "node-halted"]
    node.handle(steps.BlocksArrived(peer=PEER, blocks=(block,), fetched=False), now(6))
    node.handle(steps.ClockTicked(), now(99_999))
    assert not node.todo
    assert len(node.halts) == 1


def test_a_certified_block_on_another_parent_halts() -> None:
    source, node = with_one_block(), started(validator=False)
    (block,) = source.certified(1, 1)
    header = evolve(block.block.header, parent=b"\x66" * 32)
    foreign = evolve(
        block,
        block=evolve(block.block, header=header),
        certificate=resigned(block.certificate, block_hash=block_hash(header)),
    )
    node.handle(steps.BlocksArrived(peer=PEER, blocks=(foreign,), fetched=False), now(3))
    (reason,) = node.halts
    assert "66" * 32 in reason
    assert not node.blocks


def test_a_certified_block_that_goes_back_in_time_halts_instead_of_breaking_the_exchange() -> None:
    source, node = with_one_block(), started(validator=False)
    (block,) = source.certified(1, 1)
    header = evolve(block.block.header, time_ms=GENESIS_TIME_MS)
    foreign = evolve(block, block=evolve(block.block, header=header))
    node.handle(steps.BlocksArrived(peer=PEER, blocks=(foreign,), fetched=False), now(3))
    (reason,) = node.halts
    assert "time_ms" in reason


def test_a_signer_that_refuses_halts_the_node() -> None:
    node = started(validator=True)
    submit(node, 0)
    node.finish(node.todo[0], now(2))
    node.finish(node.todo[0], now(2))
    node.todo.clear()
    node.handle(steps.SigningRefused(height=1, reason="slot taken"), now(3))
    assert "slot taken" in node.halts[0]


def test_a_market_that_breaks_halts_the_node_and_leaves_the_state_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    from photon_core.api.ids import OrderId
    from photon_core.exchange.machine import Exchange
    from photon_core.exchange.market import MarketBroken

    def broken(*_: object) -> None:
        raise MarketBroken(OrderId(1, 0, 0), "raised ValueError")

    node = started(validator=True)
    before = dict(node.state.records)
    monkeypatch.setattr(Exchange, "execute", broken)
    submit(node, 0)
    node.finish_all(now(2))
    assert "1/0/0" in node.halts[0]
    assert node.state.records == before


# --- signatures and misuse -------------------------------------------------------------------------------------------


def test_signatures_of_strangers_and_over_other_statements_do_not_certify() -> None:
    node = started(validator=True)
    submit(node, 0)
    node.finish(node.todo[0], now(2))
    node.finish(node.todo[0], now(2))
    (sign,) = node.todo
    assert isinstance(sign, steps.SignStatement)
    stranger = from_seed(b"\x99" * 32, KeyPurpose.CONSENSUS)
    foreign = sign_statement(stranger, sign.statement)
    other = evolve(sign.statement, state_root=b"\x01" * 32)
    node.handle(steps.StatementArrived(statement=sign.statement, signature=foreign), now(3))
    node.handle(steps.StatementArrived(statement=other, signature=sign_statement(VALIDATOR, other)), now(3))
    assert node.todo == [sign]


def test_the_first_input_is_started() -> None:
    node = started(validator=True)
    core = evolve(node.core, started=False)
    with pytest.raises(LocalProtocolError, match="Started"):
        core.handle(steps.ClockTicked(), now())


def test_what_was_never_asked_for_is_a_bug_and_not_ignored() -> None:
    node = started(validator=True)
    with pytest.raises(LocalProtocolError):
        node.handle(steps.BlockWritten(height=3), now())
