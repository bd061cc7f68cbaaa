"""Streams: a handler that yields, a reader that takes its time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from photon_core.api.transport import Channel
from photon_core.peers import LinkLost, Peers, Refusal, RemoteError
from photon_core.testing.fakes.transport import linked_transports


class Counter:
    """A handler that yields numbers with some weight; how many it was asked for, and whether it was closed."""

    def __init__(self, weight: int = 1000) -> None:
        self.made = 0
        self.closed = trio.Event()
        self._weight = weight

    async def handle(self, _peer: bytes, params: Any) -> AsyncIterator[Any]:
        try:
            while params is None or self.made < params:
                self.made += 1
                yield [self.made, bytes(self._weight)]
        finally:
            self.closed.set()


@pytest.fixture
async def two(nursery: trio.Nursery) -> tuple[Peers, Peers, bytes]:
    transports = linked_transports()
    caller, server = map(Peers, transports)
    for peers in (caller, server):
        await nursery.start(peers.run)
    await caller.wait_link(transports[1].key, 1)
    await server.wait_link(transports[0].key, 1)
    return caller, server, transports[1].key


@pytest.mark.parametrize("channel", [Channel.REQUESTS, Channel.BULK])
async def test_all_items_in_order(two: tuple[Peers, Peers, bytes], channel: Channel) -> None:
    caller, server, key = two
    server.serve("count", Counter(weight=10_000).handle)
    async with caller.stream(key, "count", 500, channel=channel) as items:
        assert [item[0] async for item in items] == list(range(1, 501))


async def test_slow_reader_stops_the_handler(two: tuple[Peers, Peers, bytes]) -> None:
    caller, server, key = two
    counter = Counter(weight=1000)
    server.serve("count", counter.handle)
    async with caller.stream(key, "count", None, window_bytes=10_000) as items:
        await trio.testing.wait_all_tasks_blocked()
        assert counter.made <= 12
        for expected in range(1, 101):
            assert (await anext(items))[0] == expected
        await trio.testing.wait_all_tasks_blocked()
        assert counter.made <= 112


async def test_leaving_stops_the_handler(two: tuple[Peers, Peers, bytes]) -> None:
    caller, server, key = two
    counter = Counter()
    server.serve("count", counter.handle)
    async with caller.stream(key, "count", None) as items:
        await anext(items)
    await counter.closed.wait()


async def test_lost_link_stops_both(two: tuple[Peers, Peers, bytes]) -> None:
    caller, server, key = two
    counter = Counter()
    server.serve("count", counter.handle)
    async with caller.stream(key, "count", None) as items:
        await anext(items)
        caller.transport.drop(key, "enough")
        with pytest.raises(LinkLost, match="enough"):
            async for _ in items:
                pass
    await counter.closed.wait()


async def test_refusal_in_the_middle(two: tuple[Peers, Peers, bytes]) -> None:
    caller, server, key = two

    async def two_and_no_more(_peer: bytes, _params: Any) -> AsyncIterator[Any]:
        yield 1
        yield 2
        raise Refusal("lease-closed")

    server.serve("log", two_and_no_more)
    async with caller.stream(key, "log", None) as items:
        assert [await anext(items), await anext(items)] == [1, 2]
        with pytest.raises(RemoteError, match="lease-closed"):
            await anext(items)


async def test_other_calls_go_on_beside_a_stream_that_nobody_reads(two: tuple[Peers, Peers, bytes]) -> None:
    caller, server, key = two
    server.serve("count", Counter(weight=50_000).handle)

    async def echo(_peer: bytes, params: Any) -> Any:
        return params

    server.serve("echo", echo)
    async with caller.stream(key, "count", None):
        await trio.testing.wait_all_tasks_blocked()
        assert await caller.call(key, "echo", "still here") == "still here"
