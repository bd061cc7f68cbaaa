"""Commands beside the workload: their terminals, their start, and their end with everything in their session.

A command is what the workload is: its user, its environment, its limits, its folder, no capability. With a terminal it
gets one of the sandbox's own (`/dev/pts`, see `rootfs.py`): the helper keeps neither side, the agent has the master.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import termios
from pathlib import Path

SESSIONS_MAX = 16
"""Commands at once beside one workload; each has a connection of the helper's 256."""
TERMINALS_MAX = 64
"""Of one sandbox, those that the workload makes for itself counted: the kernel has 4096 for the whole machine."""
KILL_ROUNDS = 8
"""A process that was just forked is found in the next one; who forks faster than that ends with the sandbox."""
SESSION_FIELD = 3
"""Of /proc/PID/stat, behind the name."""
TERMINAL_NAME = "xterm"
"""What TERM says beside a terminal, unless the workload's environment says something."""


TIOCSPTLCK, TIOCGPTN = 0x40045431, 0x80045430
"""Unlock a terminal, ask its number: what Python 3.11's termios lacks, alike on all machines that we run on."""


def open_terminal(columns: int, rows: int, uid: int, gid: int) -> tuple[int, int]:
    """Master and slave of a new terminal that belongs to the workload's user. OSError where there are none."""
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    master = os.open("/dev/ptmx", flags)
    try:
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        (number,) = struct.unpack("I", fcntl.ioctl(master, TIOCGPTN, bytes(4)))
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        slave = os.open(f"/dev/pts/{number}", flags)
    except BaseException:
        os.close(master)
        raise
    try:
        os.fchown(slave, uid, gid)
    except BaseException:
        os.close(master)
        os.close(slave)
        raise
    return master, slave


def kill_session(leader: int) -> None:
    """The command, and all that it started and that did not leave its session."""
    with contextlib.suppress(ProcessLookupError):  # it may not have begun its session yet
        os.kill(leader, signal.SIGKILL)
    for _ in range(KILL_ROUNDS):
        found = _members(leader)
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _members(leader: int) -> list[int]:
    """The living ones. Without a /proc (see `rootfs.py`) only the leader's own group can be told: itself, at least."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - a flat list of names, read often
        if name.isdecimal():
            with contextlib.suppress(OSError), Path(f"/proc/{name}/stat").open("rb") as file:
                fields = file.read().rpartition(b")")[2].split()
                if fields[0] not in {b"Z", b"X"} and int(fields[SESSION_FIELD]) == leader:
                    found.append(int(name))
    if not found:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)
    return found
