"""Accepting on a listening socket until it is closed, whatever single connections do."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Awaitable, Callable

import trio

log = logging.getLogger(__name__)

ACCEPT_PAUSE_S = 0.1
"""When descriptors or memory are short, `accept` fails at once and for ever: give others time to close some."""
_CLOSED = {errno.EBADF, errno.EINVAL}
BACKLOG = 128

Handler = Callable[[socket.socket], Awaitable[None]]


class Listening:
    """Owns `sock`. `run` accepts until `close`; each connection is handled in the nursery that was given."""

    def __init__(self, sock: socket.socket, handler: Handler, nursery: trio.Nursery) -> None:
        sock.setblocking(False)
        self._sock, self._handler, self._nursery = sock, handler, nursery
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        try:
            with self._scope:
                while True:
                    try:
                        connection, _ = self._sock.accept()
                    except BlockingIOError:
                        await trio.lowlevel.wait_readable(self._sock)
                    except OSError as error:
                        if error.errno in _CLOSED:
                            return
                        aborted = error.errno == errno.ECONNABORTED  # by that client, who must not slow down others
                        await trio.sleep(0 if aborted else ACCEPT_PAUSE_S)
                    else:
                        connection.setblocking(False)
                        self._nursery.start_soon(self._handle, connection)
                        await trio.lowlevel.checkpoint()  # however many wait, those who are here are served too
        finally:
            self._sock.close()

    async def _handle(self, connection: socket.socket) -> None:
        """A connection's failure is its own; what else goes wrong here is a bug, seen in the log."""
        try:
            with contextlib.suppress(OSError):
                await self._handler(connection)
        except Exception:
            log.exception("a connection failed")
        finally:
            connection.close()

    def close(self) -> None:
        self._scope.cancel()
        self._sock.close()


def listen(address: str, port: int) -> socket.socket:
    """A listening socket of this machine. OSError when the port is taken."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
