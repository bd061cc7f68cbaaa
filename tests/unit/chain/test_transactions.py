"""Transactions: the received bytes are what is signed and named, and their form is judged strictly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photon_core.api.codec import DEPTH_MAX, encode
from photon_core.api.errors import CodecError
from photon_core.api.resources import Resources, ResourceUnit
from photon_core.chain import keys
from photon_core.chain.keys import verify_batch
from photon_core.chain.transactions import (
    MESSAGES_MAX,
    TRANSACTION_BYTES_MAX,
    build_transaction,
    claim_of,
    decode_transaction,
    transaction_id,
)
from photon_core.exchange.messages import MESSAGE as MESSAGE_FORM
from photon_core.exchange.messages import CreateDeployment
from photon_core.exchange.records import GroupSpec

CHAIN = bytes([7]) * 32
SEED = bytes([1]) * 32
MESSAGE: list[Any] = [1, [bytes(20), 5]]


def build(**changes: Any) -> bytes:
    parts: dict[str, Any] = {"sequence": 3, "fee_uptn": 10, "expires_height": 99, "messages": [MESSAGE]} | changes
    return build_transaction(SEED, CHAIN, **parts)


def test_what_was_built_is_read_back() -> None:
    transaction = decode_transaction(build(), CHAIN)
    assert transaction.sender == keys.address_of(keys.public_key_of(SEED))
    assert (transaction.sequence, transaction.fee_uptn, transaction.expires_height) == (3, 10, 99)
    assert transaction.messages == (MESSAGE,)
    assert verify_batch([claim_of(transaction)]) == [True]


def test_the_id_covers_signature_and_body() -> None:
    one = decode_transaction(build(), CHAIN)
    other_signature = decode_transaction(encode([one.body, bytes(64)]), CHAIN)
    assert other_signature.id != one.id
    assert transaction_id(one.body, one.signature) == one.id
    assert verify_batch([claim_of(other_signature)]) == [False]


def test_a_transaction_of_another_chain_is_refused_with_both_ids() -> None:
    with pytest.raises(CodecError, match=f"{'08' * 32}.*{'07' * 32}"):
        decode_transaction(build(), bytes([8]) * 32)


def body(*, at: int, value: Any) -> bytes:
    parts: list[Any] = [CHAIN, bytes(32), 0, 0, 0, [MESSAGE]]
    parts[at] = value
    return encode([encode(parts), bytes(64)])


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (encode([]), "transaction: "),
        (encode([b"", bytes(64)]), "transaction.body"),
        (encode([[], bytes(64)]), "transaction.body"),
        (encode([b"\x80", bytes(63)]), "transaction.signature"),
        (encode([b"\x80", bytes(64)]), "transaction.body"),
        (body(at=1, value=bytes(31)), "sender_key"),
        (body(at=2, value=-1), "sequence"),
        (body(at=2, value=True), "sequence"),
        (body(at=3, value="1"), "fee_uptn"),
        (body(at=4, value=None), "expires_height"),
        (body(at=5, value=[]), "messages"),
        (body(at=5, value=[MESSAGE] * (MESSAGES_MAX + 1)), "messages"),
        (body(at=5, value=[[1]]), r"messages\[0\]"),
        (body(at=5, value=[MESSAGE, ["1", []]]), r"messages\[1\]"),
    ],
)
def test_a_wrong_form_is_named_by_its_place(raw: bytes, where: str) -> None:
    with pytest.raises(CodecError, match=where):
        decode_transaction(raw, CHAIN)


def test_one_over_the_size_is_neither_built_nor_read() -> None:
    with pytest.raises(CodecError, match=str(TRANSACTION_BYTES_MAX)):
        build(messages=[[1, [bytes(TRANSACTION_BYTES_MAX)]]])
    with pytest.raises(CodecError, match=str(TRANSACTION_BYTES_MAX)):
        decode_transaction(bytes(TRANSACTION_BYTES_MAX + 1), CHAIN)


def test_the_deepest_message_fits_with_three_levels_to_spare() -> None:
    unit = ResourceUnit(resources=Resources(cpu_milli=1, memory_bytes=1, storage_bytes=1), count=1, max_price=1)
    group = GroupSpec(name="g", units=(unit,), attributes=(("k", "v"),), collateral_uptn=0, section_hash=bytes(32))
    message = MESSAGE_FORM.to_plain(CreateDeployment(groups=(group,), version=bytes(32), deposit_uptn=1))
    assert isinstance(message, list)

    def depth(plain: Any) -> int:
        return 1 + max(map(depth, plain), default=0) if isinstance(plain, list) else 0

    assert depth([[message]]) == DEPTH_MAX - 3  # in a body: the list of messages, in the list of the body's parts
    assert decode_transaction(build(messages=[message]), CHAIN).messages == (message,)


@given(st.binary(max_size=300))
def test_garbage_is_a_codec_error(raw: bytes) -> None:
    with pytest.raises(CodecError):
        decode_transaction(raw, CHAIN)


@given(st.data())
def test_a_changed_byte_is_refused_or_changes_the_id(data: st.DataObject) -> None:
    raw = build()
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:at] + bytes([raw[at] ^ data.draw(st.integers(1, 255))]) + raw[at + 1 :]
    try:
        transaction = decode_transaction(changed, CHAIN)
    except CodecError:
        return
    assert transaction.id != decode_transaction(raw, CHAIN).id
    assert verify_batch([claim_of(transaction)]) == [False]
