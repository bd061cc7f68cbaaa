"""Every message survives its frame, and nothing else is a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photon_core.api.codec import encode
from photon_core.api.errors import PeerProtocolError
from photon_core.api.transport import FRAME_BYTES_MAX
from photon_core.peers import wire

numbers = st.integers(0, wire.SIZE_MAX)
parts = st.binary(max_size=200)
texts = st.text(max_size=40)
messages = st.one_of(
    st.builds(
        wire.Open, number=numbers, method=texts, item_bytes_max=numbers, window=numbers, size=numbers, part=parts
    ),
    st.builds(wire.Params, numbers, parts),
    st.builds(wire.Item, numbers, numbers, parts),
    st.builds(wire.Part, numbers, parts),
    st.builds(wire.End, numbers),
    st.builds(wire.Error, numbers, texts, texts),
    st.builds(wire.Cancel, numbers),
    st.builds(wire.Window, numbers, numbers),
)


@given(messages)
def test_round_trip(message: wire.Message) -> None:
    assert wire.from_frame(wire.to_frame(message)) == message


@given(st.binary(max_size=300))
def test_garbage_is_a_breach_and_nothing_else(frame: bytes) -> None:
    try:
        message = wire.from_frame(frame)
    except PeerProtocolError:
        return
    assert wire.to_frame(message) == frame


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=9) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=8),
    )
)
def test_lists_of_anything_are_a_breach_and_nothing_else(plain: object) -> None:
    frame = encode(plain)
    try:
        message = wire.from_frame(frame)
    except PeerProtocolError:
        return
    assert wire.to_frame(message) == frame


@pytest.mark.parametrize(
    "plain",
    [
        [int(wire.Kind.CANCEL)],
        [int(wire.Kind.CANCEL), -1],
        [int(wire.Kind.CANCEL), True],
        [int(wire.Kind.CANCEL), 1, 2],
        [int(wire.Kind.PARAMS), 1, bytes(wire.PART_BYTES_MAX + 1)],
        [int(wire.Kind.ERROR), 1, "x" * (wire.CODE_CHARS_MAX + 1), ""],
        [99, 1],
        [True, 1],
    ],
)
def test_near_misses(plain: list[object]) -> None:
    with pytest.raises(PeerProtocolError):
        wire.from_frame(encode(plain))


def test_largest_message_fits_a_frame() -> None:
    largest = wire.Open(
        number=wire.SIZE_MAX,
        method="\U0010ffff" * wire.METHOD_CHARS_MAX,
        item_bytes_max=wire.SIZE_MAX,
        window=wire.SIZE_MAX,
        size=wire.SIZE_MAX,
        part=bytes(wire.PART_BYTES_MAX),
    )
    assert len(wire.to_frame(largest)) <= FRAME_BYTES_MAX
