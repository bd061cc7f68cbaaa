"""Connections of the API's clients, bounded: how many at once, and how long one may take nothing of what it is sent.

Theory of operation
-------------------
Hypercorn bounds what is inside a connection; here is what it leaves open. Connections over the limit are closed as they
come, so that a flood of them cannot use up the process's descriptors, which disk and links need. A client that asked
and no longer reads is cut off after a while: hypercorn shields its writes from cancellation, so one such client would
else keep the node from ever stopping. And a connection in which anything at all goes wrong ends alone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 512
"""Twice the requests that are served at once: the rest may be idle. Half of the usual limit of descriptors."""
STALLED_TIMEOUT_S = 30.0
"""For a client to take what fits in one write, 64 KiB at most of a stream."""


class Connection(trio.abc.HalfCloseableStream):
    """One client's stream, with what hypercorn asks of it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    @property
    def socket(self) -> trio.socket.SocketType:
        return self._stream.socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with trio.move_on_after(STALLED_TIMEOUT_S, shield=False) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            self.cut()
            raise trio.BrokenResourceError(f"the client took nothing for {STALLED_TIMEOUT_S:g} s")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def cut(self) -> None:
        """Now, whatever is under way in it: its reads and writes raise ClosedResourceError."""
        self._stream.socket.close()


class Gate:
    """Of the HTTP API: serves each connection by `handler`; `limit` at once."""

    def __init__(self, handler: Callable[[Connection], Awaitable[None]], limit: int = CONNECTIONS_MAX) -> None:
        self._handler, self._limit = handler, limit
        self._open: set[Connection] = set()

    @property
    def count(self) -> int:
        return len(self._open)

    async def serve(self, stream: trio.SocketStream) -> None:
        if len(self._open) >= self._limit:
            log.info("a connection closed at once: %d are open", self._limit)
            stream.socket.close()
            return
        connection = Connection(stream)
        self._open.add(connection)
        try:
            await self._handler(connection)
        except* Exception as errors:  # noqa: BLE001  # whatever it is, it is this client's
            log.info("a client's connection was closed: %s", errors.exceptions)
        finally:
            self._open.discard(connection)
            connection.cut()

    def cut_all(self) -> None:
        for connection in tuple(self._open):
            connection.cut()
