"""The streams of Docker's API, spoken directly: logs, events, pulls, and the connection of a command.

The library reads ahead into a buffer and hands out the connection below it, so that the first bytes may be lost; it
gives one piece per line of a log; and not all of its streams can be closed by another thread. A request of HTTP/1.0 is
answered without chunks, until the end of the connection: what comes after the head is the stream.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from attrs import frozen

from photon_runtime_containers.engine import PIECE_BYTES_MAX, EngineDown

T = TypeVar("T")

HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 64 * 1024
"""Of an answer that refuses."""
LINE_BYTES_MAX = 2**20
"""Of a stream of JSON: an event carries all labels of its container."""
HEAD_S = 60.0
"""Until the head of the answer. The stream itself has no deadline."""
FRAME = struct.Struct(">BxxxL")


@frozen
class Answer:
    """`early` is what of the stream came with the head."""

    status: int
    connection: socket.socket
    early: bytes

    def body(self) -> bytes:
        """Of a refusal, and the end of the connection."""
        with self.connection:
            said = self.early
            with suppress(OSError):
                while len(said) < BODY_BYTES_MAX and (piece := self.connection.recv(BODY_BYTES_MAX)):
                    said += piece
        return said


def request(
    path: str,
    method: str,
    target: str,
    params: Mapping[str, str],
    *,
    headers: Mapping[str, str] | None = None,
    body: object = None,
    upgrade: bool = False,
    head_s: float | None = HEAD_S,
) -> Answer:
    """EngineDown when nobody answers at the socket `path`."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {target}?{urlencode(params)} HTTP/1.{1 if upgrade else 0}",
        "Host: docker",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
        *(("Connection: Upgrade", "Upgrade: tcp") if upgrade else ()),
    ]
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(head_s)
        connection.connect(path)
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        status, early = _head(connection)
        connection.settimeout(None)
    except (OSError, ValueError) as problem:
        connection.close()
        raise down(path, problem) from None
    except BaseException:
        connection.close()
        raise
    return Answer(status, connection, early)


def down(path: str, problem: object) -> EngineDown:
    return EngineDown(
        "the Docker engine does not answer",
        f"unix://{path}: {problem}; is it running (systemctl status docker), and is this its socket (`socket` of "
        "[plugin.runtime_docker], or DOCKER_HOST)?",
    )


def _head(connection: socket.socket) -> tuple[int, bytes]:
    said = b""
    while b"\r\n\r\n" not in said:
        piece = connection.recv(4096)
        if not piece or len(said) > HEAD_BYTES_MAX:
            raise ValueError("an answer without a head")
        said += piece
    head, _, early = said.partition(b"\r\n\r\n")
    protocol, status = head.split(b"\r\n")[0].split()[:2]
    if not protocol.startswith(b"HTTP/"):
        raise ValueError(f"not HTTP: {protocol[:20]!r}")
    return int(status), early


class Pieces:
    """What comes over a connection. `close` may come from another thread, and ends a wait."""

    def __init__(self, connection: socket.socket, early: bytes = b"") -> None:
        self.connection, self._early = connection, early
        self._closed = False

    def read(self) -> bytes:
        """Empty at the end."""
        if self._early:
            piece, self._early = self._early, b""
            return piece
        try:
            return b"" if self._closed else self.connection.recv(PIECE_BYTES_MAX)
        except OSError:
            return b""

    def close(self) -> None:
        """Wakes whoever reads. The number of the descriptor is given back by the collector: not while another thread
        may still use it.
        """
        self._closed = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class Frames:
    """Output without a terminal comes in frames: the stream's number, the length, the data."""

    def __init__(self) -> None:
        self._head = b""
        self._stream, self._left = 0, 0

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """What of frames is in it: a long one is not waited for."""
        at = 0
        while at < len(piece):
            if self._left:
                data = piece[at : at + self._left]
                at += len(data)
                self._left -= len(data)
                yield self._stream, data
                continue
            need = FRAME.size - len(self._head)
            self._head += piece[at : at + need]
            at += need
            if len(self._head) == FRAME.size:
                self._stream, self._left = FRAME.unpack(self._head)
                self._head = b""


class LogStream:
    """A `Stream[bytes]`: what two streams said, together."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces, self._frames = pieces, Frames()
        self.close = pieces.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while piece := self._pieces.read():
            data = b"".join(data for _, data in self._frames.feed(piece))
            if data:
                return data
        raise StopIteration


class LineStream(Generic[T]):
    """A `Stream` of what `read` makes of each line's JSON object; None of it is nothing. A line that is none ends it."""

    def __init__(self, pieces: Pieces, read: Callable[[dict[str, Any]], T | None]) -> None:
        self._pieces, self._read = pieces, read
        self._rest = b""
        self.close = pieces.close

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        while True:
            line, found, rest = self._rest.partition(b"\n")
            if not found:
                piece = self._pieces.read()
                if not piece or len(self._rest) > LINE_BYTES_MAX:
                    raise StopIteration
                self._rest += piece
                continue
            self._rest = rest
            if line.strip():
                value = self._read(_decoded(line))
                if value is not None:
                    return value


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise StopIteration
    return value
