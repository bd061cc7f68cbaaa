"""The streams of Docker's API, spoken directly: logs, events, pulls, and the connection of a command.

The library reads ahead into a buffer and hands out the connection below it, so that the first bytes may be lost; it
gives one piece per line of a log; and not all of its streams can be closed by another thread. A request of HTTP/1.0 is
answered without chunks, until the end of the connection: what comes after the head is the stream.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
) -> Answer:
    """EngineDown when nobody answers at the socket `path`."""
    connection = send(path, method, target, params, headers=headers, body=body, upgrade=upgrade)
    try:
        status, early = _head(lambda: connection.recv(PIECE_BYTES_MAX))
        connection.settimeout(None)
    except (OSError, ValueError) as problem:
        connection.close()
        raise down(path, problem) from None
    return Answer(status, connection, early)


def send(
    path: str,
    method: str,
    target: str,
    params: Mapping[str, str],
    *,
    headers: Mapping[str, str] | None = None,
    body: object = None,
    upgrade: bool = False,
) -> socket.socket:
    """The connection, on which nothing was answered yet."""
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
        connection.settimeout(HEAD_S)
        connection.connect(path)
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
    except OSError as problem:
        connection.close()
        raise down(path, problem) from None
    return connection


def down(path: str, problem: object) -> EngineDown:
    return EngineDown(
        "the Docker engine does not answer",
        f"unix://{path}: {problem}; is it running (systemctl status docker), and is this its socket (`socket` of "
        "[plugin.runtime_docker], or DOCKER_HOST)?",
    )


def _head(read: Callable[[], bytes]) -> tuple[int, bytes]:
    said = b""
    while b"\r\n\r\n" not in said:
        piece = read()
        if not piece or len(said) > HEAD_BYTES_MAX:
            raise ValueError("an answer without a head")
        said += piece
    head, _, early = said.partition(b"\r\n\r\n")
    protocol, status = head.split(b"\r\n")[0].split()[:2]
    if not protocol.startswith(b"HTTP/"):
        raise ValueError(f"not HTTP: {protocol[:20]!r}")
    return int(status), early


class Pieces:
    """What comes over a connection. `close` may come from another thread, and ends a wait; the descriptor is given back
    when no thread is in a call with it, or the next connection could have its number.
    """

    def __init__(self, connection: socket.socket, early: bytes = b"") -> None:
        self._connection, self._early = connection, early
        self._lock = threading.Lock()
        self._users = 0
        self._closed = False

    def head(self) -> int:
        """The status of the answer that comes first. ValueError when none comes."""
        status, self._early = _head(self.read)
        return status

    def read(self) -> bytes:
        """Empty at the end."""
        if self._early:
            piece, self._early = self._early, b""
            return piece
        with suppress(OSError), self._used() as connection:
            return connection.recv(PIECE_BYTES_MAX)
        return b""

    def write(self, data: bytes) -> None:
        """Dropped when nobody is there to read it."""
        with suppress(OSError), self._used() as connection:
            connection.sendall(data)

    def end(self) -> None:
        """Nothing more will be written."""
        with suppress(OSError), self._used() as connection:
            connection.shutdown(socket.SHUT_WR)

    @contextmanager
    def _used(self) -> Iterator[socket.socket]:
        with self._lock:
            if self._closed:
                raise OSError("closed")
            self._users += 1
        try:
            yield self._connection
        finally:
            with self._lock:
                self._users -= 1
                self._give_back()

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            self._give_back()

    def _give_back(self) -> None:
        if self._closed and not self._users:
            self._connection.close()


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
    """A `Stream` of what `read` makes of each line's JSON object, but None. A line that is no object ends it."""

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
