"""The members' processes: forked before anything else, told later what to run, dead when `photon up` is.

Theory of operation
-------------------
What a member imports takes a second or two, the same in each. So `up` imports it once and then forks; a child waits for
its command line, a line of JSON on a pipe, and runs it as `photon` would in a process of its own. Forking comes first,
while the process has one thread and no event loop; nobody is forked later. A pipe that ends without a line means: not
needed.

A child is in a session of its own, so that Ctrl-C reaches `up` alone, which then ends them in order. The kernel sends
SIGTERM to each when `up` dies in whatever way (PR_SET_PDEATHSIG), and then they end as they do on SIGTERM.

What the child says on stdout comes to `up` by a pipe: its first line is that it is ready. stderr goes to its log.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from attrs import define

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
"""<linux/prctl.h>."""
PROCESS_NAME_BYTES = 15
COMMAND_BYTES_MAX = 64 * 1024
"""What fits into a pipe at once: writing the command never waits."""


@define
class Child:
    """A forked process. Descriptors are the parent's ends; `pidfd` names it for ever, unlike its pid."""

    name: str
    pid: int
    pidfd: int
    command_fd: int
    output_fd: int

    def run(self, arguments: Sequence[str], log: Path) -> None:
        """Tells it what to run. Only once."""
        line = json.dumps({"arguments": list(arguments), "log": str(log)}).encode() + b"\n"
        assert len(line) < COMMAND_BYTES_MAX, len(line)
        os.write(self.command_fd, line)
        self.dismiss()

    def dismiss(self) -> None:
        """Closes the pipe; a child that was told nothing ends."""
        if self.command_fd >= 0:
            os.close(self.command_fd)
            self.command_fd = -1

    def signal(self, number: signal.Signals) -> None:
        """Nothing happens when it is dead already."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def exit_code(self) -> int:
        """After its end; negative: the signal that killed it."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def process_name(member: str) -> str:
    """What `ps -o comm` shows of its process."""
    return f"ph-{member}"[:PROCESS_NAME_BYTES]


def fork_children(names: Sequence[str]) -> list[Child]:
    """One waiting process for each name. To be called before any thread or event loop exists."""
    gc.freeze()  # what is imported is never collected, so the children go on sharing its memory
    sys.stdout.flush()
    sys.stderr.flush()
    return [_fork(name) for name in names]


def _fork(name: str) -> Child:
    parent = os.getpid()
    command_out, command_in = os.pipe()
    output_out, output_in = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_child(name, parent, command_out, output_in)
    os.close(command_out)
    os.close(output_in)
    return Child(name, pid, os.pidfd_open(pid), command_in, output_out)


def _be_child(name: str, parent: int, command_fd: int, output_fd: int) -> NoReturn:
    """Never returns into the parent's code, whatever happens."""
    code = 1
    try:
        _die_with(parent, name)
        os.dup2(command_fd, 0)
        os.dup2(output_fd, 1)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # also the other children's pipes, which would else never end
        line = _read_line(0)
        code = _run_told(line) if line else 0
    finally:
        os._exit(code)


def _die_with(parent: int, name: str) -> None:
    os.setsid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), 0, 0, 0)
    libc.prctl(PR_SET_NAME, process_name(name).encode(), 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel knew that we want to hear of it
        os._exit(1)


def _read_line(descriptor: int) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        piece = os.read(descriptor, COMMAND_BYTES_MAX)
        if not piece:
            return b""
        data += piece
    return data


def _run_told(line: bytes) -> int:
    """What `photon ARGUMENTS` does, with its exit code."""
    told = json.loads(line)
    log = os.open(told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(log, 2)
    os.dup2(null, 0)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
    for name in [name for name in os.environ if name.startswith("PHOTON_") and name != "PHOTON_DEBUG"]:
        del os.environ[name]  # they were for `up`, which has made use of them

    from photon_core.cli import main

    try:
        main(told["arguments"])
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0
