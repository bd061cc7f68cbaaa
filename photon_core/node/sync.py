"""Catching up: which blocks to ask for, of whom, and which of those that came are next. Pure.

Theory of operation
-------------------
Peers tell the heights that they have certificates for. While somebody is ahead of us, one fetch of a range is under way
at a time; it goes to the peer that claims most, and a peer that answers with nothing, or not in time, is not asked
again before it tells of a height once more. Blocks wait in a small buffer by height, each already verified by its
certificate, so it does not matter who sent them: a block that is there is right.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from photon_core.api.ids import NodeKey

from .steps import CertifiedBlock, FetchBlocks

FETCH_BLOCKS_MAX = 64
"""Per request: the answer must fit in the reply limit, and a lost answer must not cost much."""
BUFFER_BLOCKS_MAX = 256
FETCH_TIMEOUT_MS = 15_000


@define
class Sync:
    heights: dict[NodeKey, int] = field(factory=dict)
    _buffer: dict[int, CertifiedBlock] = field(factory=dict)
    _asked: NodeKey | None = None
    _asked_at_ms: int = 0

    @property
    def best_height(self) -> int:
        return max(self.heights.values(), default=0)

    def heard(self, peer: NodeKey, height: int) -> None:
        self.heights[peer] = height

    def vanished(self, peer: NodeKey) -> None:
        self.heights.pop(peer, None)
        if self._asked == peer:
            self._asked = None

    def arrived(self, peer: NodeKey, blocks: Iterable[CertifiedBlock], head: int, *, fetched: bool) -> None:
        """Keeps what is ahead of the head and within the buffer."""
        got = 0
        for certified in blocks:
            height = certified.block.header.height
            got += 1
            if head < height <= head + BUFFER_BLOCKS_MAX:
                self._buffer.setdefault(height, certified)
            if height > self.heights.get(peer, 0):
                self.heights[peer] = height
        if fetched and self._asked == peer:
            self._asked = None
            if not got:
                self.heights[peer] = 0  # it claimed to have them; believed again when it next tells of a height

    def next_block(self, head: int) -> CertifiedBlock | None:
        for stale in [height for height in self._buffer if height <= head]:
            del self._buffer[stale]
        return self._buffer.pop(head + 1, None)

    def step(self, head: int, now_ms: int) -> tuple[FetchBlocks, ...]:
        """What to ask for now: at most one fetch."""
        if self._asked is not None:
            if now_ms - self._asked_at_ms < FETCH_TIMEOUT_MS:
                return ()
            self.heights[self._asked], self._asked = 0, None
        first = head + 1
        while first in self._buffer:
            first += 1
        ahead = [(height, peer) for peer, height in self.heights.items() if height >= first]
        if not ahead or first > head + BUFFER_BLOCKS_MAX - FETCH_BLOCKS_MAX:
            return ()
        height, peer = max(ahead)
        self._asked, self._asked_at_ms = peer, now_ms
        return (FetchBlocks(peer=peer, from_height=first, count=min(FETCH_BLOCKS_MAX, height - first + 1)),)
