"""Virtual time: a heap of things that will happen, in one order for one seed."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

EVENTS_MAX = 3_000_000
"""A run of some minutes of virtual time has some ten thousand: more is a loop, which must not run for ever."""


class Endless(Exception):
    """So much happened that it is not a run but a loop."""


class Schedule:
    def __init__(self) -> None:
        self.now_ms = 0
        self.done = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """What is due at one time happens in the order in which it was asked for."""
        heapq.heappush(self._heap, (self.now_ms + max(0, delay_ms), next(self._order), action))

    def run(self, until_ms: int, enough: Callable[[], bool] = lambda: False) -> bool:
        """All that is due up to then. True when it was `enough` before; that is asked after each thing that happens."""
        while self._heap and self._heap[0][0] <= until_ms:
            self.now_ms, _, action = heapq.heappop(self._heap)
            self.done += 1
            if self.done > EVENTS_MAX:
                raise Endless(f"{EVENTS_MAX} events by {self.now_ms} ms of virtual time")
            action()
            if enough():
                return True
        self.now_ms = max(self.now_ms, until_ms)
        return False
