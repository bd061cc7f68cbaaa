"""Calls and streams between two nodes over a link."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from photon_core.api.codec import encode
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.transport import Channel, FrameReceived, LinkDown, LinkUp, SendResult, Standing
from photon_core.peers import CallTimeout, LinkLost, Peers, PeersLimits, Refusal, RemoteError, wire
from photon_core.peers.conversation import Call
from photon_core.peers.limits import REFUSALS_WAITING_MAX
from photon_core.peers.requests import everyone
from photon_core.testing.fakes.transport import FakeTransport, linked_transports

TIMEOUT_S = 20


class Two:
    """A caller and a server, each with its Peers."""

    def __init__(self, standing: Standing = Standing.PEER, limits: PeersLimits | None = None) -> None:
        self.caller_transport, self.server_transport = linked_transports(of_the_first=standing)
        self.caller = Peers(self.caller_transport)
        self.server = Peers(self.server_transport, limits=limits)
        self.nursery: trio.Nursery

    @property
    def key(self) -> bytes:
        """The server's."""
        return self.server_transport.key

    async def call(self, method: str, params: Any = None, **more: Any) -> Any:
        return await self.caller.call(self.key, method, params, **more)

    def say(self, *messages: wire.Message, channel: Channel = Channel.REQUESTS) -> None:
        """What the caller's Peers would never say."""
        for message in messages:
            self.caller_transport.send(self.key, channel, wire.to_frame(message))

    def hear(self, frame: bytes) -> None:
        """The server gets a frame at once: before the caller takes anything."""
        event = FrameReceived(peer=self.caller_transport.key, channel=Channel.REQUESTS, frame=frame)
        self.server._on_event(event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Two]:
        with trio.fail_after(TIMEOUT_S):
            async with trio.open_nursery() as self.nursery:
                await self.nursery.start(self.caller.run)
                await self.nursery.start(self.server.run)
                await self.caller.wait_link(self.key, 1)
                await self.server.wait_link(self.caller_transport.key, 1)
                yield self
                self.nursery.cancel_scope.cancel()


async def echo(_peer: bytes, params: Any) -> Any:
    return params


async def refusal_of(awaitable: Any) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        await awaitable
    return caught.value


@pytest.mark.parametrize("size", [0, 1, wire.PART_BYTES_MAX, 3_000_000])
@pytest.mark.parametrize("channel", [Channel.REQUESTS, Channel.BULK])
async def test_call_of_any_size(size: int, channel: Channel) -> None:
    async with Two().running() as two:
        two.server.serve("echo", echo, max_params_bytes=4_000_000)
        answer = await two.call("echo", [bytes(size), "ü"], max_reply_bytes=4_000_000, channel=channel)
        assert answer == [bytes(size), "ü"]


async def test_many_calls_at_once_get_their_own_answers() -> None:
    async with Two().running() as two:
        two.server.serve("echo", echo, concurrency_per_peer=200)
        answers = {}

        async def ask(number: int) -> None:
            answers[number] = await two.call("echo", [number, bytes(number * 1000)])

        async with trio.open_nursery() as nursery:
            for number in range(150):
                nursery.start_soon(ask, number)
        assert answers == {number: [number, bytes(number * 1000)] for number in range(150)}


async def test_both_sides_call_each_other() -> None:
    async with Two().running() as two:
        two.caller.serve("mine", echo)

        async def relay(peer: bytes, params: Any) -> Any:
            return await two.server.call(peer, "mine", params)

        two.server.serve("relay", relay)
        assert await two.call("relay", 7) == 7


# --- refusals -------------------------------------------------------------------------------------------------------


