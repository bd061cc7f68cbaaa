"""One command in a container, over the connection that Podman hands over: what `POST /exec/{id}/start` becomes.

An HTTP library has no place for a connection that turns into a plain two-way stream, so this one is opened and its one
request spoken here. Without a terminal the output comes framed, with one it comes as it is.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from photon_core.api.runtime import ExecStream, RuntimeFailure, TerminalSize
from photon_runtime_containers.engine import CALL_TIMEOUT_S, PIECE_BYTES_MAX, CannotStart
from photon_runtime_podman import refusals
from photon_runtime_podman.frames import Frames
from photon_runtime_podman.rest import API_VERSION, Refused, Rest, down, refusal, segment

HEAD_BYTES_MAX = 16_384
"""Of the answer before the stream; Podman's has about 150."""
_PODMANS_OWN = re.compile(rb"Error: (?:read|write) unixpacket @->/proc/self/fd/\d+/attach: [^\n]*\n")
"""What Podman 4.3 adds to a command's stderr when that ended without having read its input, or never began."""
_NOT_EXECUTED = re.compile(r"Error: ((?:runc|crun|OCI)[^\r\n]*)[\r\n]*")
REASON_BYTES_MAX = 8_192
ENDED_WITHIN_S = 10.0
"""Between the end of a command's output and Podman's knowledge of its code lie some milliseconds."""
LOOK_AGAIN_S = 0.01


class Exec:
    """A running command. One thread may `write` while another `read`s; `close` wakes both."""

    def __init__(self, rest: Rest, container: str, command: tuple[str, ...], terminal: TerminalSize | None) -> None:
        self._rest, self._framed, self._closed = rest, terminal is None, False
        self._frames, self._waiting = Frames(), deque[tuple[ExecStream, bytes]]()
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
        try:
            self._take(first)
            self._check_that_it_began()
        except BaseException:
            self.close()
            raise

    def read(self) -> tuple[ExecStream, bytes] | None:
        """(stream, data), at most PIECE_BYTES_MAX of it; None at the end."""
        while not self._waiting:
            try:
                piece = self._socket.recv(PIECE_BYTES_MAX)
            except OSError as error:
                if self._closed or self._is_the_end(error):
                    return None
                raise down(f"the connection to a command in a container broke off: {error}") from error
            if not piece:
                return None
            self._take(piece)
        return self._waiting.popleft()

    def _is_the_end(self, error: OSError) -> bool:
        """A command that ends without having read its input leaves that in Podman's hands, whose kernel then says that
        the connection was reset, after all of the output.
        """
        if not isinstance(error, ConnectionResetError):
            return False
        with suppress(RuntimeFailure):
            self.exit_code()
            return True
        return False

    def write(self, data: bytes) -> None:
        """Dropped when the command has ended: then nobody is there to read it."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def end_input(self) -> None:
        with suppress(OSError):  # already ended, or closed
            self._socket.shutdown(socket.SHUT_WR)

    def resize(self, size: TerminalSize) -> None:
        with suppress(Refused):  # the command has ended
            self._rest.ask("POST", f"/exec/{self.id}/resize", {"w": str(size.columns), "h": str(size.rows)})

    def pid(self) -> int:
        """Of the command, as this machine counts them; 0 when it has ended."""
        try:
            state = self._state()
        except RuntimeFailure:
            return 0
        return int(state["Pid"]) if state["Running"] else 0

    def exit_code(self) -> int:
        """To be asked after the end of the output."""
        end = time.monotonic() + ENDED_WITHIN_S
        while True:
            state = self._state()
            if not state["Running"]:
                return int(state["ExitCode"])
            if time.monotonic() > end:
                raise down(f"Podman does not tell the exit code of a command that ended {ENDED_WITHIN_S} s ago")
            time.sleep(LOOK_AGAIN_S)

    def close(self) -> None:
        """The connection alone: Podman lets the command run on without it."""
        self._closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads or writes
        self._socket.close()

    def _state(self) -> dict[str, Any]:
        try:
            return dict(self._rest.ask("GET", f"/exec/{self.id}/json"))
        except Refused as refused:  # Podman forgets a command with its container
            raise RuntimeFailure(f"the command is gone, and with it how it ended: {refused}") from refused

    def _take(self, piece: bytes) -> None:
        if self._framed:
            given = self._frames.feed(piece)
            self._waiting.extend(one for one in given if not _PODMANS_OWN.fullmatch(one[1]))
        elif piece:
            self._waiting.append((ExecStream.STDOUT, piece))

    def _check_that_it_began(self) -> None:
        """Podman gives a connection also when there is nothing to execute: the reason is all that comes over it."""
        state = self._state()  # answered when the start is over
        if state["Running"] or state["ExitCode"] not in refusals.SHELLS_CODES:
            return
        said: list[tuple[ExecStream, bytes]] = []
        while sum(len(data) for _, data in said) < REASON_BYTES_MAX and (piece := self.read()):
            said.append(piece)
        reason = _NOT_EXECUTED.match(b"".join(data for _, data in said).decode(errors="replace"))
        if reason:
            raise CannotStart(refusals.plain(reason[1]), int(state["ExitCode"]))
        self._waiting.extendleft(reversed(said))  # a quick command of its own


def _hijacked(path: Path, exec_id: str, terminal: TerminalSize | None) -> tuple[socket.socket, bytes]:
    """The stream, and what of it came with the head of the answer."""
    size = {"w": terminal.columns, "h": terminal.rows} if terminal else {}
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
        raise down(f"Podman does not answer at {path}: {error}") from error
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
            raise down("Podman did not answer in HTTP")
        got += piece
    head, _, rest = got.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise down("Podman did not answer in HTTP")
    return int(words[1]), rest
