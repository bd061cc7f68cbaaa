"""One direction of a busy connection, moved by a worker thread through a pipe in the kernel: no byte enters Python.

Both sockets stay non-blocking, since the other direction may still be on the event loop. The thread is lent, not given:
when nothing comes for a while it hands the direction back, and when the sink does not take, also what it held.
`shutdown` of either socket, from anywhere, wakes it at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
from enum import Enum
from typing import Final

from attrs import frozen

PIPE_BYTES: Final = 256 * 1024
"""64 KiB is slower, 1 MiB is no faster (measured)."""
_F_SETPIPE_SZ: Final = 1031
_FLAGS: Final = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE


class Ending(Enum):
    EOF = "eof"
    """The source has ended; everything was written."""
    PAUSED = "paused"
    """Nothing moved for a while; `held` is what was read and not yet written."""
    BROKEN = "broken"


@frozen(kw_only=True)
class Moved:
    ending: Ending
    count: int
    held: bytes = b""


def splice_one_way(source: int, sink: int, idle_ms: int) -> Moved:
    """Blocking. Moves bytes from one non-blocking socket to another until either rests for `idle_ms`."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    count = 0
    try:
        with contextlib.suppress(OSError):  # over the user's limit of pipe memory: the default size works too
            fcntl.fcntl(writer, _F_SETPIPE_SZ, PIPE_BYTES)
        while True:
            taken = _take(source, writer, idle_ms)
            if taken is None:
                return Moved(ending=Ending.PAUSED, count=count)
            if taken == 0:
                return Moved(ending=Ending.EOF, count=count)
            left = _give(reader, sink, taken, idle_ms)
            count += taken - left
            if left:
                return Moved(ending=Ending.PAUSED, count=count, held=os.read(reader, left))
    except OSError:
        return Moved(ending=Ending.BROKEN, count=count)
    finally:
        os.close(reader)
        os.close(writer)


def _take(source: int, writer: int, idle_ms: int) -> int | None:
    """Bytes that are in the pipe now, 0 at the end, None when nothing came."""
    while True:
        try:
            return os.splice(source, writer, PIPE_BYTES, flags=_FLAGS)
        except BlockingIOError:
            if not _wait(source, select.POLLIN, idle_ms):
                return None


def _give(reader: int, sink: int, count: int, idle_ms: int) -> int:
    """How many of `count` bytes are left in the pipe because the sink does not take them."""
    while count:
        try:
            count -= os.splice(reader, sink, count, flags=_FLAGS)
        except BlockingIOError:
            if not _wait(sink, select.POLLOUT, idle_ms):
                break
    return count


def _wait(descriptor: int, mask: int, timeout_ms: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, mask)
    return bool(poll.poll(timeout_ms))
