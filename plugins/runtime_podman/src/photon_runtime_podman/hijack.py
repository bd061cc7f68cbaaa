"""One command in a container, over the connection that Podman hands over: what `POST /exec/{id}/start` becomes.

An HTTP library has no place for a connection that turns into a plain two-way stream, so this one is opened and its one
request spoken here. Without a terminal the output comes framed, with one it comes as it is.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from photon_runtime_podman.frames import STDOUT, Frames
from photon_runtime_podman.rest import API_VERSION, CALL_TIMEOUT_S, Rest, Unreachable, refusal, segment

HEAD_BYTES_MAX = 16_384
"""Of the answer before the stream; Podman's has about 150."""
PIECE_BYTES = 65_536
ENDED_WITHIN_S = 10.0
"""Between the end of a command's output and Podman's knowledge of its code lie some milliseconds."""
LOOK_AGAIN_S = 0.01

Size = tuple[int, int]
"""Columns and rows."""


class Exec:
    """A running command. One thread may `write` while another `read`s; `close` wakes both."""

    def __init__(self, rest: Rest, container: str, command: tuple[str, ...], terminal: Size | None) -> None:
        self._rest, self._framed = rest, terminal is None
        self._frames, self._waiting = Frames(), deque[tuple[int, bytes]]()
        asked = {
            "Cmd": list(command),
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": terminal is not None,
            "Env": ["TERM=xterm"] if terminal else [],
        }
        made = rest.ask("POST", f"/containers/{segment(container)}/exec", body=asked)
        self.id = str(made["Id"])
        self._socket, first = _hijacked(rest.socket, self.id, terminal)
        self._take(first)

    def read(self) -> tuple[int, bytes] | None:
        """(stream, data), at most PIECE_BYTES of it; None at the end."""
        while not self._waiting:
            try:
                piece = self._socket.recv(PIECE_BYTES)
            except OSError as error:
                raise Unreachable(f"the connection to a command in a container broke off: {error}") from error
            if not piece:
                return None
            self._take(piece)
        return self._waiting.popleft()

    def write(self, data: bytes) -> None:
        """Dropped when the command has ended: then nobody is there to read it."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def end_input(self) -> None:
        with suppress(OSError):  # already ended, or closed
            self._socket.shutdown(socket.SHUT_WR)

    def resize(self, size: Size) -> None:
        columns, rows = size
        self._rest.ask("POST", f"/exec/{self.id}/resize", {"w": str(columns), "h": str(rows)})

    def pid(self) -> int:
        """Of the command, as this machine counts them; 0 when it has ended."""
        state = self._state()
        return int(state["Pid"]) if state["Running"] else 0

    def exit_code(self) -> int:
        """To be asked after the end of the output."""
        end = time.monotonic() + ENDED_WITHIN_S
        while True:
            state = self._state()
            if not state["Running"]:
                return int(state["ExitCode"])
            if time.monotonic() > end:
                raise Unreachable(f"Podman does not tell the exit code of a command that ended {ENDED_WITHIN_S} s ago")
            time.sleep(LOOK_AGAIN_S)

    def close(self) -> None:
        """The connection alone: Podman lets the command run on without it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads or writes
        self._socket.close()

    def _state(self) -> dict[str, Any]:
        return dict(self._rest.ask("GET", f"/exec/{self.id}/json"))

    def _take(self, piece: bytes) -> None:
        self._waiting.extend(self._frames.feed(piece) if self._framed else ([(STDOUT, piece)] if piece else []))


def session_of(pid: int) -> list[int]:
    """The processes of the command's session, by id: what it started and did not send off."""
    leader = _session(pid)
    same = [] if leader is None else [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
    return [one for one in same if _session(one) == leader]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _hijacked(path: Path, exec_id: str, terminal: Size | None) -> tuple[socket.socket, bytes]:
    """The stream, and what of it came with the head of the answer."""
    size = {"w": terminal[0], "h": terminal[1]} if terminal else {}
    body = json.dumps({"Detach": False, "Tty": terminal is not None, **size}).encode()
    head = (
        f"POST /v{API_VERSION}/libpod/exec/{segment(exec_id)}/start HTTP/1.1\r\nHost: podman\r\nConnection: Upgrade\r\n"
        f"Upgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.settimeout(CALL_TIMEOUT_S)
        stream.connect(str(path))
        stream.sendall(head + body)
        answer, first = _answer(stream)
        if answer not in (101, 200):
            raise refusal(answer, first)
        stream.settimeout(None)
    except OSError as error:
        stream.close()
        raise Unreachable(f"Podman does not answer at {path}: {error}") from error
    except BaseException:
        stream.close()
        raise
    return stream, first


def _answer(stream: socket.socket) -> tuple[int, bytes]:
    """HTTP's status, and what came after the head."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = stream.recv(4096)
        if not piece or len(got) > HEAD_BYTES_MAX:
            raise Unreachable("Podman did not answer in HTTP")
        got += piece
    head, _, rest = got.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise Unreachable("Podman did not answer in HTTP")
    return int(words[1]), rest
