"""Frames of peers that wait to be verified: a bounded queue for each, and turns, so that none crowds out another.

A queue that is full loses its oldest frame: an engine sends again what matters, and what is newer matters more. Where
the order matters more than what is new, `has_room` is asked first.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio
from attrs import define, field

from photon_core.api.ids import NodeKey

FRAMES_MAX: Final = 1_024
"""Of one validator: some hundred blocks' votes."""
BYTES_MAX: Final = 4 * 2**20
"""Of one validator: as much as its channel may have on the way."""


@define
class _Waiting:
    frames: deque[bytes] = field(factory=deque)
    size: int = 0


class MessageQueue:
    def __init__(self, *, frames_max: int = FRAMES_MAX, bytes_max: int = BYTES_MAX) -> None:
        """Bounds of one peer's queue."""
        self._frames_max, self._bytes_max = frames_max, bytes_max
        self._by_peer: dict[NodeKey, _Waiting] = {}
        self._there = trio.Event()
        self.lost = 0
        """Frames that were given up for newer ones."""

    def __bool__(self) -> bool:
        """Whether something waits."""
        return bool(self._by_peer)

    def size_of(self, peer: NodeKey) -> int:
        """Bytes of what waits of this peer."""
        waiting = self._by_peer.get(peer)
        return 0 if waiting is None else waiting.size

    def has_room(self, peer: NodeKey, frame: bytes) -> bool:
        """Whether `put` would lose nothing."""
        waiting = self._by_peer.get(peer, _Waiting())
        return len(waiting.frames) < self._frames_max and waiting.size + len(frame) <= self._bytes_max

    def put(self, peer: NodeKey, frame: bytes) -> None:
        """The caller bounds the number of peers, and with it all of this."""
        waiting = self._by_peer.setdefault(peer, _Waiting())
        waiting.frames.append(frame)
        waiting.size += len(frame)
        while len(waiting.frames) > self._frames_max or waiting.size > self._bytes_max:
            waiting.size -= len(waiting.frames.popleft())
            self.lost += 1
        self._there.set()

    async def take(self, count_max: int) -> list[tuple[NodeKey, bytes]]:
        """Waits for one; then up to so many, of each in turn, in its order."""
        while not self._by_peer:
            self._there = trio.Event()
            await self._there.wait()
        taken: list[tuple[NodeKey, bytes]] = []
        while self._by_peer and len(taken) < count_max:
            peer = next(iter(self._by_peer))
            waiting = self._by_peer.pop(peer)
            frame = waiting.frames.popleft()
            waiting.size -= len(frame)
            taken.append((peer, frame))
            if waiting.frames:
                self._by_peer[peer] = waiting  # behind the others
        return taken

    def forget(self, peer: NodeKey) -> None:
        """Its link is down, or it was dropped."""
        self._by_peer.pop(peer, None)
