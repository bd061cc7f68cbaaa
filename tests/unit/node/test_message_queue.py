"""Validators' frames that wait: in turns, in order, bounded for each."""

from __future__ import annotations

import trio
import trio.testing

from photon_core.node import message_queue
from photon_core.node.message_queue import MessageQueue

LOUD, QUIET = b"\x01" * 32, b"\x02" * 32


async def test_who_sends_much_waits_behind_itself() -> None:
    queue = MessageQueue()
    for number in range(5):
        queue.put(LOUD, bytes([number]))
    queue.put(QUIET, b"vote")
    assert await queue.take(3) == [(LOUD, b"\x00"), (QUIET, b"vote"), (LOUD, b"\x01")]
    assert await queue.take(9) == [(LOUD, b"\x02"), (LOUD, b"\x03"), (LOUD, b"\x04")]
    assert queue.lost == 0


async def test_the_oldest_go_when_too_many_wait() -> None:
    queue = MessageQueue()
    for number in range(message_queue.FRAMES_MAX + 2):
        queue.put(LOUD, number.to_bytes(2, "big"))
    queue.put(QUIET, b"vote")
    assert queue.lost == 2
    first, second = await queue.take(2)
    assert first == (LOUD, b"\x00\x02")
    assert second == (QUIET, b"vote")


async def test_the_oldest_go_when_they_are_too_large() -> None:
    queue = MessageQueue()
    for number in range(17):
        queue.put(LOUD, bytes([number]) * (message_queue.BYTES_MAX // 16))
    assert queue.lost == 1
    assert (await queue.take(1))[0][1][0] == 1


async def test_who_asks_for_room_first_loses_nothing_that_waits() -> None:
    queue = MessageQueue(frames_max=2, bytes_max=10)
    assert queue.has_room(LOUD, b"x" * 10)
    assert not queue.has_room(LOUD, b"x" * 11)
    queue.put(LOUD, b"x" * 5)
    assert queue.has_room(LOUD, b"x" * 5)
    assert not queue.has_room(LOUD, b"x" * 6)
    queue.put(LOUD, b"x")
    assert not queue.has_room(LOUD, b"")
    assert queue.has_room(QUIET, b"")


async def test_taking_waits_for_the_next() -> None:
    queue = MessageQueue()
    found: list[bytes] = []

    async def take() -> None:
        found.extend(frame for _, frame in await queue.take(2))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        queue.put(QUIET, b"vote")
    assert found == [b"vote"]


async def test_what_a_dropped_peer_sent_is_gone() -> None:
    queue = MessageQueue()
    queue.put(LOUD, b"lie")
    queue.put(QUIET, b"vote")
    queue.forget(LOUD)
    assert await queue.take(2) == [(QUIET, b"vote")]
