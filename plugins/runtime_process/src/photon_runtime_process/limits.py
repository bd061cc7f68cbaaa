"""What a workload may use at most: by cgroup v2 where we may make one, by resource limits otherwise.

Resource limits count per process and are only a fallback: RLIMIT_DATA bounds the memory that one process can write to,
RLIMIT_NPROC the processes of the instance's uid in its user namespace, RLIMIT_FSIZE one file. Cores have no such limit.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from photon_core.api.resources import Resources

CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "memory", "pids")
CPU_PERIOD_US = 100_000
MILLI = 1000


def resource_limits(resources: Resources, pids_max: int, *, in_cgroup: bool) -> dict[str, int]:
    """For `helper.workload.Start`. Nothing is a limit of 0: a service without memory in its profile has no limit."""
    limits = {"RLIMIT_CORE": 0}
    if resources.storage_bytes:
        limits["RLIMIT_FSIZE"] = resources.storage_bytes
    if not in_cgroup:
        limits["RLIMIT_NPROC"] = pids_max
        if resources.memory_bytes:
            limits["RLIMIT_DATA"] = resources.memory_bytes
    return limits


class Cgroups:
    """One group per sandbox in a group of this home: `photon-<home>/<sandbox>`, next to our own or below the root's."""

    def __init__(self, home: Path, mount: Path = CGROUPS) -> None:
        name = f"photon-{hashlib.blake2b(str(home).encode(), digest_size=6).hexdigest()}"
        self._groups = (mount / _own_parent() / name) if mount == CGROUPS else mount / name

    def _prepare(self) -> None:
        """OSError when it is not ours to write, or when processes live in the parent, which then has no subgroups."""
        enable, parent = " ".join(f"+{name}" for name in CONTROLLERS), self._groups.parent
        available = (parent / "cgroup.subtree_control").read_text().split()
        if not set(CONTROLLERS) <= set(available):
            (parent / "cgroup.subtree_control").write_text(enable)
        self._groups.mkdir(exist_ok=True)
        (self._groups / "cgroup.subtree_control").write_text(enable)

    def put(self, sandbox: str, pid: int, resources: Resources, pids_max: int) -> bool:
        """Makes the group, sets or changes its limits, and moves the helper in: its children follow it.

        False where we may make groups and not move processes into them; then nothing is left of it.
        """
        group = self._groups / sandbox
        quota = max(1, resources.cpu_milli * CPU_PERIOD_US // MILLI)
        try:
            if not self._groups.exists():
                self._prepare()
            group.mkdir(exist_ok=True)
            for name, value in (
                ("cpu.max", f"{quota if resources.cpu_milli else 'max'} {CPU_PERIOD_US}"),
                ("memory.max", str(resources.memory_bytes or "max")),
                ("pids.max", str(pids_max)),
                ("cgroup.procs", str(pid)),
            ):
                (group / name).write_text(value)
        except OSError:
            self.drop(sandbox)
            return False
        return True

    def drop(self, sandbox: str) -> None:
        """Once everything in it is dead; with the last sandbox goes the home's group."""
        for group in (self._groups / sandbox, self._groups):
            with suppress(OSError):
                group.rmdir()


def _own_parent() -> str:
    """Root makes groups at the top. Everybody else beside the own one, which a delegating service manager allows."""
    if os.geteuid() == 0:
        return ""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                return str(Path(line.removeprefix("0::/")).parent)
    return ""
