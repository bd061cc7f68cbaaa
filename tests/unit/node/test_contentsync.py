"""Contents of blocks between validators: what is asked for comes, and every lie is found before core sees it."""

from __future__ import annotations

from typing import Any

import pytest

from photon_core.api import codec
from photon_core.api.chain import TRANSACTIONS_PER_BLOCK_MAX
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.ids import Hash
from photon_core.chain.transactions import decode_transaction
from photon_core.node import contentsync
from photon_core.node.recent import RecentBytes
from photon_core.node.steps import FetchContent
from photon_core.node.verifier import Verifier
from photon_core.peers.errors import Refusal
from photon_core.testing.node import transfer

CHAIN = b"\x05" * 32
BLOCK = b"\x0b" * 32
VALIDATOR = b"\x0a" * 32
THREE = tuple(transfer(CHAIN, sequence) for sequence in range(3))
RECENT = RecentBytes(CHAIN, {})
RAW = [t.raw for t in THREE]


def asked(ids: tuple[Hash, ...] | None) -> FetchContent:
    return FetchContent(validator=VALIDATOR, block_hash=BLOCK, transaction_ids=ids)


NAMED = asked(tuple(t.id for t in THREE))
WHOLE = asked(None)


def content(name: Hash, ids: tuple[Hash, ...] | None) -> tuple[bytes, ...] | None:
    """Stands in for the core of a validator that has the three in one block."""
    if name != BLOCK:
        return None
    return tuple(t.raw for t in THREE if ids is None or t.id in ids) or None


async def fetched(question: FetchContent) -> tuple[Hash, ...]:
    plain = codec.decode(codec.encode(contentsync.params(question)), max_bytes=contentsync.PARAMS_BYTES_MAX)
    found = await contentsync.check(contentsync.answer(plain, content), question, RECENT, Verifier())
    return tuple(t.id for t in found)


async def test_all_of_a_block_or_what_is_missing_of_it() -> None:
    ids = tuple(t.id for t in THREE)
    assert await fetched(WHOLE) == ids
    assert await fetched(NAMED) == ids
    assert await fetched(asked(ids[1:2])) == ids[1:2]
    assert await fetched(asked((ids[0], b"\x09" * 32, ids[2]))) == (ids[0], ids[2])


def test_what_nobody_has_is_refused_by_name() -> None:
    with pytest.raises(Refusal) as caught:
        contentsync.answer([b"\x01" * 32, None], content)
    assert caught.value.code == "unknown-content"


def test_the_largest_question_fits() -> None:
    ids = [bytes(32)] * TRANSACTIONS_PER_BLOCK_MAX
    assert len(codec.encode([BLOCK, list(ids)])) <= contentsync.PARAMS_BYTES_MAX


@pytest.mark.parametrize(
    "plain",
    [
        None, [], [BLOCK], [b"\x01", None], [BLOCK, []], [BLOCK, [b"\x01"]], [BLOCK, [1]], [BLOCK, None, 1],
        [BLOCK, b""], [BLOCK, [bytes(32)] * (TRANSACTIONS_PER_BLOCK_MAX + 1)],
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused_unread(plain: Any) -> None:
    def never(_name: Hash, _ids: tuple[Hash, ...] | None) -> None:
        raise AssertionError("nothing is read for it")

    with pytest.raises(CodecError):
        contentsync.answer(plain, never)


def forged(raw: bytes) -> bytes:
    body, _ = codec.decode(raw, max_bytes=10_000)
    return codec.encode([body, b"\x02" * 64])


@pytest.mark.parametrize("question", [NAMED, WHOLE], ids=["named", "whole"])
@pytest.mark.parametrize(
    "plain",
    [None, [1], [b""], [[]], [b"\x00"], [transfer(b"\x06" * 32, 0).raw], [forged(RAW[0])], RAW * 4_000],
    ids=["nothing", "number", "empty", "list", "noise", "another chain", "forged", "too many"],
)
async def test_a_lie_is_the_peers_fault(plain: Any, question: FetchContent) -> None:
    with pytest.raises(PeerProtocolError):
        await contentsync.check(plain, question, RECENT, Verifier())


@pytest.mark.parametrize("plain", [RAW[::-1], [RAW[0], RAW[0]], [transfer(CHAIN, 9).raw]])
async def test_other_transactions_than_were_named_are_the_peers_fault(plain: list[bytes]) -> None:
    with pytest.raises(PeerProtocolError, match="other transactions"):
        await contentsync.check(plain, NAMED, RECENT, Verifier())


async def test_a_forged_signature_under_a_name_that_was_asked_for_is_found() -> None:
    bad = forged(RAW[0])
    question = asked((decode_transaction(bad, CHAIN).id,))
    with pytest.raises(PeerProtocolError, match="bad signature"):
        await contentsync.check([bad], question, RECENT, Verifier())
