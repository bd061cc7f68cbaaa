"""A container's control group: what the kernel holds it to, and whether memory ran out in it.

Podman before 5 forgets a change of limits as soon as it made it: `inspect` says what the container was made with. So
the kernel is asked, in either version of its groups.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from photon_runtime_containers.engine import Limits

ROOT = Path("/sys/fs/cgroup")
CPU_PERIOD_US = 100_000
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@frozen
class Group:
    """`path` as Podman says it, below the root of a hierarchy."""

    path: str
    root: Path = ROOT

    def limits(self) -> Limits | None:
        """None when there is no such group, or it cannot be read. Memory in whole pages, as the kernel keeps it."""
        try:
            if self._unified:
                quota, period = self._read("", "cpu.max").split()
                memory, pids = self._read("", "memory.max"), self._read("", "pids.max")
            else:
                quota, period = self._read("cpu", "cpu.cfs_quota_us"), self._read("cpu", "cpu.cfs_period_us")
                memory, pids = self._read("memory", "memory.limit_in_bytes"), self._read("pids", "pids.max")
            return Limits(
                cpu_milli=_number(quota) * 1000 // int(period), memory_bytes=_number(memory), pids_max=_number(pids)
            )
        except (OSError, ValueError):
            return None

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something in it."""
        file = ("", "memory.events") if self._unified else ("memory", "memory.oom_control")
        with suppress(OSError, ValueError):
            counts = dict(line.split(" ", 1) for line in self._read(*file).splitlines())
            return int(counts.get("oom_kill", "0")) > 0
        return False

    def holds_more_than(self, memory_bytes: int) -> bool:
        """Whether less would kill something at once, as the second version does; the first refuses by itself."""
        with suppress(OSError, ValueError):
            if self._unified:
                counts = dict(line.split(" ", 1) for line in self._read("", "memory.stat").splitlines())
                return int(counts.get("anon", "0")) + int(counts.get("shmem", "0")) > memory_bytes
        return False

    @property
    def _unified(self) -> bool:
        return (self.root / "cgroup.controllers").exists()

    def _read(self, controller: str, file: str) -> str:
        return (self.root / controller / self.path.lstrip("/") / file).read_text().strip()


def same_memory(one: int, other: int) -> bool:
    """The kernel cuts a limit down to whole pages."""
    return one // PAGE_BYTES == other // PAGE_BYTES


def _number(text: str) -> int:
    """0 for none: `max`, -1, and what the first version says instead of none, which is close to 2**63."""
    number = 0 if text == "max" else int(text)
    return number if 0 <= number < 2**62 else 0
