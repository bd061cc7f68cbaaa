"""What waits to be stepped into a node's core, the most urgent first.

Results of what core itself asked for are never refused and never wait: their number is bounded by what core has under
way. Everything else comes from outside and is bounded: whoever brings it waits for room (`room`), and drops at its own
door what it cannot keep. So a flood of transactions delays no vote, and no flood at all delays the disk's answers.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

import trio

from . import steps


class Urgency(IntEnum):
    """In order: all that is more urgent goes first."""

    RESULT = 0
    CONSENSUS = 1
    PEERS = 2
    """Links, heights, blocks: they must stay in order among themselves."""
    TRANSACTIONS = 3


WAITING_MAX = {Urgency.CONSENSUS: 1_024, Urgency.PEERS: 1_024, Urgency.TRANSACTIONS: 64}
"""A message is a few kB and steps in well under a millisecond; transactions come some hundred at a time."""


class Inputs:
    """One task takes; any task of the same loop puts."""

    def __init__(self) -> None:
        self._waiting: dict[Urgency, deque[steps.Input]] = {urgency: deque() for urgency in Urgency}
        self._there = trio.Event()
        self._taken = trio.Event()

    def put(self, event: steps.Input, urgency: Urgency = Urgency.RESULT) -> None:
        """Never waits; callers other than results ask for `room` before."""
        self._waiting[urgency].append(event)
        self._there.set()

    def has_room(self, urgency: Urgency) -> bool:
        return len(self._waiting[urgency]) < WAITING_MAX[urgency]

    async def room(self, urgency: Urgency) -> None:
        """Returns once there is room; the caller then puts without another await in between."""
        while not self.has_room(urgency):
            if self._taken.is_set():
                self._taken = trio.Event()
            await self._taken.wait()

    def take(self) -> steps.Input | None:
        for urgency, waiting in self._waiting.items():
            if waiting:
                if urgency is not Urgency.RESULT:
                    self._taken.set()
                return waiting.popleft()
        return None

    async def wait(self, timeout_s: float) -> None:
        """Until something waits, or this time is over; at least for a moment, in which other tasks have their turn."""
        if self._there.is_set():
            self._there = trio.Event()
        if any(self._waiting.values()):
            await trio.lowlevel.checkpoint()
            return
        with trio.move_on_after(timeout_s):
            await self._there.wait()
