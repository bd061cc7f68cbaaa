"""The framing of output without a terminal: a byte for the stream, three of nothing, four of length, the data."""

from __future__ import annotations

from collections.abc import Iterator

from photon_core.api.runtime import ExecStream
from photon_runtime_podman.rest import down

HEADER_BYTES = 8
STDOUT, STDERR = 1, 2


class Frames:
    """Takes pieces of any size, gives (stream, data) as soon as there is data: a frame is never waited for, so how long
    one says it is costs nothing.
    """

    def __init__(self) -> None:
        self._head = b""
        self._stream = ExecStream.STDOUT
        self._left = 0

    def feed(self, piece: bytes) -> Iterator[tuple[ExecStream, bytes]]:
        at = 0
        while at < len(piece):
            if self._left:
                data = piece[at : at + self._left]
                at += len(data)
                self._left -= len(data)
                yield self._stream, data
                continue
            part = piece[at : at + HEADER_BYTES - len(self._head)]
            at += len(part)
            self._head += part
            if len(self._head) == HEADER_BYTES:
                self._begin()

    def _begin(self) -> None:
        head, self._head = self._head, b""
        if head[0] not in (0, STDOUT, STDERR) or head[1:4] != b"\0\0\0":
            raise down(f"Podman's output is not framed: it begins a frame with {head.hex()}")
        self._stream = ExecStream.STDERR if head[0] == STDERR else ExecStream.STDOUT
        self._left = int.from_bytes(head[4:], "big")
