"""A provider's agent, reduced to its runtime, as a process of its own: for tests that kill it.

    python agent_process.py HOME CHAIN IMAGE

Applies one instance, begins a command beside it, prints a line, and goes on until it is killed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from photon_core.api.runtime import InstanceSpec, RuntimeContext
from photon_core.testing.checks.runtime_kit import SMALL, desired, instance
from photon_runtime_containers.config import Config
from photon_runtime_containers.runtime import ContainerRuntime
from photon_runtime_docker.engine import DockerEngine


async def act(home: Path, chain: bytes, image: str) -> None:
    command = ("sh", "-c", "echo up; while :; do sleep 1000; done")
    spec = InstanceSpec(id=instance("web"), image=image, command=command, resources=SMALL, manifest_version=bytes(32))
    config = Config(stop_grace_ms=300)
    context = RuntimeContext(home=home, chain_id=chain, agent="agent-1", config=config)
    runtime = ContainerRuntime(context, DockerEngine.at(""))
    async with trio.open_nursery() as nursery:
        await nursery.start(runtime.run)
        await runtime.apply(desired(spec))
        await runtime.exec(spec.id, ("sleep", "4321"), terminal=None)
        print("ready", flush=True)  # noqa: T201 - to whoever started it
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(act, Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), sys.argv[3])