async def test_refusals_by_name() -> None:
    limits = PeersLimits(params_timeout_s=0.01)
    async with Two(Standing.STRANGER, limits).running() as two:

        async def refuse(_peer: bytes, _params: Any) -> None:
            raise Refusal("no-lease", "17/0/1 is not yours")

        async def check(_peer: bytes, _params: Any) -> None:
            raise CodecError("params[0]", "a lease", "7")

        async def slow(_peer: bytes, _params: Any) -> None:
            await trio.sleep_forever()

        two.server.serve("peers-only", echo)
        two.server.serve("refuse", refuse, allow=everyone)
        two.server.serve("check", check, allow=everyone)
        two.server.serve("slow", slow, allow=everyone, timeout_s=0.01)
        two.server.serve("small", echo, allow=everyone, max_params_bytes=10)
        assert (await refusal_of(two.call("nothing"))).code == "unknown-method"
        assert (await refusal_of(two.call("peers-only"))).code == "not-allowed"
        assert (await refusal_of(two.call("slow"))).code == "timeout"
        assert (await refusal_of(two.call("small", bytes(200_000)))).code == "too-large"
        assert str(await refusal_of(two.call("refuse"))) == "no-lease: 17/0/1 is not yours"
        assert str(await refusal_of(two.call("check"))) == "bad-request: params[0]: expected a lease, found 7"
        assert two.server_transport.dropped == []


async def test_answer_over_the_limit_is_an_error_and_not_sent() -> None:
    async with Two().running() as two:
        two.server.serve("echo", echo)
        assert (await refusal_of(two.call("echo", bytes(1000), max_reply_bytes=100))).code == "too-large"
        assert await two.call("echo", bytes(10), max_reply_bytes=100) == bytes(10)


async def test_a_bug_in_a_handler_stays_in_its_task(caplog: pytest.LogCaptureFixture) -> None:
    async with Two().running() as two:

        async def broken(_peer: bytes, _params: Any) -> None:
            raise ExceptionGroup("several", [RuntimeError("the secret"), OSError("path")])

        async def unanswerable(_peer: bytes, _params: Any) -> Any:
            return 1.5

        two.server.serve("broken", broken)
        two.server.serve("unanswerable", unanswerable)
        two.server.serve("echo", echo)
        error = await refusal_of(two.call("broken"))
        assert (error.code, error.message) == ("internal", "")
        assert await two.call("echo", 1) == 1
        assert "the secret" in caplog.text
        assert (await refusal_of(two.call("unanswerable"))).code == "internal"


async def test_strangers_are_held_to_a_rate_and_a_number() -> None:
    limits = PeersLimits(stranger_burst=5, stranger_rate_per_s=0.001, requests_open_stranger_max=2)
    async with Two(Standing.STRANGER, limits).running() as two:
        release = trio.Event()

        async def wait(_peer: bytes, _params: Any) -> None:
            await release.wait()

        two.server.serve("wait", wait, allow=everyone)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(two.call, "wait")
            await trio.testing.wait_all_tasks_blocked()
            assert (await refusal_of(two.call("wait"))).code == "busy"
            release.set()
        await two.call("wait")
        await two.call("wait")
        assert (await refusal_of(two.call("wait"))).code == "rate"


async def test_concurrency_of_one_method() -> None:
    async with Two().running() as two:

        async def wait(_peer: bytes, _params: Any) -> None:
            await trio.sleep_forever()

        two.server.serve("wait", wait, concurrency_per_peer=1)
        two.server.serve("echo", echo)
        two.nursery.start_soon(two.call, "wait")
        await trio.testing.wait_all_tasks_blocked()
        assert (await refusal_of(two.call("wait"))).code == "busy"
        assert await two.call("echo", 1) == 1


async def test_parameters_that_never_come(autojump_clock: trio.testing.MockClock) -> None:
    async with Two().running() as two:
        two.server.serve("echo", echo)
        conversation, call = two.caller._conversations[two.key][Channel.REQUESTS], Call()
        number, frames = conversation.machine.open("echo", bytes(100_000), item_bytes_max=1, window=1)
        conversation.calls[number] = call
        await conversation.send(next(frames))
        assert (await refusal_of(call.next_item())).code == "timeout"


async def test_handler_that_gets_no_answer_of_another_peer() -> None:
    async with Two().running() as two:

        async def relay(_peer: bytes, params: Any) -> Any:
            return await two.server.call(bytes(32), "echo", params)

        two.server.serve("relay", relay)
        assert (await refusal_of(two.call("relay"))).code == "unavailable"


