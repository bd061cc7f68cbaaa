"""Processes of containers, as this machine sees them: named for ever, found by session, and ended.

The engine and the agent share a PID namespace (checked at start), so a pid that the engine says means the same here.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from attrs import frozen

ROUNDS_MAX = 20
"""A session that starts processes faster than they are killed has its limit of processes to thank for; no more rounds
than this."""
_SESSION, _STARTED = 3, 19
"""Fields of /proc/PID/stat, counted after the command's name (proc(5) has them as 6 and 22)."""


@frozen
class Process:
    """A pid comes back, a pid with its start time does not."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """None when there is no such process, or nothing but its corpse."""
        fields = _stat(pid)
        return cls(pid, int(fields[_STARTED])) if fields and fields[0] not in {"Z", "X"} else None

    @property
    def alive(self) -> bool:
        return Process.of(self.pid) == self


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def session_of(leader: int) -> list[Process]:
    """The processes of the session that this one began: what it started and did not send off."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208 - names alone, of thousands
    return [
        Process(pid, int(fields[_STARTED]))
        for pid in pids
        if (fields := _stat(pid)) and fields[_SESSION] == str(leader) and fields[0] != "Z"
    ]


def kill(process: Process) -> None:
    """By pidfd, looked at after it was opened: never another's pid."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(process.pid)
        try:
            if process.alive:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)


def kill_session(leader: Process) -> None:
    """It and what it started, also when it is dead itself. A pid is not given again while a session has its number, so
    a session of this number that holds a process older than the leader cannot be.
    """
    for _ in range(ROUNDS_MAX):
        others = [one for one in session_of(leader.pid) if one.started >= leader.started]
        now = Process.of(leader.pid)
        if now is not None and now != leader:
            return  # the session is over and its number another's
        if not others:
            return
        for one in others:
            kill(one)
