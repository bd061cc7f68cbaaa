"""One packet of JSON each way, with file descriptors beside it.

socket.send_fds and socket.recv_fds would do, if they did not drop the flags that they are given (Python 3.11 does):
sends would block, and received descriptors would survive exec.
"""

from __future__ import annotations

import array
import json
import os
import socket

PACKET_MAX = 4096  # what is larger comes as a file descriptor


def send(end: socket.socket, value: object, fds: tuple[int, ...] = ()) -> None:
    """Never blocks: BlockingIOError when the other side does not read."""
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    end.sendmsg([json.dumps(value).encode()], beside, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def receive(end: socket.socket, fds_max: int) -> tuple[bytes, list[int]]:
    """Never blocks. The descriptors close on exec, and are the caller's to close."""
    room = socket.CMSG_SPACE(fds_max * array.array("i").itemsize)
    packet, beside, _, _ = end.recvmsg(PACKET_MAX, room, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
    return packet, descriptors(beside)


def descriptors(beside: list[tuple[int, int, bytes]]) -> list[int]:
    """Those in the ancillary data of a packet."""
    found = array.array("i")
    for level, kind, data in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return found.tolist()


def close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
