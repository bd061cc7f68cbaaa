"""Observers: plugins that watch a node and can change nothing (metrics, notifications, indexes)."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from .ids import Hash
from .plugin import PluginRecord


@frozen(kw_only=True)
class BlockNotice:
    """A block with its certificate. `events` are the JSON forms of the exchange's events, in order."""

    height: int
    block_hash: Hash
    time_ms: int
    transactions: int
    events: tuple[dict[str, object], ...]


class Observer(Protocol):
    def block_final(self, notice: BlockNotice) -> None:
        """Called in a worker thread, in order of height. What it raises is logged once and disables the observer."""
        ...


@frozen(kw_only=True)
class ObserverContext:
    config: object


ObserverProvider = PluginRecord[ObserverContext, Observer]
