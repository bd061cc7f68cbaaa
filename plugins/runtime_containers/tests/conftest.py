"""A runtime over an engine in memory, and over nothing of this machine but a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from photon_core.api.runtime import RuntimeContext
from photon_runtime_containers.config import Config
from photon_runtime_containers.engine import Container
from photon_runtime_containers.labels import ROLE
from photon_runtime_containers.processes import Process
from photon_runtime_containers.runtime import ContainerRuntime
from photon_runtime_containers.start import Ground
from photon_runtime_containers.testing.fake import FakeEngine


async def _nothing(_: int | Process) -> None:
    await trio.lowlevel.checkpoint()


class World:
    """What a test does and looks at. `agent` is one agent after the other over the same engine and home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.engine = FakeEngine()
        self.same_network = True

    def runtime(self, *, chain: bytes = b"\x01" * 32, home: Path | None = None, **config: Any) -> ContainerRuntime:
        context = RuntimeContext(home=home or self.home, chain_id=chain, agent="a", config=Config(**config))
        ground = Ground(enter=_nothing, open_ports=_nothing, same_network=lambda *_: self.same_network)
        return ContainerRuntime(context, self.engine, ground)

    @asynccontextmanager
    async def _agent(self, **config: Any) -> AsyncIterator[ContainerRuntime]:
        runtime = self.runtime(**config)
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(runtime.run)
                try:
                    yield runtime
                finally:
                    nursery.cancel_scope.cancel()

    def agent(self, **config: Any) -> AbstractAsyncContextManager[ContainerRuntime]:
        return self._agent(**config)

    def of(self, role: str) -> list[Container]:
        return [one for one in self.engine.containers.values() if one.labels.get(ROLE) == role]

    @property
    def workload(self) -> Container:
        (one,) = self.of("workload")
        return one

    @property
    def sandbox(self) -> Container:
        (one,) = self.of("sandbox")
        return one


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "home")
