"""Doing something inside another process's network namespace.

A thread enters it and ends there: one that had to come back could fail to, and would then be a pooled thread in a
tenant's network. A socket belongs to the namespace in which it was made, whoever holds it, so all that happens inside
is making it. This takes CAP_SYS_ADMIN, and the same PID namespace as the engine's.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import trio

from photon_runtime_containers.processes import Process

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
PORTS_FOR_ALL = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_libc = ctypes.CDLL(None, use_errno=True)


def enter(process: Process) -> None:
    """This thread, for ever. ProcessLookupError when the process is no longer that one."""
    try:
        fd = os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError(errno.ESRCH, "the sandbox is gone") from None
    try:
        if os.path.sameopenfile(fd, _own_network()):
            raise PermissionError(errno.EPERM, "that is this machine's own network, and no sandbox's")
        if not process.alive:  # asked after opening: what is open is then its namespace
            raise ProcessLookupError(errno.ESRCH, "the sandbox is gone")
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns: {os.strerror(number)}")
    finally:
        os.close(fd)


@cache
def _own_network() -> int:
    """Open for ever: whatever is entered must be another one."""
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


async def within(process: Process, function: Callable[[], T]) -> T:
    """`function()` inside. It must not block for long: nothing can cancel it."""
    done, results, failures = trio.Event(), list[T](), list[BaseException]()
    token = trio.lowlevel.current_trio_token()

    def run() -> None:
        try:
            enter(process)
            results.append(function())
        except BaseException as problem:  # noqa: BLE001 - it goes to whoever waits
            failures.append(problem)
        token.run_sync_soon(done.set)

    threading.Thread(target=run, name="photon-netns", daemon=True).start()
    with trio.CancelScope(shield=True):
        await done.wait()
    if failures:
        raise failures[0]
    return results[0]


def fresh_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def allow_low_ports() -> None:
    """Whoever lives here may listen on every port: the network is its own. (proc shows that of the thread.)"""
    if PORTS_FOR_ALL.exists():
        PORTS_FOR_ALL.write_text("0")


def same_network(one: int, other: int) -> bool:
    """Whether two processes live in one network namespace. Nothing speaks against it when the other one has just ended;
    if the first is gone, nobody can.
    """
    try:
        first = Path(f"/proc/{one}/ns/net").stat()
    except OSError:
        return False
    try:
        second = Path(f"/proc/{other}/ns/net").stat()
    except OSError:
        return True
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)
