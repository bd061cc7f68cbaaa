"""The socket under a connection, read as much at a time as it has.

Noise asks for two bytes of length, then for the message; straight from the socket each is a system call and a turn of
the loop, for every frame of every peer.
"""

from __future__ import annotations

from .library import TrioTCPStream

READ_BYTES = 64 * 1024
"""About one Noise message of the largest kind."""


class BufferedTcpStream(TrioTCPStream):
    """One task reads."""

    _held = b""
    _taken = 0

    async def read(self, n: int | None = None) -> bytes:
        """At most `n` bytes, of what was read before if there is any; empty at the end."""
        if n == 0:
            return b""
        if self._taken == len(self._held):
            self._held, self._taken = bytes(await super().read(READ_BYTES)), 0
        begin = self._taken
        self._taken = len(self._held) if n is None else min(begin + n, len(self._held))
        return self._held[begin : self._taken]
