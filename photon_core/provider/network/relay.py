"""The bytes of one connection between two sockets: on the event loop while it is small, in threads when it is busy.

Each direction is a task of its own. After `splice_after_bytes` a direction borrows a worker thread (`splice`), if one
is free, and comes back when it rests. The end of one direction is passed on as a half-close; the connection is over
when both have ended, when either breaks, or when `close` is called.
"""

from __future__ import annotations

import contextlib
import socket
import struct

import trio

from .limits import NetworkLimits
from .splice import Ending, splice_one_way

CHUNK_BYTES = 64 * 1024
_LINGER_RESET = struct.pack("ii", 1, 0)


class Workers:
    """The bounded pool of threads that busy connections of one agent share."""

    def __init__(self, limits: NetworkLimits) -> None:
        self.limits = limits
        self._free = limits.splice_threads_max
        self._limiter = trio.CapacityLimiter(limits.splice_threads_max)

    def borrow(self) -> bool:
        if self._free == 0:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        self._free += 1

    @property
    def limiter(self) -> trio.CapacityLimiter:
        return self._limiter


class Relay:
    """Owns both sockets from construction on; `run` closes them."""

    def __init__(self, left: socket.socket, right: socket.socket, workers: Workers) -> None:
        self._ends = (left, right)
        self._workers = workers
        self.spliced_bytes = 0
        for end in self._ends:
            end.setblocking(False)
            with contextlib.suppress(OSError):  # a peer that has gone already, or a socket of another family
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Ends both directions wherever they are. Callable at any time."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    async def run(self, first: bytes = b"") -> None:
        """`first` goes to the right end before anything else."""
        left, right = self._ends
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._close_when_cancelled)
                async with trio.open_nursery() as directions:
                    directions.start_soon(self._one_way, left, right, first)
                    directions.start_soon(self._one_way, right, left, b"")
                nursery.cancel_scope.cancel()
        finally:
            for end in self._ends:
                end.close()

    async def _close_when_cancelled(self) -> None:
        """A direction in a thread does not hear of cancellation; it does hear of a shutdown."""
        try:
            await trio.sleep_forever()
        finally:
            self.close()

    async def _one_way(self, source: socket.socket, sink: socket.socket, held: bytes) -> None:
        try:
            while await self._on_loop(source, sink, held):
                moved = await self._in_thread(source, sink)
                if moved is None:
                    break
                held = moved
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # reset by either end
            self.close()

    async def _on_loop(self, source: socket.socket, sink: socket.socket, held: bytes) -> bool:
        """False at the end of the source; True when the direction has become busy and borrowed a worker."""
        count = 0
        data = held or await receive(source)
        while data:
            await send_all(sink, data)
            count += len(data)
            if count >= self._workers.limits.splice_after_bytes and self._workers.borrow():
                return True
            data = await receive(source)
        return False

    async def _in_thread(self, source: socket.socket, sink: socket.socket) -> bytes | None:
        """None at the end of the source; otherwise what is still to be written."""
        workers = self._workers
        try:
            moved = await trio.to_thread.run_sync(
                splice_one_way, source.fileno(), sink.fileno(), workers.limits.splice_idle_ms, limiter=workers.limiter
            )
        finally:
            workers.give_back()
        self.spliced_bytes += moved.count
        match moved.ending:
            case Ending.EOF:
                return None
            case Ending.BROKEN:
                raise ConnectionResetError("the connection broke")
            case Ending.PAUSED:
                return moved.held


async def receive(source: socket.socket, count: int = CHUNK_BYTES) -> bytes:
    """Lets others run first, always: a source that is never empty would keep the loop to itself."""
    await trio.lowlevel.checkpoint()
    while True:
        try:
            return source.recv(count)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(source)


async def send_all(sink: socket.socket, data: bytes) -> None:
    await trio.lowlevel.checkpoint()
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[sink.send(rest) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sink)


def reset(connection: socket.socket) -> None:
    """Closes with RST: the other side's `connect` or next call fails as if nobody listened."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    connection.close()
