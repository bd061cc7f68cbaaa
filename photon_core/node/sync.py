"""Catching up: which blocks to ask for, of whom, and which of those that came are next. Pure.

Theory of operation
-------------------
Peers tell the heights that they have certificates for. While somebody is ahead of us, one fetch of a range is under way
at a time. A peer that answers with nothing new, or not in time, has failed: it is not asked again before it tells of a
height once more, and then only after peers that failed less often; a block that was of use clears its name. So one that
claims much and gives nothing costs one time-out, not one for each claim, while anybody honest is there. Blocks wait in
a small buffer by height, each already verified by its certificate, so it does not matter who sent them: a block that is
there is right.

A validator is a step behind the quickest of the others all the time, and gets the block by itself in a moment. Who
knows that it is on its way is patient: it asks only when the head has not moved for a while, or when it
is far behind.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from photon_core.api.consensus import IN_FLIGHT_MAX
from photon_core.api.ids import NodeKey

from .steps import CertifiedBlock, FetchBlocks

FETCH_BLOCKS_MAX = 64
"""Per request: the answer must fit in the reply limit, and a lost answer must not cost much."""
BUFFER_BLOCKS_MAX = 256
FETCH_TIMEOUT_MS = 15_000
PATIENCE_MS = 500
"""Some ten times what votes, disks and statements take for a block."""


@define
class _Peer:
    """`height` is what it claims; 0 while it is not to be asked."""

    height: int = 0
    failures: int = 0


@define
class Sync:
    _peers: dict[NodeKey, _Peer] = field(factory=dict)
    _buffer: dict[int, CertifiedBlock] = field(factory=dict)
    _asked: NodeKey | None = None
    _asked_at_ms: int = 0
    _head: int = 0
    _head_since_ms: int = 0
    """When `step` first saw this head."""

    @property
    def best_height(self) -> int:
        return max((peer.height for peer in self._peers.values()), default=0)

    def appeared(self, peer: NodeKey) -> None:
        self._peers[peer] = _Peer()

    def heard(self, peer: NodeKey, height: int) -> None:
        """Of a peer that has vanished meanwhile, nothing is kept."""
        if peer in self._peers:
            self._peers[peer].height = height

    def vanished(self, peer: NodeKey) -> None:
        self._peers.pop(peer, None)
        if self._asked == peer:
            self._asked = None

    def arrived(self, peer: NodeKey, blocks: Iterable[CertifiedBlock], head: int, *, fetched: bool) -> None:
        """Keeps what is ahead of the head and within the buffer."""
        useful = False
        for certified in blocks:
            height = certified.block.header.height
            if head < height <= head + BUFFER_BLOCKS_MAX and height not in self._buffer:
                self._buffer[height] = certified
                useful = True
        if useful and peer in self._peers:
            self._peers[peer].failures = 0
        if fetched and self._asked == peer:
            self._asked = None
            if not useful:
                self._failed(peer)

    def next_block(self, head: int) -> CertifiedBlock | None:
        for stale in [height for height in self._buffer if height <= head]:
            del self._buffer[stale]
        return self._buffer.pop(head + 1, None)

    def step(self, head: int, now_ms: int, *, coming: bool = False) -> tuple[FetchBlocks, ...]:
        """What to ask for now: at most one fetch. `coming`: the next block is on its way without being asked for."""
        if head != self._head:
            self._head, self._head_since_ms = head, now_ms
        # What lies further ahead than an engine's window does not come without being asked for.
        coming = coming and self.best_height - head <= IN_FLIGHT_MAX
        if coming and now_ms - self._head_since_ms < PATIENCE_MS:
            return ()
        if self._asked is not None:
            if now_ms - self._asked_at_ms < FETCH_TIMEOUT_MS:
                return ()
            self._failed(self._asked)
            self._asked = None
        first = head + 1
        while first in self._buffer:
            first += 1
        ahead = [(peer.failures, -peer.height, key) for key, peer in self._peers.items() if peer.height >= first]
        if not ahead or first > head + BUFFER_BLOCKS_MAX - FETCH_BLOCKS_MAX:
            return ()
        _, below, key = min(ahead)
        self._asked, self._asked_at_ms = key, now_ms
        return (FetchBlocks(peer=key, from_height=first, count=min(FETCH_BLOCKS_MAX, -below - first + 1)),)

    def _failed(self, peer: NodeKey) -> None:
        if peer in self._peers:
            self._peers[peer].height = 0
            self._peers[peer].failures += 1
