"""From trio to an engine that blocks: worker threads, bounded in number and in time.

An engine ends its calls by itself, later than these deadlines; this is the second line, for one whose library hangs all
the same. A thread that is given up keeps its place in the limiter until it comes back, so a hanging engine costs a
bounded number of threads, and whoever waits for a place waits no longer than for the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from photon_core.api.ids import LeaseId
from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers.engine import CALL_TIMEOUT_S, Engine, EngineDown, Stream
from photon_runtime_containers.pump import Pump

T = TypeVar("T")

CALLS_AT_ONCE_MAX = 8
"""Questions, and changes, each: a workload that takes its time to stop must not keep others from being looked at."""
STREAMS_AT_ONCE_MAX = 256
"""Events and pulls, of which a lease has a few: each holds a thread."""
LOGS_AT_ONCE_MAX = 512
"""Of all leases, each a thread too. Apart from the others: whoever reads logs must not keep images from coming."""
LOGS_PER_LEASE_MAX = 64
"""One tenant's readers must not take the place of all others'."""
WRITERS_MAX = 512
LOOK_S = 15.0
"""For questions. The agent asks every few seconds; an engine that needs longer is down as far as it can tell."""


class Calls:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._questions = trio.CapacityLimiter(CALLS_AT_ONCE_MAX)
        self._changes = trio.CapacityLimiter(CALLS_AT_ONCE_MAX)
        self._openings = trio.CapacityLimiter(CALLS_AT_ONCE_MAX)
        """Of logs: an engine may read all that it has kept before it answers."""
        self._streams = 0
        self._logs: Counter[LeaseId] = Counter()
        self.writers = trio.CapacityLimiter(WRITERS_MAX)
        """For input of commands that do not read it: each holds a thread until it is read, or the session closed."""

    async def ask(self, call: Callable[[], T], within_s: float = LOOK_S) -> T:
        """A question: may be cancelled, nobody minds the answer then."""
        with trio.move_on_after(within_s):
            return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._questions)
        raise self.mute(within_s)

    async def do(self, call: Callable[[], T], within_s: float = CALL_TIMEOUT_S) -> T:
        """A change: not cancelled half-way, or nobody would know what became of it."""
        return await self._shielded(call, within_s, self._changes)

    async def _shielded(self, call: Callable[[], T], within_s: float, limiter: trio.CapacityLimiter) -> T:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + within_s):
            return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)
        raise self.mute(within_s)

    def mute(self, within_s: float) -> EngineDown:
        what = "the container engine does not answer"
        return EngineDown(what, f"{self.engine.where} gave no answer within {within_s:g} s: see to the engine there")

    @asynccontextmanager
    async def stream(self, begin: Callable[[], Stream[T]]) -> AsyncIterator[Pump[T]]:
        """An open stream; closed at the end, which also frees the thread that waits in it."""
        if self._streams >= STREAMS_AT_ONCE_MAX:
            raise RuntimeFailure(f"more than {STREAMS_AT_ONCE_MAX} images are fetched here already", "try again later")
        self._streams += 1
        try:
            async with _pumped(await self.do(begin)) as pump:
                yield pump
        finally:
            self._streams -= 1

    @asynccontextmanager
    async def log(self, lease: LeaseId, begin: Callable[[], Stream[bytes]]) -> AsyncIterator[Pump[bytes]]:
        """As `stream`; RuntimeFailure when too many logs are read, of this lease or here."""
        if self._logs[lease] >= LOGS_PER_LEASE_MAX or self._logs.total() >= LOGS_AT_ONCE_MAX:
            what = f"{self._logs[lease]} logs of this lease are read already, and {self._logs.total()} here"
            raise RuntimeFailure(what, "try again later, or read those of one service")
        self._logs[lease] += 1
        try:
            async with _pumped(await self._shielded(begin, CALL_TIMEOUT_S, self._openings)) as pump:
                yield pump
        finally:
            self._logs[lease] -= 1
            if not self._logs[lease]:
                del self._logs[lease]


@asynccontextmanager
async def _pumped(opened: Stream[T]) -> AsyncIterator[Pump[T]]:
    pump = Pump(lambda: next(opened, None), opened.close)
    try:
        yield pump
    finally:
        pump.close()
