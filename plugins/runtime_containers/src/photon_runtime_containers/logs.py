"""A workload's output: of its runs one after the other, for as long as there is an instance."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import trio

from photon_core.api.ids import InstanceId, LeaseId
from photon_runtime_containers.calls import Calls
from photon_runtime_containers.engine import Container, ContainerState, EngineDown, NoSuchContainer
from photon_runtime_containers.events import Events
from photon_runtime_containers.holdings import Holdings

LOOK_AGAIN_S = 2.0
"""Events may be lost: whoever follows looks for the next run after this time too."""


class Logs:
    def __init__(self, calls: Calls, holdings: Holdings, events: Events) -> None:
        self._calls, self._holdings, self._events = calls, holdings, events

    async def read(self, instance: InstanceId, *, follow: bool, tail_lines: int) -> AsyncGenerator[bytes, None]:
        """Each run's output is whole when its stream ends, and the next run begins later than that: so the time of a
        start cuts the log exactly there.
        """
        before: Container | None = None
        unended = 0
        with self._events.subscribed() as events:
            while True:
                held = await self._holdings.of(instance)
                found = await self._holdings.inspect(held.workload)
                if found is not None and _is_news(found, before):
                    again = before is not None and before.id == found.id
                    tail = tail_lines if before is None else None
                    async with aclosing(
                        self._run(instance.lease, found, follow, tail, found.started_ns if again else 0)
                    ) as pieces:
                        async for piece in pieces:
                            yield piece
                    before, unended = found, 0
                    if follow:
                        continue
                elif found is not None and found.state is ContainerState.RUNNING:
                    unended += 1
                    if unended > 1:  # once may be the moment between the end of its output and its own
                        raise EngineDown("the log broke off", f"see to the engine at {self._calls.engine.where}")
                if not follow or not held.all:
                    return
                with trio.move_on_after(LOOK_AGAIN_S):
                    while await events.receive() != instance:
                        pass

    async def _run(
        self, lease: LeaseId, container: Container, follow: bool, tail_lines: int | None, since_ns: int
    ) -> AsyncGenerator[bytes, None]:
        engine = self._calls.engine
        try:
            async with self._calls.log(
                lease, lambda: engine.logs(container.id, follow=follow, tail_lines=tail_lines, since_ns=since_ns)
            ) as pump:
                while (piece := await pump.receive()) is not None:
                    yield piece
        except NoSuchContainer:
            return


def _is_news(found: Container, before: Container | None) -> bool:
    return before is None or before.id != found.id or before.started_ns != found.started_ns
