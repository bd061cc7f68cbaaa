"""Namespaces: made by C, their ids mapped by P0, their kernel settings written by P1."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct

from photon_runtime_process.helper import linux
from photon_runtime_process.helper.plan import Plan

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
IFREQ = "16sH14s"
OTHERS = (
    linux.CLONE_NEWNS
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWCGROUP
)


def map_ids(plan: Plan, pid: int) -> None:
    """Every id maps to itself, so that a file's owner reads the same inside and outside.

    An ordinary user may map only itself, and only after giving up setgroups(2).
    """
    if not plan.map_root:
        _write(f"/proc/{pid}/setgroups", "deny")
    for kind, own, workload in (("uid", os.geteuid(), plan.uid), ("gid", os.getegid(), plan.gid)):
        ids = dict.fromkeys((own, workload))
        _write(f"/proc/{pid}/{kind}_map", "".join(f"{i} {i} 1\n" for i in ids))


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack(IFREQ, b"lo", 0, b"")
        flags = struct.unpack(IFREQ, fcntl.ioctl(s, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack(IFREQ, b"lo", flags | IFF_UP, b""))


def settle(plan: Plan) -> None:
    """In the new root, whose /proc is ours."""
    with contextlib.suppress(OSError):  # a service may listen on 80 in a network that is its alone; or it may not
        _write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
    if plan.user_namespace:  # of this namespace and those below; without one it would be the host's setting
        with contextlib.suppress(FileNotFoundError):  # no /proc: see rootfs
            _write("/proc/sys/user/max_user_namespaces", "0")


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    except OSError as problem:
        raise OSError(problem.errno, f"{problem.strerror} (writing {text.strip()!r} to {path})") from None
    finally:
        os.close(fd)
