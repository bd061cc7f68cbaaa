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
from photon_runtime_process.helper import packets

BACKLOG = 64
ANSWER_S = 10.0
"""A helper answers within milliseconds, unless the machine is out of memory or the helper is broken."""
EXIT_CODE_MAX = 255
"""As a shell says it: 128 and the signal's number for a command that was killed."""


class HelperGone(RuntimeFailure):
    """The helper died, or never was: with it went everything in the sandbox."""

    def __init__(self) -> None:
        super().__init__("the sandbox is gone", "nothing to do: the next apply makes it anew")


class HelperMute(HelperGone):
    """It lives and gives no answer, or none that makes sense: a tenant who is one user with the agent can make it so
    (prlimit(2)), and so can whoever else speaks in its place.

    It harms nobody else: the runtime kills the helper, and the next apply makes the sandbox anew.
    """

    def __init__(self, how: str) -> None:
        what = f"the sandbox's helper {how}"
        RuntimeFailure.__init__(self, what, "nothing to do: the next apply makes it anew")


def control_listener(folder_fd: int) -> socket.socket:
    """Bound by way of the open folder: a unix socket's path may have 107 bytes at most, a home may be anywhere."""
    with suppress(FileNotFoundError):
        os.unlink(CONTROL, dir_fd=folder_fd)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"/proc/self/fd/{folder_fd}/{CONTROL}")
    listener.listen(BACKLOG)
    return listener


class Answer:
    """What a helper said, read with suspicion."""

    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value

    @classmethod
    def parse(cls, packet: bytes) -> Answer:
        """RuntimeFailure when it is a refusal, HelperMute when it is none of the helper's words."""
        try:
            value = json.loads(packet)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise HelperMute("answered with something that is no answer")
        if "error" in value:
            raise RuntimeFailure(f"the sandbox's helper refused: {value['error']}")
        return cls(value)

    def __contains__(self, name: str) -> bool:
        return name in self._value

    def text(self, name: str) -> str:
        value = self._value.get(name)
        if not isinstance(value, str):
            raise HelperMute(f"answered without a text {name!r}")
        return value

    def exit_code(self) -> int:
        value = self._value.get("exit_code")
        if type(value) is not int or not 0 <= value <= EXIT_CODE_MAX:
            raise HelperMute("answered without an exit code")
        return value


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

    async def receive(self, fds: int = 0) -> tuple[Answer, list[int]]:
        """RuntimeFailure, and no open descriptor, for everything but an answer with so many descriptors."""
        try:
            room = socket.CMSG_SPACE(fds * array.array("i").itemsize)
            packet, ancillary, _, _ = await self._end.recvmsg(packets.PACKET_MAX, room, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            raise HelperGone from None
        received = packets.descriptors(ancillary)
        try:
            if not packet:
                raise HelperGone
            answer = Answer.parse(packet)
            if len(received) != fds:
                raise HelperMute(f"answered with {len(received)} file descriptors instead of {fds}")
        except RuntimeFailure:
            packets.close_all(received)
            raise
        return answer, received


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
) -> tuple[Answer, list[int]]:
    """One request and its answer, `grace_s` later than usual if it must be. HelperMute when none comes."""
    within_s = ANSWER_S + grace_s
    with trio.move_on_after(within_s):
        async with connected(folder) as connection:
            await connection.send(request, fds)
            return await connection.receive(want_fds)
    raise HelperMute(f"did not answer within {within_s:g} s")


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
