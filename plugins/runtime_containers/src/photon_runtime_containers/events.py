"""Events: one stream from the engine, many who listen; comes back by itself when the engine was away."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import trio

from photon_core.api.ids import InstanceId
from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers.calls import Calls
from photon_runtime_containers.engine import EngineEvent
from photon_runtime_containers.holdings import Holdings, Inspections
from photon_runtime_containers.labels import Owner, instance_of

log = logging.getLogger(__name__)

EVENTS_WAITING_MAX = 256
"""Per subscriber; further ones are lost, as the contract allows: the agent looks every few seconds anyway."""
AGAIN_FIRST_S, AGAIN_MAX_S = 0.25, 10.0


class Events:
    def __init__(self, calls: Calls, owner: Owner, inspections: Inspections) -> None:
        self._calls, self._owner, self._inspections = calls, owner, inspections
        self._subscribers: set[trio.MemorySendChannel[InstanceId]] = set()

    def publish(self, instance: InstanceId) -> None:
        for subscriber in tuple(self._subscribers):
            with suppress(trio.WouldBlock, trio.BrokenResourceError):
                subscriber.send_nowait(instance)

    @contextmanager
    def subscribed(self) -> Iterator[trio.MemoryReceiveChannel[InstanceId]]:
        send, receive = trio.open_memory_channel[InstanceId](EVENTS_WAITING_MAX)
        self._subscribers.add(send)
        try:
            yield receive
        finally:
            self._subscribers.discard(send)

    async def follow(self, holdings: Holdings) -> None:
        """For ever. While the engine is away nothing that was inspected counts, and afterwards all may have changed."""
        again_s = AGAIN_FIRST_S
        while True:
            try:
                async with self._calls.stream(lambda: self._calls.engine.events(self._owner.filter)) as pump:
                    self._inspections.forget_all()
                    self._inspections.trusted = True
                    for instance in await holdings.look():
                        self.publish(instance)
                    again_s = AGAIN_FIRST_S
                    while (event := await pump.receive()) is not None:
                        self._tell(event)
            except RuntimeFailure as failure:
                log.info("no events from %s: %s", self._calls.engine.where, failure)
            except Exception:
                log.exception("the stream of events from %s broke", self._calls.engine.where)
            finally:
                self._inspections.trusted = False
            await trio.sleep(again_s)
            again_s = min(again_s * 2, AGAIN_MAX_S)

    def _tell(self, event: EngineEvent) -> None:
        """Labels are believed here: an event says no more than that it may be worth looking."""
        self._inspections.forget(event.container)
        instance = instance_of(event.labels)
        if instance is not None and not event.what.startswith("exec_"):
            self.publish(instance)
