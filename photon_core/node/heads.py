"""Which validators are told of this node's head, and when. Pure.

A validator that keeps up gets each block's certificate as this one does, out of statements: it is told of the head only
now and then (`again`), in case it lost some. Who is behind, or was not heard of yet, is told of every block.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import define, field

from photon_core.api.ids import ConsensusKey, NodeKey

from .steps import GossipHead

BEHIND_BLOCKS: Final = 4
"""Who stated one of so many newest blocks keeps up: as many as an engine usually has in flight."""


@define
class Heads:
    _stated: dict[ConsensusKey, int] = field(factory=dict)
    """Up to which height a validator was heard to have executed."""
    _told_again: int = 0

    def appeared(self, validator: ConsensusKey) -> None:
        """It may have started anew."""
        self._stated.pop(validator, None)

    def heard(self, validator: ConsensusKey, height: int) -> None:
        self._stated[validator] = height

    def moved(self, height: int, linked: Mapping[NodeKey, ConsensusKey]) -> tuple[GossipHead, ...]:
        """The head is at `height` now."""
        behind = max(0, height - BEHIND_BLOCKS)
        to = [peer for peer, validator in sorted(linked.items()) if self._stated.get(validator, 0) <= behind]
        return tuple(GossipHead(height=height, only=peer) for peer in to)

    def again(self, height: int, linked: Mapping[NodeKey, ConsensusKey]) -> tuple[GossipHead, ...]:
        """To all: who was heard to have executed more may lack this certificate, and gets no further without it."""
        self._told_again = height
        return tuple(GossipHead(height=height, only=peer) for peer in sorted(linked))

    def is_news(self, height: int) -> bool:
        """Whether `again` is to be called some time, though nothing else happens."""
        return height > self._told_again
