"""The one task that steps a node's core: the most urgent input first, the clock when it is due, and turns for others.

The clock does not wait for the inputs to end: under a flood of them timers fire all the same. A turn is a moment; at
its end what has gathered to be told goes out, and the loop's other tasks have theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from attrs import define

from . import steps
from .inputs import Inputs

TURN_MS = 2
"""So long the core is stepped without a pause for the other tasks of the loop."""
REST_MS = 60_000
"""The clock ticks at least this often, whatever the core says."""


class Core(Protocol):
    def handle(self, event: steps.Input, now: steps.Now) -> tuple[steps.Effect, ...]: ...

    def wake_in_ms(self, now: steps.Now) -> int: ...


@define
class Stepping:
    """`begin` starts an effect, `rested` is called when a turn is over; neither waits."""

    core: Core
    inputs: Inputs
    begin: Callable[[steps.Effect], None]
    rested: Callable[[], None]
    _tick_at_ms: int = 0
    """When the core wants the clock, on the monotonic one."""

    def step(self, event: steps.Input) -> None:
        for effect in self.core.handle(event, _now()):
            self.begin(effect)

    async def run(self) -> None:
        while True:
            self._turn()
            now = _now()
            self._tick_at_ms = min(self._tick_at_ms, now.monotonic_ms + self.core.wake_in_ms(now))
            self.rested()
            await self.inputs.wait(max(0, self._tick_at_ms - _monotonic_ms()) / 1000)

    def _turn(self) -> None:
        """What waits, for a moment."""
        until_ms = _monotonic_ms() + TURN_MS
        while (now_ms := _monotonic_ms()) <= until_ms:
            if now_ms >= self._tick_at_ms:
                self._tick_at_ms = now_ms + REST_MS  # the end of the turn says when sooner
                self.step(steps.ClockTicked())
            elif (event := self.inputs.take()) is not None:
                self.step(event)
            else:
                return


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _now() -> steps.Now:
    return steps.Now(unix_ms=time.time_ns() // 1_000_000, monotonic_ms=_monotonic_ms())
