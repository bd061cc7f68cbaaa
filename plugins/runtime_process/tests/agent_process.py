"""A provider's agent, reduced to its runtime, as a process of its own: for tests that kill it.

    python agent_process.py HOME apply|observe|remove

Prints one line of JSON when it is done; after `apply` it goes on until it is killed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trio

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.resources import Resources
from photon_core.api.runtime import Desired, InstanceSpec, RuntimeContext, TerminalSize
from photon_core.testing.checks.runtime_kit import run_beside
from photon_runtime_process.config import Config
from photon_runtime_process.runtime import ProcessRuntime

LOOK_AROUND = "exec 2>&1; id -u; unshare -Ur true; ls /proc/2/fd; ls /proc/$$/fd; cat /etc/hosts /etc/shown; ls -A /etc"
"""Process 2 is the workload: the first that the helper starts."""
SMALL = Resources(cpu_milli=100, memory_bytes=2**28, storage_bytes=2**28)
LEASE = LeaseId(7, 0, 0)
WEB = InstanceId(LEASE, "web", 0)
SPEC = InstanceSpec(
    id=WEB,
    image="ignored",
    command=("sh", "-c", "id -u; while :; do sleep 1000; done"),
    resources=SMALL,
    manifest_version=bytes(32),
)


async def act(home: Path, verb: str) -> None:
    runtime = ProcessRuntime(RuntimeContext(home=home, chain_id=b"\x01" * 32, agent="agent-1", config=Config()))
    async with trio.open_nursery() as nursery:
        await nursery.start(runtime.run)
        match verb:
            case "apply":
                await runtime.apply(Desired(lease=LEASE, sandboxes=((WEB, SMALL),), instances=(SPEC,)))
            case "remove":
                await runtime.remove(LEASE)
        seen = await runtime.observe()
        answer = {}
        for one in seen:
            inside = await run_beside(runtime, one.id, LOOK_AROUND)
            screen = await run_beside(runtime, one.id, "tty; stty size", terminal=TerminalSize(columns=99, rows=33))
            said = (inside.output + screen.output).decode()
            answer[str(one.id)] = (one.state.value, one.since_ms, one.restarts, said)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        if verb == "apply":
            await trio.sleep_forever()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(act, Path(sys.argv[1]), sys.argv[2])
