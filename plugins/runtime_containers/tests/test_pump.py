"""A thread reads ahead for a task: nothing is lost, little is kept, and closing ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from photon_runtime_containers.pump import AHEAD_MAX, Pump
from photon_runtime_containers.testing.fake import FakeStream


def of(stream: FakeStream[int]) -> Pump[int]:
    return Pump(lambda: next(stream, None), stream.close)


async def test_all_of_it_in_order_and_then_the_end() -> None:
    stream = FakeStream(*range(100))
    stream.put(None)
    pump = of(stream)
    assert [await pump.receive() for _ in range(102)] == [*range(100), None, None]
    pump.close()


async def test_what_went_wrong_comes_after_what_was_read() -> None:
    stream = FakeStream(1)
    stream.put(OSError("broken"))
    pump = of(stream)
    assert await pump.receive() == 1
    for _ in range(2):
        with pytest.raises(OSError, match="broken"):
            await pump.receive()
    pump.close()


async def test_cancelled_reader_loses_nothing() -> None:
    stream: FakeStream[int] = FakeStream()
    pump = of(stream)
    with trio.move_on_after(0.01) as scope:
        await pump.receive()
    assert scope.cancelled_caught
    stream.put(7)
    assert await pump.receive() == 7
    pump.close()


async def test_source_waits_for_a_slow_reader() -> None:
    given: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1000):
            given.append(number)
            yield number

    numbers = source()
    pump = Pump(lambda: next(numbers, None), lambda: None)
    for expected in range(50):
        assert await pump.receive() == expected
        await trio.testing.wait_all_tasks_blocked()
        assert len(given) <= expected + AHEAD_MAX + 2
    pump.close()


async def test_closing_ends_the_thread_and_the_wait() -> None:
    before = threading.active_count()
    stream: FakeStream[int] = FakeStream()
    pump = of(stream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.receive)
        await trio.testing.wait_all_tasks_blocked()
        pump.close()
        pump.close()
    assert stream.closed.is_set()
    with trio.fail_after(5):
        while any(thread.name == "photon-pump" for thread in threading.enumerate()):  # noqa: ASYNC110 - it tells nobody
            await trio.sleep(0.01)
    assert threading.active_count() <= before
