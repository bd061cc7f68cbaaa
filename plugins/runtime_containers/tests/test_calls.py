"""Threads for an engine are for all leases; nobody's logs take them from the others."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from photon_core.api.ids import LeaseId
from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers.calls import LOGS_PER_LEASE_MAX, Calls

GREEDY, OTHER = LeaseId(1, 0, 0), LeaseId(2, 0, 0)


class Nothing:
    """A stream that has ended."""

    def __iter__(self) -> Nothing:
        return self

    def __next__(self) -> bytes:
        raise StopIteration

    def close(self) -> None: ...


async def test_one_lease_s_readers_leave_logs_images_and_events_to_others(world: Any) -> None:
    calls = Calls(world.engine)
    async with AsyncExitStack() as read:
        for _ in range(LOGS_PER_LEASE_MAX):
            await read.enter_async_context(calls.log(GREEDY, Nothing))
        with pytest.raises(RuntimeFailure, match="64 logs of this lease"):
            async with calls.log(GREEDY, Nothing):
                pass
        async with calls.log(OTHER, Nothing), calls.stream(Nothing):
            pass
    async with calls.log(GREEDY, Nothing):
        pass
