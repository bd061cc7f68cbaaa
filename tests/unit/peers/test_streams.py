"""Two machines talk: what one sends the other understands, and what a peer may not say is a breach."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photon_core.api.errors import LocalProtocolError, PeerProtocolError
from photon_core.peers import wire
from photon_core.peers.streams import (
    Ended,
    Failed,
    ItemReceived,
    ParamsComplete,
    RequestCancelled,
    RequestOpened,
    StreamEvent,
    StreamMachine,
    WindowOpened,
)


def feed(machine: StreamMachine, *frames: bytes) -> list[StreamEvent]:
    return [event for frame in frames for event in machine.receive(frame)]


def asked(params: bytes = b"p", item_bytes_max: int = 10**6, window: int = 1) -> tuple[StreamMachine, StreamMachine]:
    """A caller and a server with request 1 open between them."""
    caller, server = StreamMachine(), StreamMachine()
    number, frames = caller.open("method", params, item_bytes_max=item_bytes_max, window=window)
    assert feed(server, *frames) == [RequestOpened(1, "method", len(params)), ParamsComplete(1, params)]
    assert number == 1
    return caller, server


@given(st.integers(0, 300_000), st.integers(0, 300_000))
def test_call_of_any_size(params_size: int, answer_size: int) -> None:
    caller, server = asked(bytes(params_size))
    answer = bytes(answer_size)
    assert feed(caller, *server.item(1, answer)) == [ItemReceived(1, answer)]
    assert feed(caller, server.end(1)) == [Ended(1)]
    assert caller.calls_open == server.served_open == 0


def test_error_ends_a_call() -> None:
    caller, server = asked()
    assert feed(caller, server.fail(1, "not-allowed", "no")) == [Failed(1, "not-allowed", "no")]
    assert caller.calls_open == server.served_open == 0


def test_slow_reader_stops_the_writer() -> None:
    caller, server = asked(item_bytes_max=100, window=250)
    sent = 0
    while server.may_send_item(1):
        feed(caller, *server.item(1, bytes(100)))
        sent += 1
    assert sent == 3, "the window, and the item that began in it"
    with pytest.raises(LocalProtocolError):
        list(server.item(1, b""))
    assert caller.take(1, 100) is None
    told = caller.take(1, 100)
    assert told is not None
    assert feed(server, told) == [WindowOpened(1)]
    assert server.may_send_item(1)


@given(st.lists(st.integers(1, 100), max_size=200), st.integers(1, 300))
def test_reader_that_takes_all_is_never_stuck(sizes: list[int], window: int) -> None:
    caller, server = asked(item_bytes_max=100, window=window)
    for size in sizes:
        assert server.may_send_item(1)
        (item,) = feed(caller, *server.item(1, bytes(size)))
        told = caller.take(1, len(item.item))
        if told is not None:
            feed(server, told)


def test_what_crosses_the_end_of_a_request_is_ignored() -> None:
    caller, server = asked(item_bytes_max=100_000, window=10**6)
    first, second = server.item(1, bytes(100_000))
    cancel = caller.give_up(1)
    assert cancel is not None
    assert feed(caller, first, second, server.end(1)) == []
    assert feed(server, cancel, wire.to_frame(wire.Window(1, 5))) == []


def test_cancelled_in_the_middle_of_an_item_stops_there() -> None:
    caller, server = asked(item_bytes_max=10**6, window=10**6)
    frames = server.item(1, bytes(300_000))
    next(frames)
    cancel = caller.give_up(1)
    assert cancel is not None
    assert feed(server, cancel) == [RequestCancelled(1)]
    assert list(frames) == []
    assert not server.is_served(1)


def test_both_ask_with_the_same_numbers() -> None:
    one, other = asked()
    _, frames = other.open("back", b"", item_bytes_max=10, window=1)
    assert feed(one, *frames) == [RequestOpened(1, "back", 0), ParamsComplete(1, b"")]
    assert feed(one, *other.item(1, b"forth")) == [ItemReceived(1, b"forth")]
    assert feed(other, *one.item(1, b"back")) == [ItemReceived(1, b"back")]


OPEN = wire.Open(number=2, method="m", item_bytes_max=1, window=1, size=5, part=b"ab")
TO_SERVER = {
    "a number that was used": [wire.Open(number=1, method="m", item_bytes_max=1, window=1, size=0, part=b"")],
    "number nought": [wire.Open(number=0, method="m", item_bytes_max=1, window=1, size=0, part=b"")],
    "parameters of no request": [wire.Params(7, b"x")],
    "cancel of no request": [wire.Cancel(7)],
    "window of no request": [wire.Window(7, 1)],
    "more parameters than announced": [OPEN, wire.Params(2, b"cdef")],
    "parameters after the last": [OPEN, wire.Params(2, b"cde"), wire.Params(2, b"")],
    "parameters that do not grow": [OPEN, wire.Params(2, b"")],
    "an item of no call": [wire.Item(1, 1, b"x")],
}
TO_CALLER = {
    "an item out of its window": [wire.Item(1, 10, b"0123456789"), wire.Item(1, 1, b"x")],
    "an item over its limit": [wire.Item(1, 11, b"")],
    "an item within an item": [wire.Item(1, 10, b"01"), wire.Item(1, 1, b"x")],
    "a part of no item": [wire.Part(1, b"x")],
    "more of an item than announced": [wire.Item(1, 3, b"0123")],
    "an item that does not grow": [wire.Item(1, 3, b"01"), wire.Part(1, b"")],
    "the end within an item": [wire.Item(1, 3, b"01"), wire.End(1)],
    "the end of no call": [wire.End(2)],
    "an error of no call": [wire.Error(2, "", "")],
}


@pytest.mark.parametrize("said", TO_SERVER.values(), ids=TO_SERVER)
def test_breach_by_a_caller(said: list[wire.Message]) -> None:
    _, server = asked()
    with pytest.raises(PeerProtocolError):
        feed(server, *map(wire.to_frame, said))


@pytest.mark.parametrize("said", TO_CALLER.values(), ids=TO_CALLER)
def test_breach_by_a_server(said: list[wire.Message]) -> None:
    caller, _ = asked(item_bytes_max=10, window=10)
    with pytest.raises(PeerProtocolError):
        feed(caller, *map(wire.to_frame, said))


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"\x82\x04\x01", b"\x82\x06\x01", b"\x83\x03\x01\x41x"])))
def test_garbage_is_a_breach_and_nothing_else(frames: list[bytes]) -> None:
    caller, _ = asked()
    with suppress(PeerProtocolError):
        feed(caller, *frames)
