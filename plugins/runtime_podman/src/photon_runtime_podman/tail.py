"""The last lines of what a container said, counted here.

Podman before 4.7 counts them wrong when a line was written in parts: a program that prints `three` without its end
makes `tail=2` give `onethree` and then `two`. So all that is kept is read (the log's size is bounded) and cut here.
"""

from __future__ import annotations

from collections import deque


class Tail:
    """Takes output in pieces and keeps the last `lines` of it; what comes after the last line end is a line too."""

    def __init__(self, lines: int) -> None:
        self._lines: deque[bytes] = deque(maxlen=max(lines, 0))
        self._wanted = lines
        self._unended = bytearray()
        self.bytes = 0
        """Of all that was taken."""

    def take(self, data: bytes) -> None:
        self.bytes += len(data)
        if self._wanted <= 0:
            return
        for part in _split(data):
            self._unended += part
            if part.endswith(b"\n"):
                self._lines.append(bytes(self._unended))
                self._unended.clear()

    def kept(self) -> bytes:
        if self._wanted <= 0:
            return b""
        whole = list(self._lines)
        if self._unended:
            whole = [*whole, bytes(self._unended)][-self._wanted :]
        return b"".join(whole)


def _split(data: bytes) -> list[bytes]:
    """At line feeds alone: a carriage return is how a program overwrites its line."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
