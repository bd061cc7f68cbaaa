"""Whether the kernel ended something in a container for want of memory.

With cgroup v1 Podman's flag `OOMKilled` stays false whatever happens: seen with Podman 4.3 and conmon 2.1.6. The
kernel's own log names the container's group, so that is asked when a workload ended by SIGKILL without the flag.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

LOG = Path("/dev/kmsg")
RECORD_BYTES = 8_192
"""The longest that the kernel gives; each read gives one record."""
RECORDS_MAX = 20_000
"""More than a log of some MiB has."""
SLACK_S = 1.0
"""Between the clock of the log and the wall's."""


def out_of_memory(container: str, since_s: float, log: Path = LOG) -> bool:
    """True when the log says so of a group of this container (its full id), not before `since_s` (Unix time). False
    also where the log cannot be read: then nobody knows.
    """
    wanted = container.encode()
    boot_s = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    try:
        source = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        for _ in range(RECORDS_MAX):
            try:
                record = os.read(source, RECORD_BYTES)
            except BrokenPipeError:  # overwritten while it was read: the next read goes on behind it
                continue
            except OSError:
                return False
            if not record:
                return False
            if b"oom-kill:" in record and wanted in record and _at(record) + boot_s >= since_s - SLACK_S:
                return True
    finally:
        os.close(source)
    return False


def _at(record: bytes) -> float:
    """`priority,number,microseconds,flags;text`, seconds since the machine started."""
    fields = record.partition(b";")[0].split(b",")
    return int(fields[2]) / 1e6 if len(fields) > 2 and fields[2].isdigit() else 0.0
