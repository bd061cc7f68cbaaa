"""What the agent tells a new helper, once, as JSON on its standard input."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

STATE_FILE = "sandbox.json"
WORKLOAD_FILE = "workload.json"
ROOT_DIR, WORK_DIR, TMP_DIR, LOG_DIR, HOSTS_FILE = "root", "work", "tmp", "log", "hosts"

WORK_PATH = "/run/workload"
"""Where the workload finds its own writable folder; it is its HOME and its current directory."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`folder_fd` is the sandbox's folder, open, and stays the helper's only way to the agent's side of the disk.

    `uid` is what the workload runs as; `map_root` says that the helper is root and maps itself beside it. Without
    `user_namespace` (root, where none may be made) the helper keeps real capabilities over its other namespaces only.
    `show` are the host's paths that the workload sees, read-only; `hide` are those below them that it does not.
    """

    folder_fd: int
    listener_fd: int
    label: str
    uid: int
    gid: int
    map_root: bool
    user_namespace: bool
    show: tuple[str, ...]
    hide: tuple[str, ...]
    log_bytes: int
    probe: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        plan = cls(**json.loads(text))
        return replace(plan, show=tuple(plan.show), hide=tuple(plan.hide))


def write_json(folder_fd: int, name: str, value: Mapping[str, object]) -> None:
    """Whole or not at all: a reader never sees half of it, whenever either side is killed."""
    part = name + ".part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=folder_fd)
    with os.fdopen(fd, "w") as file:
        json.dump(value, file)
    os.rename(part, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)


def start_time(pid: int) -> int:
    """In clock ticks since boot: with the pid it names a process for ever. 0 when there is none, or it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in {b"Z", b"X"} else int(fields[19])
