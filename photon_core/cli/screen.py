"""The person's own terminal while a command of elsewhere has it: raw, its size told, and given back whatever happens.

Nothing here turns a descriptor to non-blocking: it belongs to the shell as well. Input is read when there is some, and
output written by a thread, which may wait for a slow reader as long as it likes.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import trio

from photon_core.api.runtime import ExecOutput, ExecStream, TerminalSize

if TYPE_CHECKING:
    from photon_core.tenant.remote import RemoteSession

STDIN, STDOUT, STDERR = 0, 1, 2
READ_BYTES = 32 * 1024
DEFAULT = TerminalSize(columns=80, rows=24)
"""Where a command is given a terminal though nobody looks at one."""
SIZE_MAX = 65_535
ENDS = (signal.SIGTERM, signal.SIGHUP)
SIGNALLED = 128

Show = Callable[[ExecOutput], Awaitable[None]]


def is_screen() -> bool:
    """Whether a person sits there: input and output are terminals."""
    return os.isatty(STDIN) and os.isatty(STDOUT)


def screen_size() -> TerminalSize:
    for fd in (STDOUT, STDIN):
        with suppress(OSError):
            columns, rows = os.get_terminal_size(fd)
            if columns > 0 and rows > 0:
                return TerminalSize(columns=min(columns, SIZE_MAX), rows=min(rows, SIZE_MAX))
    return DEFAULT


@contextmanager
def raw(fd: int) -> Iterator[None]:
    """Every key goes to the command. What the terminal was before comes back, also when the block raises."""
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd, termios.TCSANOW)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)


async def write_out(piece: ExecOutput) -> None:
    """As it came, to the stream that it came from."""
    fd = STDOUT if piece.stream is ExecStream.STDOUT else STDERR
    await trio.to_thread.run_sync(_write_all, fd, piece.data, abandon_on_cancel=True)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


async def converse(session: RemoteSession, *, terminal: bool, with_input: bool, show: Show = write_out) -> int:
    """Carries bytes, the terminal's size and the end of input until the command ends; what photon is to exit with."""
    sys.stdout.flush()
    talk = _Talk(session, terminal)
    async with trio.open_nursery() as nursery:
        with raw(STDIN) if terminal and with_input else _as_it_is():
            nursery.start_soon(talk.heed_signals, nursery.cancel_scope)
            if with_input:
                nursery.start_soon(talk.feed)
            while (piece := await session.read()) is not None:
                await show(piece)
            nursery.cancel_scope.cancel()
    return SIGNALLED + talk.signalled if talk.signalled else session.exit_code()


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


class _Talk:
    def __init__(self, session: RemoteSession, terminal: bool) -> None:
        self._session, self._terminal = session, terminal
        self.signalled = 0

    async def feed(self) -> None:
        while data := await _read_some(STDIN):
            await self._session.write(data)
        await self._session.end_input()

    async def heed_signals(self, scope: trio.CancelScope) -> None:
        heeded = (*ENDS, signal.SIGWINCH) if self._terminal else ENDS
        with trio.open_signal_receiver(*heeded) as signals:
            async for number in signals:
                if number in ENDS:
                    self.signalled = number
                    scope.cancel()
                    return
                await self._session.resize(screen_size())


async def _read_some(fd: int) -> bytes:
    """Empty at the end of the input, and when there never was one."""
    try:
        await trio.lowlevel.wait_readable(fd)
    except PermissionError:  # a file: it is always readable
        await trio.lowlevel.checkpoint()
    except OSError:
        return b""
    try:
        return os.read(fd, READ_BYTES)
    except OSError:  # EIO: the terminal is gone
        return b""
