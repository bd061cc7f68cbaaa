"""Gossip's codec: what it writes it reads, and anything else is the peer's fault and nothing more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photon_core.api.errors import PeerProtocolError
from photon_core.api.transport import CREDIT_BYTES, FRAME_BYTES_MAX, Channel, Standing
from photon_core.node import gossip
from photon_core.testing.fakes.transport import linked_transports
from photon_core.testing.node import transfer

CHAIN = b"\x05" * 32
GOOD = transfer(CHAIN, 0)

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


def read(frame: bytes, chain_id: bytes = CHAIN) -> object:
    """All that is done with a frame before signatures are verified."""
    message = gossip.decode_frame(frame)
    if isinstance(message, gossip.TransactionsMessage):
        return gossip.decode_transactions(message.raw, chain_id)
    return message


def test_heads_and_transactions_come_back() -> None:
    assert gossip.decode_frame(gossip.head_frame(7)) == gossip.HeadMessage(7)
    (frame,) = gossip.transaction_frames([GOOD])
    assert gossip.decode_frame(frame) == gossip.TransactionsMessage((GOOD.raw,))
    assert gossip.decode_transactions([GOOD.raw], CHAIN) == (GOOD,)


def test_many_transactions_go_in_as_few_frames_as_hold_them() -> None:
    many = [transfer(CHAIN, sequence) for sequence in range(2_500)]
    frames = list(gossip.transaction_frames(many))
    assert all(len(frame) <= FRAME_BYTES_MAX for frame in frames)
    assert len(frames) == 3
    back = [raw for f in frames for raw in gossip.decode_frame(f).raw]  # type: ignore[union-attr]
    assert back == [t.raw for t in many]


@given(st.binary(max_size=200) | plain.map(cbor2.dumps) | st.tuples(st.integers(0, 2), plain).map(cbor2.dumps))
def test_any_bytes_are_a_message_or_the_peers_fault(frame: bytes) -> None:
    with contextlib.suppress(PeerProtocolError):
        read(frame)


@given(st.integers(0, len(GOOD.raw) + 5), st.integers(1, 255))
def test_a_damaged_transaction_is_the_peers_fault_or_another_transaction(place: int, flip: int) -> None:
    (frame,) = gossip.transaction_frames([GOOD])
    damaged = bytearray(frame)
    damaged[place % len(frame)] ^= flip
    with contextlib.suppress(PeerProtocolError):
        assert read(bytes(damaged)) != (GOOD,)


@pytest.mark.parametrize(
    "frame",
    [
        cbor2.dumps([False, []]),  # False == 0 to Python
        cbor2.dumps([True, 5]),
        cbor2.dumps([1, True]),
        cbor2.dumps([1, 2**63]),
        cbor2.dumps([1, -1]),
        cbor2.dumps([1]),
        cbor2.dumps([2, []]),
        cbor2.dumps([0, [GOOD.raw, 1]]),
        cbor2.dumps([0, [b""] * (gossip.BATCH_TRANSACTIONS_MAX + 1)]),
        gossip.head_frame(7) + b"\0",
        b"\0" * (FRAME_BYTES_MAX + 1),
    ],
)
def test_what_only_looks_like_a_message_is_refused(frame: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        read(frame)


def test_transactions_of_another_chain_are_refused() -> None:
    (frame,) = gossip.transaction_frames([GOOD])
    with pytest.raises(PeerProtocolError, match="chain"):
        read(frame, b"\x06" * 32)


async def test_no_frame_is_made_for_a_channel_that_is_full() -> None:
    one, other = linked_transports(Standing.FOLLOWER)
    made = 0

    def frames() -> Iterator[bytes]:
        nonlocal made
        for _ in range(1000):
            made += 1
            yield bytes(FRAME_BYTES_MAX)

    gossip.tell(one, [other.key], frames())
    assert made == CREDIT_BYTES[Channel.GOSSIP] // FRAME_BYTES_MAX, "one of them found the channel full"
    made = 0
    gossip.tell(one, [], frames())
    assert made == 0
