"""The agent's side of the helper's socket (`helper/serve.py` has the table of requests)."""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import trio

from photon_core.api.runtime import RuntimeFailure
from photon_runtime_process.folder import CONTROL, Folder

PACKET_MAX = 4096
BACKLOG = 64
ANSWER_S = 10.0
"""A helper answers within milliseconds, unless the machine is out of memory or the helper is broken."""


class HelperGone(RuntimeFailure):
    """The helper died, or never was: with it went everything in the sandbox."""

    def __init__(self) -> None:
        super().__init__("the sandbox is gone", "nothing to do: the next apply makes it anew")


class HelperMute(HelperGone):
    """It lives and does not answer. Where agent and workload are one user, a tenant can do that (prlimit(2)).

    It harms nobody else: the runtime kills the helper, and the next apply makes the sandbox anew.
    """

    def __init__(self, waited_s: float) -> None:
        what = f"the sandbox's helper did not answer within {waited_s:g} s"
        RuntimeFailure.__init__(self, what, "nothing to do: the next apply makes it anew")


def control_listener(folder_fd: int) -> socket.socket:
    """Bound by way of the open folder: a unix socket's path may have 107 bytes at most, a home may be anywhere."""
    with suppress(FileNotFoundError):
        os.unlink(CONTROL, dir_fd=folder_fd)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"/proc/self/fd/{folder_fd}/{CONTROL}")
    listener.listen(BACKLOG)
    return listener


class Connection:
    """One request's connection. Received file descriptors belong to the caller."""

    def __init__(self, end: trio.socket.SocketType) -> None:
        self._end = end

    async def send(self, request: dict[str, object], fds: tuple[int, ...] = ()) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            await self._end.sendmsg([json.dumps(request).encode()], ancillary)
        except OSError:
            raise HelperGone from None

    async def receive(self, fds: int = 0) -> tuple[dict[str, Any], list[int]]:
        try:
            room = socket.CMSG_SPACE(fds * array.array("i").itemsize)
            packet, ancillary, _, _ = await self._end.recvmsg(PACKET_MAX, room, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            raise HelperGone from None
        if not packet:
            raise HelperGone
        received = array.array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received.frombytes(data[: len(data) - len(data) % received.itemsize])
        value: dict[str, Any] = json.loads(packet)
        if "error" in value:
            raise RuntimeFailure(f"the sandbox's helper refused: {value['error']}")
        return value, list(received)


@asynccontextmanager
async def connected(folder: Folder) -> AsyncIterator[Connection]:
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as end:
        try:
            with folder.opened() as fd:
                await end.connect(f"/proc/self/fd/{fd}/{CONTROL}")
        except OSError:
            raise HelperGone from None
        yield Connection(end)


async def ask(
    folder: Folder, request: dict[str, object], *fds: int, want_fds: int = 0, grace_s: float = 0.0
) -> tuple[dict[str, Any], list[int]]:
    """One request and its answer, `grace_s` later than usual if it must be. HelperMute when none comes."""
    within_s = ANSWER_S + grace_s
    with trio.move_on_after(within_s):
        async with connected(folder) as connection:
            await connection.send(request, fds)
            return await connection.receive(want_fds)
    raise HelperMute(within_s)


@contextmanager
def in_memory(value: object) -> Iterator[int]:
    """What is too large for a packet, or too secret for the disk, goes as a file that only memory has."""
    fd = os.memfd_create("photon", os.MFD_CLOEXEC)
    try:
        with open(fd, "w", closefd=False) as file:
            json.dump(value, file)
        yield fd
    finally:
        os.close(fd)
