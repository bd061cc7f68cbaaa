"""What the node has published, for those who wait for it: submissions, event streams, observers.

The newest blocks' events are kept in memory; older ones are read from the store. A reader asks for one height after the
other and waits when there is none yet, so a slow reader costs nothing but its own place.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable

import trio
from attrs import define, field

from photon_core.api.ids import Hash
from photon_core.exchange.events import Receipt

from .views import BlockEvents

RECENT_BLOCKS_MAX = 512
WAITING_TRANSACTIONS_MAX = 50_000


@define(eq=False)
class _Waiter:
    """Somebody who waits for several transactions, and is woken once."""

    missing: set[Hash]
    done: trio.Event = field(factory=trio.Event)

    def published(self, transaction_id: Hash) -> None:
        self.missing.discard(transaction_id)
        if not self.missing:
            self.done.set()


class Feed:
    def __init__(self, height: int) -> None:
        self.height = height
        self._recent: deque[BlockEvents] = deque(maxlen=RECENT_BLOCKS_MAX)
        self._changed = trio.Event()
        self._waiting: dict[Hash, list[_Waiter]] = {}
        self._done: OrderedDict[Hash, tuple[int, Receipt]] = OrderedDict()

    def publish(self, block: BlockEvents, receipts: tuple[Receipt, ...]) -> None:
        self.height = block.height
        self._recent.append(block)
        for receipt in receipts:
            for waiter in self._waiting.pop(receipt.transaction_id, ()):
                waiter.published(receipt.transaction_id)
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

    def outcome(self, transaction_id: Hash) -> tuple[int, Receipt] | None:
        """(height, receipt) of a recently published transaction."""
        return self._done.get(transaction_id)

    async def wait_outcomes(self, transaction_ids: Iterable[Hash], timeout_s: float) -> None:
        """Until all of them are published, or the time is over."""
        missing = {name for name in transaction_ids if name not in self._done}
        if not missing or timeout_s <= 0:
            return
        waiter = _Waiter(missing)
        for name in missing:
            self._waiting.setdefault(name, []).append(waiter)
        try:
            with trio.move_on_after(timeout_s):
                await waiter.done.wait()
        finally:
            for name in waiter.missing:
                self._give_up(name, waiter)

    def _give_up(self, transaction_id: Hash, waiter: _Waiter) -> None:
        waiters = self._waiting[transaction_id]
        waiters.remove(waiter)
        if not waiters:
            del self._waiting[transaction_id]
