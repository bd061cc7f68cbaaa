"""From trio to an engine that blocks: worker threads, bounded in number and in time.

An engine ends its calls by itself, later than these deadlines; this is the second line, for one whose library hangs all
the same. A thread that is given up keeps its place in the limiter until it comes back, so a hanging engine costs a
bounded number of threads, and whoever waits for a place waits no longer than for the answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import trio

from photon_runtime_containers.engine import CALL_TIMEOUT_S, Engine, EngineDown, Stream

T = TypeVar("T")

CALLS_AT_ONCE_MAX = 16
STREAMS_AT_ONCE_MAX = 512
"""Logs that are followed and commands that are talked to: each holds a thread while it waits."""
LOOK_S = 15.0
"""For questions. The agent asks every few seconds; an engine that needs longer is down as far as it can tell."""
END_OF_STREAM = None


class Calls:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._calls = trio.CapacityLimiter(CALLS_AT_ONCE_MAX)
        self._streams = trio.CapacityLimiter(STREAMS_AT_ONCE_MAX)

    async def ask(self, call: Callable[[], T], within_s: float = LOOK_S) -> T:
        """A question: may be cancelled, nobody minds the answer then."""
        with trio.move_on_after(within_s):
            return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._calls)
        raise self.mute(within_s)

    async def do(self, call: Callable[[], T], within_s: float = CALL_TIMEOUT_S) -> T:
        """A change: not cancelled half-way, or nobody would know what became of it."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + within_s):
            return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._calls)
        raise self.mute(within_s)

    def mute(self, within_s: float) -> EngineDown:
        what = "the container engine does not answer"
        return EngineDown(what, f"{self.engine.where} gave no answer within {within_s:g} s: see to the engine there")

    async def streaming(self, call: Callable[[], T]) -> T:
        """A blocking step of a stream: may take for ever, and is given up when cancelled; then close the stream."""
        return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._streams)

    async def iterate(self, stream: Stream[T]) -> AsyncIterator[T]:
        """All of it; closes it at the end, which is also what frees the thread that waits in it."""
        try:
            while True:
                piece = await self.streaming(lambda: next(stream, END_OF_STREAM))
                if piece is END_OF_STREAM:
                    return
                yield piece
        finally:
            stream.close()
