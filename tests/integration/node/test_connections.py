"""Clients that are slow, silent, many or mad: each is bounded, dropped, and nobody else's trouble."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from photon_core.api.errors import UsageError
from photon_core.node.http import connections, request, server, stream

SHORT_S = 0.2
SOON_S = 20.0
"""For what must happen: long enough for a slow machine, and nobody waits for it when all is well."""


async def hello(_request: Request) -> Response:
    return PlainTextResponse("hello")


async def echo(asked: Request) -> Response:
    return PlainTextResponse(str(len(await request.body(asked))))


async def slow(asked: Request) -> Response:
    await trio.sleep(float(asked.query_params["s"]))
    return PlainTextResponse("at last")


async def flood(_request: Request) -> Response:
    async def lines() -> AsyncIterator[bytes]:
        while True:
            yield bytes(2**16)

    return stream.ClosingStream(lines())


APP = Starlette(
    routes=[
        Route("/", hello), Route("/echo", echo, methods=["POST"]), Route("/slow", slow), Route("/flood", flood)
    ]
)  # fmt: skip


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        url = await nursery.start(server.serve_api, APP, "127.0.0.1:0")
        yield int(url.rpartition(":")[2])
        nursery.cancel_scope.cancel()


async def dial(port: int) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", port)


async def closed(client: trio.SocketStream) -> bytes:
    """What comes until the server closes; a test fails when it never does."""
    found = b""
    with trio.fail_after(SOON_S):
        try:
            while more := await client.receive_some():
                found += more
        except trio.BrokenResourceError:
            pass
    return found


async def answers(port: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"http://127.0.0.1:{port}/")).text == "hello"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_TIMEOUT_S", SHORT_S)
    monkeypatch.setattr(request, "BODY_TIMEOUT_S", SHORT_S)
    monkeypatch.setattr(connections, "STALLED_TIMEOUT_S", SHORT_S)


async def test_a_connection_that_never_asks_is_closed(impatient: None) -> None:
    async with serving() as port, await dial(port) as client:
        assert await closed(client) == b""


async def drip(client: trio.SocketStream, data: bytes) -> None:
    """A byte now and then, for ever: a connection that is never idle."""
    try:
        await client.send_all(data)
        while True:
            await client.send_all(b"x")
            await trio.sleep(SHORT_S / 10)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"GET /", b""),
        (b"GET / HTTP/1.1\r\nx-", b""),
        (b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 99999\r\n\r\n", b"408"),
    ],
    ids=["request line", "headers", "body"],
)  # fmt: skip
async def test_a_request_that_comes_byte_by_byte_for_ever_is_cut_off(
    impatient: None, head: bytes, answer: bytes
) -> None:
    async with serving() as port, await dial(port) as client, trio.open_nursery() as nursery:
        nursery.start_soon(drip, client, head)
        found = b""
        with trio.fail_after(SOON_S), suppress(trio.BrokenResourceError):  # a drip that comes too late is a reset
            while piece := await client.receive_some():
                found += piece
        assert answer in found[:15]
        assert await answers(port)
        nursery.cancel_scope.cancel()


async def test_who_waits_silently_for_an_answer_is_not_taken_for_dead(impatient: None) -> None:
    """Submissions wait for their block, and streams for the next, far longer than an idle connection may."""
    async with serving() as port, httpx.AsyncClient(trust_env=False) as http:
        response = await http.get(f"http://127.0.0.1:{port}/slow?s={SHORT_S * 4}")
        assert response.text == "at last"


async def test_a_reader_that_stops_reading_is_cut_off(impatient: None) -> None:
    async with serving() as port, await dial(port) as client:
        await client.send_all(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n")
        with trio.fail_after(SOON_S):
            while await answers(port):  # and meanwhile others are served
                if client.socket.fileno() >= 0 and await hung_up(client):
                    return


async def hung_up(client: trio.SocketStream) -> bool:
    """Sending to one that has closed fails; to one that is merely stuck it does not."""
    try:
        await client.send_all(b"\r\n")
    except trio.BrokenResourceError:
        return True
    return False


async def test_a_reader_that_stops_reading_does_not_keep_the_server_from_stopping() -> None:
    async with serving() as port:
        client = await dial(port)
        await client.send_all(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n")
        assert await client.receive_some()
        await trio.testing.wait_all_tasks_blocked(0.05)
    await client.aclose()


async def test_connections_over_the_limit_are_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections.Gate.__init__, "__defaults__", (3,))
    async with serving() as port:
        streams = [await dial(port) for _ in range(3)]
        async with await dial(port) as late:
            assert await closed(late) == b""
        await streams[0].aclose()
        with trio.fail_after(SOON_S):
            while not await answered_at_all(port):
                pass  # the server hears of a client that left a little later
        for client in streams[1:]:
            await client.aclose()


async def answered_at_all(port: int) -> bool:
    try:
        return await answers(port)
    except httpx.TransportError:
        return False


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_thousand_idle_connections_leave_no_trace() -> None:
    before = descriptors()
    async with serving() as port:
        for _ in range(4):
            streams = [await dial(port) for _ in range(250)]
            for client in streams:
                await client.aclose()
        assert await answers(port)
    assert descriptors() <= before + 2


GARBAGE: list[Callable[[random.Random], bytes]] = [
    lambda chance: chance.randbytes(chance.randrange(1, 5_000)),
    lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
    lambda _: b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nhttp2-settings: !!!\r\nconnection: upgrade\r\n\r\n",
    lambda _: b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\n\r\n",
    lambda _: b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    lambda _: b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    lambda _: b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000,
    lambda _: b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    lambda _: b"GET /%00%ff\x80 HTTP/1.1\r\nhost: \xff\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("garbage", range(len(GARBAGE)))
async def test_garbage_ends_its_own_connection_and_no_other(impatient: None, garbage: int) -> None:
    chance = random.Random(garbage)
    async with serving() as port:
        for _ in range(3):
            async with await dial(port) as client:
                try:
                    await client.send_all(GARBAGE[garbage](chance))
                except trio.BrokenResourceError:
                    continue
                await closed(client)
        assert await answers(port)


async def test_a_handler_that_fails_ends_its_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_connection: connections.Connection) -> None:
        raise ValueError("mad")

    caplog.set_level(logging.INFO)
    gate = connections.Gate(broken)
    listeners: list[Any] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, gate.serve, listeners)
        for _ in range(2):
            async with await dial(listeners[0].socket.getsockname()[1]) as client:
                assert await closed(client) == b""
        nursery.cancel_scope.cancel()
    assert gate.count == 0
    assert caplog.text.count("mad") == 2


async def test_a_port_in_use_is_named_with_the_remedy() -> None:
    async with serving() as port:
        with pytest.raises(UsageError, match="takes any free one") as caught:
            await server.serve_api(APP, f"127.0.0.1:{port}")
    assert (caught.value.code, caught.value.where) == ("cannot-listen", f"127.0.0.1:{port}")