async def test_handler_whose_nursery_fails_while_its_caller_leaves() -> None:
    async with Two().running() as two:
        failed = trio.Event()

        async def fail_when_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                failed.set()
                raise RuntimeError("while cancelled")

        async def broken(_peer: bytes, _params: Any) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail_when_cancelled)
                nursery.start_soon(trio.sleep_forever)

        two.server.serve("broken", broken)
        two.server.serve("echo", echo)
        with pytest.raises(CallTimeout):
            await two.call("broken", timeout_s=0.01)
        await failed.wait()
        assert await two.call("echo", 1) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_caller_that_leaves_as_the_answer_is_ready_is_no_bug_of_the_handler(
    stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ready = trio.Event()

    async def answer(_peer: bytes, _params: Any) -> int:
        await ready.wait()
        return 1

    async def items(_peer: bytes, _params: Any) -> AsyncIterator[int]:
        await ready.wait()
        yield 1

    async with Two().running() as two:
        two.server.serve("slow", items if stream else answer)
        two.hear(wire.to_frame(opening(window=1)))
        await trio.testing.wait_all_tasks_blocked()
        ready.set()
        two.hear(wire.to_frame(wire.Cancel(1)))
        await trio.testing.wait_all_tasks_blocked()
    assert not caplog.records


async def test_caller_that_leaves_as_it_opens_the_window_is_no_bug_of_the_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def items(_peer: bytes, _params: Any) -> AsyncIterator[int]:
        while True:
            yield 1

    async with Two().running() as two:
        two.server.serve("slow", items)
        two.hear(wire.to_frame(opening(window=0)))
        await trio.testing.wait_all_tasks_blocked()
        two.hear(wire.to_frame(wire.Window(1, 1)))
        two.hear(wire.to_frame(wire.Cancel(1)))
        await trio.testing.wait_all_tasks_blocked()
    assert not caplog.records


def opening(*, window: int) -> wire.Open:
    part = encode(None)
    return wire.Open(number=1, method="slow", item_bytes_max=100, window=window, size=len(part), part=part)


async def test_who_asks_and_takes_no_answers_costs_neither_tasks_nor_memory() -> None:
    async with Two(Standing.STRANGER).running() as two:
        while two.server_transport.send(two.caller_transport.key, Channel.REQUESTS, bytes(1000)) is SendResult.QUEUED:
            pass  # nothing is taken at the other end: the test is its caller
        before = trio.lowlevel.current_statistics().tasks_living
        conversation = two.server._conversations[two.caller_transport.key][Channel.REQUESTS]
        for number in range(1, 1000):
            opened = wire.Open(number=number, method="nothing", item_bytes_max=1, window=1, size=0, part=b"")
            two.hear(wire.to_frame(opened))
            if two.server_transport.dropped:
                break
        assert len(two.server_transport.dropped) == 1
        assert number < 2 * REFUSALS_WAITING_MAX
        assert trio.lowlevel.current_statistics().tasks_living <= before
        assert conversation.requests == {}


async def test_refusals_wait_for_room_on_the_channel() -> None:
    async with Two(Standing.STRANGER).running() as two:
        await refusal_of(two.call("nothing"))
        late = wire.to_frame(wire.Part(1, bytes(1000)))  # of a call that is done: an honest caller lets it go
        while two.server_transport.send(two.caller_transport.key, Channel.REQUESTS, late) is SendResult.QUEUED:
            pass
        conversation, call = two.caller._conversations[two.key][Channel.REQUESTS], Call()
        number, frames = conversation.machine.open("nothing", b"", item_bytes_max=1, window=1)
        conversation.calls[number] = call
        two.hear(next(frames))
        assert (await refusal_of(call.next_item())).code == "unknown-method"
        assert two.server_transport.dropped == []


async def test_plain_call_says_nothing_but_its_question(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Two().running() as two:
        two.server.serve("echo", echo)
        sent, send = [], two.caller_transport.send

        def record(peer: bytes, channel: Channel, frame: bytes) -> SendResult:
            sent.append(type(wire.from_frame(frame)))
            return send(peer, channel, frame)

        monkeypatch.setattr(two.caller_transport, "send", record)
        assert await two.call("echo", 1) == 1
        assert sent == [wire.Open]


# --- links ----------------------------------------------------------------------------------------------------------


async def test_no_link_and_lost_link() -> None:
    async with Two().running() as two:
        started = trio.Event()

        async def wait(_peer: bytes, _params: Any) -> None:
            started.set()
            await trio.sleep_forever()

        two.server.serve("wait", wait)
        with pytest.raises(LinkLost):
            await two.caller.call(bytes(32), "echo", None)
        with pytest.raises(CallTimeout, match="no link"):
            await two.caller.wait_link(bytes(32), 0.01)

        async def cut() -> None:
            await started.wait()
            two.caller_transport.disconnect()

        two.nursery.start_soon(cut)
        with pytest.raises(LinkLost, match="the cable was cut"):
            await two.call("wait")


async def test_slow_answer_times_out_and_the_server_is_told() -> None:
    async with Two().running() as two:
        stopped = trio.Event()

        async def wait(_peer: bytes, _params: Any) -> None:
            try:
                await trio.sleep_forever()
            finally:
                stopped.set()

        two.server.serve("wait", wait)
        with pytest.raises(CallTimeout):
            await two.call("wait", timeout_s=0.01)
        await stopped.wait()


async def test_links_are_told() -> None:
    two = Two()
    told: list[LinkUp | LinkDown] = []
    two.caller.on_link(told.append)
    async with two.running():
        two.caller_transport.disconnect("over")
        await trio.testing.wait_all_tasks_blocked()
        assert [type(event) for event in told] == [LinkUp, LinkDown]
        assert two.caller.link(two.key) is None
        two.caller_transport.connect(two.server_transport, Standing.PEER)
        two.server_transport.connect(two.caller_transport, Standing.PEER)
        two.server.serve("echo", echo)
        await two.caller.wait_link(two.key, 1)
        await two.server.wait_link(two.caller_transport.key, 1)
        assert await two.call("echo", "a new link") == "a new link"


async def test_frames_of_other_channels() -> None:
    two = Two()
    got: list[tuple[bytes, bytes]] = []
    two.server.on_frame(Channel.GOSSIP, lambda peer, frame: got.append((peer, frame)))
    with pytest.raises(ValueError, match="have a reader"):
        two.server.on_frame(Channel.GOSSIP, lambda _peer, _frame: None)
    async with two.running():
        two.caller_transport.send(two.key, Channel.GOSSIP, b"news")
        await trio.testing.wait_all_tasks_blocked()
        assert got == [(two.caller_transport.key, b"news")]


# --- breaches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [b"", b"garbage", encode([99, 1]), encode([int(wire.Kind.PART), 3, b""])])
async def test_garbage_drops_the_peer_and_is_logged_once(frame: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with Two().running() as two:
        for _ in range(3):
            two.caller_transport.send(two.key, Channel.REQUESTS, frame)
        await trio.testing.wait_all_tasks_blocked()
        assert len(two.server_transport.dropped) == 1
        assert two.server.breaches.total() == 1
        assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


async def test_parameters_that_are_no_cbor_drop_the_peer() -> None:
    async with Two().running() as two:
        two.server.serve("echo", echo)
        two.say(wire.Open(number=1, method="echo", item_bytes_max=1, window=1, size=2, part=b"\xff\xff"))
        await trio.testing.wait_all_tasks_blocked()
        assert two.server.breaches.total() == 1


async def test_answer_that_is_no_cbor_drops_the_peer() -> None:
    async with Two().running() as two:

        async def garble() -> None:
            await trio.testing.wait_all_tasks_blocked()
            frame = wire.to_frame(wire.Item(1, 2, b"\xff\xff"))
            two.server_transport.send(two.caller_transport.key, Channel.REQUESTS, frame)

        async def wait(_peer: bytes, _params: Any) -> None:
            await trio.sleep_forever()

        two.server.serve("wait", wait)
        two.nursery.start_soon(garble)
        with pytest.raises(LinkLost):
            await two.call("wait")
        assert len(two.caller_transport.dropped) == 1


async def test_frame_callback_may_call_it_a_breach() -> None:
    two = Two()

    def refuse(_peer: bytes, _frame: bytes) -> None:
        raise PeerProtocolError("no vote")

    two.server.on_frame(Channel.GOSSIP, refuse)
    async with two.running():
        two.caller_transport.send(two.key, Channel.GOSSIP, b"?")
        await trio.testing.wait_all_tasks_blocked()
        assert two.server_transport.dropped == ["no vote"]


async def test_peers_does_not_answer_on_a_fake_that_is_not_linked() -> None:
    lonely = Peers(FakeTransport(bytes(32)))
    with pytest.raises(LinkLost):
        await lonely.call(bytes(32), "echo", None)
