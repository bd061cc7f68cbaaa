"""What the node has published, for those who wait for it: submissions, event streams, observers.

The newest blocks' events are kept in memory; older ones are read from the store. A reader asks for one height after the
other and waits when there is none yet, so a slow reader costs nothing but its own place.
"""

from __future__ import annotations

from collections import OrderedDict, deque

import trio

from photon_core.api.ids import Hash
from photon_core.exchange.events import Receipt

from .views import BlockEvents

RECENT_BLOCKS_MAX = 512
WAITING_TRANSACTIONS_MAX = 50_000


class Feed:
    def __init__(self, height: int) -> None:
        self.height = height
        self._recent: deque[BlockEvents] = deque(maxlen=RECENT_BLOCKS_MAX)
        self._changed = trio.Event()
        self._waiting: OrderedDict[Hash, list[trio.Event]] = OrderedDict()
        self._done: OrderedDict[Hash, tuple[int, Receipt]] = OrderedDict()

    def publish(self, block: BlockEvents, receipts: tuple[Receipt, ...]) -> None:
        self.height = block.height
        self._recent.append(block)
        for receipt in receipts:
            for waiter in self._waiting.pop(receipt.transaction_id, ()):
                waiter.set()
            self._done[receipt.transaction_id] = (block.height, receipt)
            if len(self._done) > WAITING_TRANSACTIONS_MAX:
                self._done.popitem(last=False)
        self._changed.set()
        self._changed = trio.Event()

    def recent(self, height: int) -> BlockEvents | None:
        """From memory; None when it is older than that (or not there yet)."""
        if not self._recent or not self._recent[0].height <= height <= self._recent[-1].height:
            return None
        return self._recent[height - self._recent[0].height]

    async def wait_for(self, height: int) -> None:
        """Returns once a block of this height is published."""
        while self.height < height:
            await self._changed.wait()

    @property
    def waiting_count(self) -> int:
        """Transactions that somebody waits for."""
        return len(self._waiting)

    def outcome(self, transaction_id: Hash) -> tuple[int, Receipt] | None:
        """(height, receipt) of a recently published transaction."""
        return self._done.get(transaction_id)

    async def wait_outcome(self, transaction_id: Hash, timeout_s: float) -> tuple[int, Receipt] | None:
        """None when the time is over first."""
        if (done := self.outcome(transaction_id)) is not None:
            return done
        event = trio.Event()
        self._waiting.setdefault(transaction_id, []).append(event)
        try:
            with trio.move_on_after(timeout_s):
                await event.wait()
        finally:
            self._give_up(transaction_id, event)
        return self.outcome(transaction_id)

    def _give_up(self, transaction_id: Hash, event: trio.Event) -> None:
        waiters = self._waiting.get(transaction_id)
        if waiters and event in waiters:
            waiters.remove(event)
            if not waiters:
                del self._waiting[transaction_id]
