"""The framing of output without a terminal: a byte for the stream, three of nothing, four of length, the data."""

from __future__ import annotations

from collections.abc import Iterator

HEADER_BYTES = 8
STDOUT, STDERR = 1, 2


class Unframed(Exception):
    """What came is no frame."""


class Frames:
    """Takes pieces of any size, gives (stream, data) as soon as there is data: a frame is never waited for, so how long
    one says it is costs nothing.
    """

    def __init__(self) -> None:
        self._head = b""
        self._stream = STDOUT
        self._left = 0

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
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
            raise Unframed(f"Podman's output is not framed: it begins a frame with {head.hex()}")
        self._stream = STDERR if head[0] == STDERR else STDOUT
        self._left = int.from_bytes(head[4:], "big")
