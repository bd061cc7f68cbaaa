"""What a node has seen of a validator's signatures, for that validator to ask about."""

from __future__ import annotations

from typing import Any

import pytest

from photon_core.api.codec import decode, encode
from photon_core.api.consensus import Claim
from photon_core.api.errors import CodecError
from photon_core.api.transport import FRAME_BYTES_MAX
from photon_core.node.signer.seen import (
    ANSWER_BYTES_MAX,
    MESSAGES_BYTES_MAX,
    SLOTS_HIGH_WATER,
    SLOTS_MAX,
    Seen,
    SeenAnswer,
    decode_answer,
)


def noted(committee: Any, *slots: tuple[int, ...]) -> Seen:
    seen = Seen(committee.validators)
    for slot in slots:
        message = committee.message(committee.vote(slot))
        seen.note(message, committee.inspect(message))
    return seen


def asked(committee: Any, seen: Seen, by: int = 0, certificate: Any = None) -> SeenAnswer:
    """Over the wire."""
    plain = decode(encode(seen.answer([committee.key(by)], certificate)), max_bytes=ANSWER_BYTES_MAX)
    return decode_answer(plain)


def shown(committee: Any, answer: SeenAnswer) -> list[tuple[int, ...]]:
    return [claim.slot for message in answer.messages for claim in committee.inspect(message)]


def test_the_newest_slots_are_told_and_the_greatest_round_before_all(committee: Any) -> None:
    seen = noted(committee, (5, 0, 1), (6, 0, 1), (6, 0, 2), (5, 3, 0), (6, 0, 1), (4, 3, 1))
    assert shown(committee, asked(committee, seen)) == [
        (5, 3, 0),
        (6, 0, 2),
        (6, 0, 1),
        (5, 0, 1),
        (4, 3, 1),
    ]


def test_what_was_said_later_in_a_lower_slot_is_not_hidden_by_a_higher_one(committee: Any) -> None:
    """The votes for height 9 came first; a store that was copied before the second one for 8 knows only those."""
    assert (8, 0, 2) in shown(committee, asked(committee, noted(committee, (8, 0, 1), (9, 0, 1), (8, 0, 2))))


def test_of_one_slot_the_smallest_message_is_kept(committee: Any) -> None:
    seen = Seen(committee.validators)
    small = committee.message(committee.vote((5, 0, 1)))
    large = committee.message(committee.vote((5, 0, 1)), committee.vote((2, 0, 1)))
    for message in (large, small, large):
        seen.note(message, committee.inspect(small))
    assert asked(committee, seen).messages[-1] == small


def test_the_greatest_round_is_told_however_many_slots_follow(committee: Any) -> None:
    seen = noted(committee, (2, 7, 0), *[(height, 1, 1) for height in range(3, 3 * SLOTS_HIGH_WATER)])
    answer = asked(committee, seen)
    assert shown(committee, answer)[0] == (2, 7, 0)
    assert len(answer.messages) == SLOTS_MAX + 1


def test_what_stands_within_anothers_message_counts(committee: Any) -> None:
    """A NEW-VIEW shows a VIEW-CHANGE that came to others only."""
    seen = Seen(committee.validators)
    message = committee.message(committee.vote((9, 2, 0)), by=0)
    seen.note(message, [*committee.inspect(committee.message(committee.vote((9, 2, 3)), by=1)),
                        *committee.inspect(message)])  # fmt: skip
    assert asked(committee, seen, by=0).messages == (message,)
    assert asked(committee, seen, by=1).messages == (message,)
    assert asked(committee, seen, by=2).messages == ()


def test_the_highest_statements_and_the_newest_certificate_are_told(committee: Any) -> None:
    seen = Seen(committee.validators)
    for height in (3, 5, 4):
        seen.note_statement(committee.statement(height), committee.signature(committee.statement(height)))
    answer = asked(committee, seen, certificate=committee.certificate(2))
    assert [signed.statement.height for signed in answer.statements] == [3, 4, 5]
    assert answer.certificate == committee.certificate(2)
    assert asked(committee, seen, by=1).statements == ()


def test_it_does_not_grow_with_the_chain_nor_by_strangers(committee: Any) -> None:
    seen = noted(committee, *[(height, 0, 1) for height in range(1, 5 * SLOTS_HIGH_WATER)])
    for height in range(1, 5 * SLOTS_HIGH_WATER):
        seen.note_statement(committee.statement(height), committee.signature(committee.statement(height)))
    stranger = Claim(b"\x99" * 32, b"m", b"s" * 64, (1, 0))
    seen.note(b"message", [stranger])
    assert len(seen._newest) == 4
    newest = seen._newest[committee.key(0)]
    assert len(newest.messages) <= SLOTS_HIGH_WATER
    assert len(newest.statements) <= SLOTS_HIGH_WATER
    assert max(newest.messages) == (5 * SLOTS_HIGH_WATER - 1, 0, 1)
    assert decode_answer(seen.answer([stranger.key], None)) == SeenAnswer(certificate=None, statements=(), messages=())


def test_claims_without_a_slot_and_messages_without_bound_are_left_out(committee: Any) -> None:
    seen = Seen(committee.validators)
    seen.note(b"certificate within", [Claim(committee.key(0), b"m", b"s" * 64)])
    seen.note(bytes(FRAME_BYTES_MAX + 1), [Claim(committee.key(0), b"m", b"s" * 64, (1, 0))])
    assert asked(committee, seen).messages == ()


def test_the_largest_answer_fits(committee_of: Any) -> None:
    committee = committee_of((1,) * 128)
    seen = Seen(committee.validators)
    for height in range(1, SLOTS_HIGH_WATER):
        message = bytes([height]) * (FRAME_BYTES_MAX - height)
        seen.note(message, [Claim(committee.key(0), b"m", b"s" * 64, (height, 0))])
        seen.note_statement(committee.statement(height), committee.signature(committee.statement(height)))
    answer = asked(committee, seen, certificate=committee.certificate(9, by=range(128)))
    assert len(answer.statements) == SLOTS_MAX
    assert len(answer.messages) == MESSAGES_BYTES_MAX // FRAME_BYTES_MAX


@pytest.mark.parametrize("params", [None, [], [b"short"], [b"\x01" * 32, 1], ["text"]])
def test_parameters_that_are_none_are_told_so(committee: Any, params: Any) -> None:
    with pytest.raises(CodecError):
        Seen(committee.validators).answer(params, None)
