"""The consensus channel's codec: what it writes it reads, and anything else is the peer's fault and nothing more."""

from __future__ import annotations

import contextlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photon_core.api.chain import FinalityStatement, StatementSignature
from photon_core.api.errors import LocalProtocolError, PeerProtocolError
from photon_core.api.transport import FRAME_BYTES_MAX
from photon_core.node import consensus_frames as frames

STATEMENT = FinalityStatement(
    chain_id=b"\x01" * 32,
    height=7,
    block_hash=b"\x02" * 32,
    state_root=b"\x03" * 32,
    receipts_root=b"\x04" * 32,
    next_validators_hash=b"\x05" * 32,
)
SIGNATURE = StatementSignature(validator=b"\x06" * 32, signature=b"\x07" * 64)
SIGNED = frames.SignedStatement(statement=STATEMENT, signature=SIGNATURE)

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=7),
    max_leaves=12,
)


def test_messages_and_statements_come_back() -> None:
    assert frames.decode_frame(frames.message_frame(b"vote")) == b"vote"
    assert frames.decode_frame(frames.statement_frame(STATEMENT, SIGNATURE)) == SIGNED


def test_the_largest_message_fits_into_a_frame_and_no_larger_one_is_made() -> None:
    frame = frames.message_frame(bytes(frames.MESSAGE_BYTES_MAX))
    assert len(frame) <= FRAME_BYTES_MAX
    assert frames.decode_frame(frame) == bytes(frames.MESSAGE_BYTES_MAX)
    with pytest.raises(LocalProtocolError):
        frames.message_frame(bytes(frames.MESSAGE_BYTES_MAX + 1))


@given(st.binary(max_size=200) | plain.map(cbor2.dumps) | st.tuples(st.integers(0, 2), plain).map(cbor2.dumps))
def test_any_bytes_are_a_message_or_the_peers_fault(frame: bytes) -> None:
    with contextlib.suppress(PeerProtocolError):
        assert isinstance(frames.decode_frame(frame), bytes | frames.SignedStatement)


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_damaged_statement_is_the_peers_fault_or_another_statement(place: int, flip: int) -> None:
    damaged = bytearray(frames.statement_frame(STATEMENT, SIGNATURE))
    damaged[place % len(damaged)] ^= flip
    with contextlib.suppress(PeerProtocolError):
        assert frames.decode_frame(bytes(damaged)) != SIGNED


@pytest.mark.parametrize(
    "frame",
    [
        cbor2.dumps([False, b""]),  # False == 0 to Python
        cbor2.dumps([0, "text"]),
        cbor2.dumps([0]),
        cbor2.dumps([0, b"", b""]),
        cbor2.dumps([1, []]),
        cbor2.dumps([1, b"vote"]),
        cbor2.dumps([2, b""]),
        cbor2.dumps(b"vote"),
        frames.message_frame(b"vote") + b"\0",
        b"\0" * (FRAME_BYTES_MAX + 1),
    ],
)
def test_what_only_looks_like_a_message_is_refused(frame: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        frames.decode_frame(frame)
