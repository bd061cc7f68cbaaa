"""When a next block is wanted, and when those who make blocks leave something out. Pure.

There is work when a transaction waits that no block on its way holds, when an event of the market falls due, or when
the heartbeat does. At once if nothing is on its way; else transactions gather until the block before is final, or until
they are worth a block of their own, or for as long as a block takes on slow links: what several small blocks in flight
cost, each of them and everybody else waits for (ADR 26).
"""

from __future__ import annotations

from attrs import define

from photon_core.api.chain import Block

from . import steps
from .executor import Executor
from .mempool import Mempool
from .ordering import Ordering
from .pipeline import Pipeline

GATHER_MS = 250
"""Behind a block on its way: what its five message delays take around the world. Nearer by it is final sooner."""
GATHERED_ENOUGH = 500
"""Batches of 500 to 1000 were best: a larger one gains nothing and makes everybody wait."""
IGNORED_BLOCKS = 64
"""Gossip tells again long before: who then still has room and leaves a transaction out does so on purpose."""
ROOM_BYTES, ROOM_TRANSACTIONS = 2**20, 500
"""A block below both had room: half of what this version proposes at most."""


@define
class Work:
    mempool: Mempool
    executor: Executor
    pipeline: Pipeline
    ordering: Ordering
    heartbeat_ms: int
    _blocks_with_room: int = 0

    def due_in_ms(self, now: steps.Now) -> int:
        """Milliseconds until a block is wanted; 0 or less: now."""
        waiting = len(self.mempool)
        if not self.pipeline and not self.ordering.in_flight(now):
            return 0 if waiting else self._by_the_clock_ms() - now.unix_ms
        waiting -= self.ordering.contents.waiting_in(self.pipeline.executed_height)
        if waiting <= 0:
            return self.heartbeat_ms
        if waiting >= GATHERED_ENOUGH:
            return 0
        return self.ordering.proposed_at_ms + GATHER_MS - now.monotonic_ms

    def _by_the_clock_ms(self) -> int:
        head_ms = self.pipeline.head.time_ms
        until_event_ms = self.executor.next_event_in_ms()
        heartbeat_ms = head_ms + self.heartbeat_ms
        return heartbeat_ms if until_event_ms is None else min(heartbeat_ms, head_ms + until_event_ms)

    def published(self, block: Block) -> bool:
        """Whether blocks have left out for long what could have been in them. Everything that waits is executable."""
        size = sum(map(len, block.transactions))
        room = size < ROOM_BYTES and len(block.transactions) < ROOM_TRANSACTIONS
        self._blocks_with_room = self._blocks_with_room + 1 if room else 0
        oldest = self.mempool.oldest_height
        if oldest is None or self._blocks_with_room < IGNORED_BLOCKS:
            return False
        if block.header.height - oldest < IGNORED_BLOCKS:
            return False
        self._blocks_with_room = 0
        return True
