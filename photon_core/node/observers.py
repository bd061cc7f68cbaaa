"""Observers beside the node: each block in order, in a worker thread, and never in the node's way."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import trio

from photon_core.api.fields import to_json
from photon_core.api.observer import BlockNotice, Observer

from . import steps
from .views import all_events

log = logging.getLogger(__name__)

NOTICES_WAITING_MAX = 1_024
"""A slower observer misses blocks, which it can see by their heights."""


class Observers:
    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = list(observers)
        self._send, self._receive = trio.open_memory_channel[BlockNotice](NOTICES_WAITING_MAX)

    def published(self, effect: steps.Publish) -> None:
        """On the loop's thread; does not wait."""
        if not self._observers:
            return
        notice = BlockNotice(
            height=effect.block.header.height,
            block_hash=effect.block_hash,
            time_ms=effect.block.header.time_ms,
            transactions=len(effect.transaction_ids),
            events=tuple(to_json(event) for event in all_events(effect.begin_events, effect.receipts)),
        )
        try:
            self._send.send_nowait(notice)
        except trio.WouldBlock:
            log.warning("observers are slow: block %d is not shown to them", notice.height)

    async def run(self) -> None:
        async for notice in self._receive:
            for observer in tuple(self._observers):
                try:
                    await trio.to_thread.run_sync(observer.block_final, notice)
                except Exception:
                    self._observers.remove(observer)
                    log.exception("observer %s failed at block %d and is not called again", observer, notice.height)
