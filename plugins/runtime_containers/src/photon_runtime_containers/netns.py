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
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import trio

from photon_runtime_containers.processes import Process

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
PORTS_FOR_ALL = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_libc = ctypes.CDLL(None, use_errno=True)

NETLINK_ROUTE, RTM_NEWROUTE, NLM_F_REQUEST_ACK_CREATE_REPLACE = 0, 24, 0x505
RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, RTA_OIF = 255, 3, 254, 2, 4


def enter(process: Process) -> None:
    """This thread, for ever. ProcessLookupError when the process is no longer that one."""
    try:
        fd = os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError(errno.ESRCH, "the sandbox is gone") from None
    try:
        if not process.alive:  # asked after opening: what is open is then its namespace
            raise ProcessLookupError(errno.ESRCH, "the sandbox is gone")
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns: {os.strerror(number)}")
    finally:
        os.close(fd)


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


def route_everything_to_loopback() -> None:
    """`ip route replace local default dev lo`: the kernel then lets connections to anywhere begin, for the rules."""
    loopback = struct.pack("=HHI", 8, RTA_OIF, socket.if_nametoindex("lo"))
    route = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, 0)
    size = 16 + len(route) + len(loopback)
    header = struct.pack("=IHHII", size, RTM_NEWROUTE, NLM_F_REQUEST_ACK_CREATE_REPLACE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as netlink:
        netlink.settimeout(5)
        netlink.bind((0, 0))
        netlink.send(header + route + loopback)
        code = -struct.unpack_from("=i", netlink.recv(4096), 16)[0]
        if code:
            raise OSError(code, os.strerror(code))


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
