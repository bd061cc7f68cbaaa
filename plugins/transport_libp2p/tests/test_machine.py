"""The link's language without a network: two machines, and bytes between them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photon_core.api.errors import PeerProtocolError
from photon_core.api.inbox import frame_cost
from photon_core.api.transport import CREDIT_BYTES, Channel, SendResult
from photon_transport_libp2p.machine import (
    WIRE_WINDOW_BYTES,
    Bye,
    FrameIn,
    LinkMachine,
    Room,
)

ALL = frozenset(Channel)


def connected() -> tuple[LinkMachine, LinkMachine]:
    one, other = LinkMachine(), LinkMachine()
    for machine in (one, other):
        machine.hello(bytes(32), bytes(8), ALL)
    greetings = one.next_batch(), other.next_batch()
    one.receive(greetings[1])
    other.receive(greetings[0])
    return one, other


frames_to_send = st.lists(st.tuples(st.sampled_from(Channel), st.binary(max_size=300)), max_size=40)


@given(frames_to_send, st.integers(1, 50))
def test_frames_survive_any_cut_of_the_bytes(frames: list[tuple[Channel, bytes]], cut: int) -> None:
    one, other = connected()
    for channel, frame in frames:
        assert one.send(channel, frame) is SendResult.QUEUED
    data = b""
    while batch := one.next_batch():
        data += batch
    events = [event for start in range(0, len(data), cut) for event in other.receive(data[start : start + cut])]
    for channel in Channel:
        sent = [frame for of, frame in frames if of is channel]
        assert [event.frame for event in events if isinstance(event, FrameIn) and event.channel is channel] == sent


@given(st.binary(max_size=400))
def test_garbage_is_a_breach_or_waits_for_more(data: bytes) -> None:
    _, other = connected()
    with suppress(PeerProtocolError):
        other.receive(data)


def test_consensus_overtakes_what_is_queued() -> None:
    one, other = connected()
    for _ in range(3):
        one.send(Channel.BULK, bytes(200_000))
    one.next_batch()
    one.send(Channel.CONSENSUS, b"vote")
    batch = one.next_batch()
    assert other.receive(batch[:9]) == [FrameIn(Channel.CONSENSUS, b"vote")]


def test_full_channel_has_room_again_when_frames_are_taken() -> None:
    one, other = connected()
    frame = bytes(100_000)
    while one.send(Channel.GOSSIP, frame) is SendResult.QUEUED:
        pass
    taken, events = 0, []
    while batch := one.next_batch():
        for event in other.receive(batch):
            assert isinstance(event, FrameIn)
            other.taken(event.channel, frame_cost(event.frame))
            taken += 1
        events += one.receive(other.next_batch())
    assert taken * frame_cost(frame) <= CREDIT_BYTES[Channel.GOSSIP]
    assert events == [Room(Channel.GOSSIP)]
    assert one.send(Channel.GOSSIP, frame) is SendResult.QUEUED


def test_nothing_is_written_beyond_the_window_but_control() -> None:
    one, _ = connected()
    for _ in range(10):
        one.send(Channel.CONSENSUS, bytes(200_000))
    written = 0
    while batch := one.next_batch():
        written += len(batch)
    assert WIRE_WINDOW_BYTES <= written < WIRE_WINDOW_BYTES + 210_000
    one.ping()
    assert len(one.next_batch()) == 5


def test_bye_is_the_last_word() -> None:
    one, other = connected()
    one.send(Channel.BULK, b"never mind")
    one.bye("ü" * 500)
    (event,) = other.receive(one.next_batch())
    assert isinstance(event, Bye)
    assert event.reason.startswith("üüü")
    assert one.next_batch() == b""


@pytest.mark.parametrize("more", [1, 1000])
def test_credit_is_never_given_back_twice(more: int) -> None:
    one, other = connected()
    one.send(Channel.BULK, bytes(100))
    other.receive(one.next_batch())
    other.taken(Channel.BULK, frame_cost(bytes(100)) + more)
    other.ping()
    with pytest.raises(PeerProtocolError, match="more than were sent"):
        one.receive(other.next_batch())
