"""A thread that reads a blocking source a few pieces ahead of a task.

Reading in pooled threads, one call for each piece, would lose a piece whenever the task is cancelled while it waits,
and cost a change of threads each. Here the thread goes on, and what it has read is there for the next call.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

import trio

T = TypeVar("T")

AHEAD_MAX = 8
"""Pieces that wait for their reader: then the source waits, and with it whoever writes to it."""


class Pump(Generic[T]):
    """`source` gives the next piece, None at the end, or raises; `close` makes it return at once, from any thread."""

    def __init__(self, source: Callable[[], T | None], close: Callable[[], None]) -> None:
        self._source, self._close = source, close
        self._token = trio.lowlevel.current_trio_token()
        self._room = threading.Semaphore(AHEAD_MAX)
        self._waiting: deque[T] = deque()
        self._arrived = trio.Event()
        self._failure: Exception | None = None
        self._over = False
        self._closed = False
        threading.Thread(target=self._run, name="photon-pump", daemon=True).start()

    def _run(self) -> None:
        more = True
        while more:
            self._room.acquire()
            piece: T | None = None
            failure: Exception | None = None
            if not self._closed:
                try:
                    piece = self._source()
                except Exception as problem:  # noqa: BLE001 - it goes to whoever reads
                    failure = problem
            more = piece is not None
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._take, piece, failure)

    def _take(self, piece: T | None, failure: Exception | None) -> None:
        if piece is None:
            self._over, self._failure = True, failure
        else:
            self._waiting.append(piece)
        self._arrived.set()

    async def receive(self) -> T | None:
        """The next piece; None at the end, and from then on. Raises what the source raised. May be cancelled."""
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            if self._over or self._closed:
                if self._failure is not None and not self._closed:
                    raise self._failure
                return None
            self._arrived = trio.Event()
            await self._arrived.wait()
        self._room.release()
        return self._waiting.popleft()

    def close(self) -> None:
        """Idempotent. What was read and not received is dropped."""
        if not self._closed:
            self._closed = True
            self._waiting.clear()
            self._arrived.set()
            self._room.release()
            self._close()
