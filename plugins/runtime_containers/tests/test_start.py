"""What is refused at start, and with which remedy."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest
from attrs import evolve

from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers.engine import EngineDown
from photon_runtime_containers.start import Ground


async def refusal(world: Any, ground: Ground | None = None) -> RuntimeFailure:
    runtime = world.runtime()
    if ground is not None:
        runtime._ground = ground
    with pytest.raises(RuntimeFailure) as refused:
        await runtime.run()
    assert not world.engine.containers
    return refused.value


async def test_engine_that_is_not_there(world: Any) -> None:
    world.engine.down = True
    assert isinstance(await refusal(world), EngineDown)


async def test_engine_without_root(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    info = world.engine.info()
    monkeypatch.setattr(world.engine, "info", lambda: evolve(info, rootless=True))
    assert "runs as root" in (await refusal(world)).remedy


async def test_machine_of_an_unknown_kind(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    info = world.engine.info()
    monkeypatch.setattr(world.engine, "info", lambda: evolve(info, architecture="riscv64"))
    assert "riscv64" in (await refusal(world)).what


async def test_engine_whose_processes_are_not_seen_here(world: Any) -> None:
    """The pid that it says is another process here, or none."""
    assert "PID namespace" in (await refusal(world, Ground())).what


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every network")
async def test_agent_that_may_not_enter_networks(world: Any) -> None:
    from photon_runtime_containers.netns import fresh_socket, within
    from photon_runtime_containers.processes import Process

    with subprocess.Popen(["sleep", "1000"]) as other:  # noqa: ASYNC220 - it starts, and that is all
        process = Process.of(other.pid)
        assert process is not None
        with pytest.raises(OSError, match="setns"):
            await within(process, fresh_socket)
        other.kill()


async def test_sandbox_that_does_not_start_leaves_nothing(world: Any) -> None:
    def refuse(_: object) -> None:
        raise RuntimeFailure("no cgroups here")

    world.engine.trouble["start"] = refuse
    assert "no cgroups" in (await refusal(world)).what
