"""A long-lived task for jobs that must be done in order, a batch at a time: cheaper than a task for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Worker(Generic[T]):
    """`work` gets all that has gathered while it did the batch before, oldest first. `put` never waits: whoever puts
    bounds what it has under way.
    """

    def __init__(self, work: Callable[[list[T]], Awaitable[None]]) -> None:
        self._work = work
        self._jobs: list[T] = []
        self._there = trio.Event()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._jobs)

    def put(self, job: T) -> None:
        self._jobs.append(job)
        self._there.set()

    async def run(self) -> None:
        while True:
            await self._there.wait()
            self._there = trio.Event()
            jobs, self._jobs = self._jobs, []
            if jobs:
                await self._work(jobs)
