"""What is published reaches those who wait, in order and once."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from photon_core.exchange.events import Outcome, Receipt
from photon_core.node import feed as module
from photon_core.node.feed import Feed
from photon_core.node.views import BlockEvents


def block(height: int) -> BlockEvents:
    return BlockEvents(height=height, block_hash=bytes(32), time_ms=height, market_ms=height, events=())


def receipt(number: int) -> Receipt:
    return Receipt(transaction_id=number.to_bytes(32, "big"), outcome=Outcome.DONE, fee_uptn=0)


async def test_a_waiter_wakes_when_its_height_is_there() -> None:
    feed = Feed(4)
    await feed.wait_for(4)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.wait_for, 6)
        await trio.testing.wait_all_tasks_blocked()
        feed.publish(block(5), ())
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        feed.publish(block(6), ())


async def outcome_of(feed: Feed, number: int, timeout_s: float) -> tuple[int, Receipt] | None:
    name = receipt(number).transaction_id
    await feed.wait_outcomes([name], timeout_s)
    return feed.outcome(name)


async def test_outcomes_come_to_all_who_wait_for_them() -> None:
    feed = Feed(0)
    found: list[object] = []

    async def wait() -> None:
        found.append(await outcome_of(feed, 1, 60))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        feed.publish(block(1), (receipt(1),))
    assert found == [(1, receipt(1))] * 2
    assert await outcome_of(feed, 1, 60) == (1, receipt(1)), "also to those who come late"


async def test_who_gives_up_leaves_nothing_behind(autojump_clock: trio.abc.Clock) -> None:
    feed = Feed(0)
    assert await outcome_of(feed, 1, 5) is None
    with trio.move_on_after(1):
        await outcome_of(feed, 2, 5)
    assert not feed._waiting  # nothing else shows what would leak


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_TRANSACTIONS_MAX", 10)
    feed = Feed(0)
    for height in range(1, module.RECENT_BLOCKS_MAX + 3):
        feed.publish(block(height), (receipt(height),))
    assert feed.recent(1) is None
    assert feed.recent(3) == block(3)
    assert feed.recent(module.RECENT_BLOCKS_MAX + 3) is None
    assert feed.outcome(receipt(1).transaction_id) is None
    assert feed.outcome(receipt(module.RECENT_BLOCKS_MAX).transaction_id) is not None
