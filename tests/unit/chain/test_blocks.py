"""Blocks: what follows a parent, and the reason for what does not."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from photon_core.api.chain import Block, Header, Validator, ValidatorSet
from photon_core.api.errors import CodecError
from photon_core.api.finality import block_hash, validators_hash
from photon_core.chain import keys
from photon_core.chain.blocks import (
    BLOCK_BYTES_MAX,
    BLOCK_TRANSACTIONS_BYTES_MAX,
    check_block_form,
    check_header,
    check_proposal,
    decode_block,
    encode_block,
    make_block,
    transactions_root,
)
from photon_core.chain.keys import KeyPurpose
from photon_core.chain.transactions import Transaction, build_transaction, decode_transaction

CHAIN = bytes([7]) * 32
PROPOSER = keys.from_seed(bytes(32), KeyPurpose.CONSENSUS).public
VALIDATORS = ValidatorSet(validators=(Validator(key=PROPOSER, power=1),))
PARENT = Header(
    height=4,
    time_ms=1000,
    parent=bytes(32),
    transactions_root=transactions_root([]),
    validators_hash=validators_hash(VALIDATORS),
    proposer=PROPOSER,
)


def transaction(sequence: int) -> Transaction:
    raw = build_transaction(bytes(32), CHAIN, sequence, 0, 100, [[1, [bytes(20), 1]]])
    return decode_transaction(raw, CHAIN)


TRANSACTIONS = [transaction(n) for n in range(3)]
MADE = make_block(parent=PARENT, time_ms=2000, proposer=PROPOSER, validators=VALIDATORS, transactions=TRANSACTIONS)


def test_what_is_made_passes_every_check() -> None:
    assert list(check_block_form(MADE.block, PARENT, VALIDATORS, CHAIN)) == TRANSACTIONS
    check_proposal(MADE.proposal, PARENT, VALIDATORS)
    assert MADE.proposal.block_hash == block_hash(MADE.block.header)
    assert MADE.proposal.transaction_ids == tuple(t.id for t in TRANSACTIONS)


def test_bytes_give_back_the_block() -> None:
    assert decode_block(encode_block(MADE.block)) == MADE.block
    with pytest.raises(CodecError, match=str(BLOCK_BYTES_MAX)):
        decode_block(bytes(BLOCK_BYTES_MAX + 1))


def test_block_time_moves_even_when_the_clock_stands() -> None:
    made = make_block(parent=PARENT, time_ms=3, proposer=PROPOSER, validators=VALIDATORS, transactions=[])
    assert made.block.header.time_ms == PARENT.time_ms + 1


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"height": 6}, r"header\.height: expected 5, found 6"),
        ({"parent": bytes([1]) * 32}, r"header\.parent"),
        ({"time_ms": 1000}, r"header\.time_ms: expected later than the parent's 1000, found 1000"),
        ({"validators_hash": bytes(32)}, r"header\.validators_hash"),
        ({"proposer": bytes(32)}, r"header\.proposer"),
    ],
)
def test_a_header_that_does_not_follow_is_refused_with_both_values(change: dict[str, Any], complaint: str) -> None:
    header = attrs.evolve(MADE.block.header, **change)
    for check in (
        lambda: check_header(header, PARENT, VALIDATORS),
        lambda: check_block_form(attrs.evolve(MADE.block, header=header), PARENT, VALIDATORS, CHAIN),
        lambda: check_proposal(attrs.evolve(MADE.proposal, header=header), PARENT, VALIDATORS),
    ):
        with pytest.raises(CodecError, match=complaint):
            check()


def with_transactions(*raw: bytes) -> Block:
    return attrs.evolve(MADE.block, transactions=raw)


def test_missing_added_or_reordered_transactions_are_refused() -> None:
    first, second, third = MADE.block.transactions
    for raws in ((first, second), (second, first, third), (first, second, third, transaction(9).raw)):
        with pytest.raises(CodecError, match="transactions_root"):
            check_block_form(with_transactions(*raws), PARENT, VALIDATORS, CHAIN)


def test_one_transaction_twice_is_refused() -> None:
    twice = make_block(
        parent=PARENT, time_ms=2000, proposer=PROPOSER, validators=VALIDATORS, transactions=TRANSACTIONS[:1] * 2
    )
    with pytest.raises(CodecError, match="each transaction once"):
        check_block_form(twice.block, PARENT, VALIDATORS, CHAIN)
    with pytest.raises(CodecError, match="each transaction once"):
        check_proposal(twice.proposal, PARENT, VALIDATORS)


def test_garbage_for_a_transaction_is_refused() -> None:
    with pytest.raises(CodecError, match="transaction: "):
        check_block_form(with_transactions(b"\x00"), PARENT, VALIDATORS, CHAIN)


def test_a_block_over_its_size_is_refused_before_its_content() -> None:
    raws = [bytes(65_536)] * (BLOCK_TRANSACTIONS_BYTES_MAX // 65_536 + 1)
    with pytest.raises(CodecError, match=f"at most .* with {BLOCK_TRANSACTIONS_BYTES_MAX} bytes"):
        check_block_form(with_transactions(*raws), PARENT, VALIDATORS, CHAIN)


def test_a_proposal_under_a_wrong_name_is_refused() -> None:
    with pytest.raises(CodecError, match=r"proposal\.block_hash"):
        check_proposal(attrs.evolve(MADE.proposal, block_hash=bytes(32)), PARENT, VALIDATORS)
