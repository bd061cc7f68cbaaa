"""Commands beside a fake workload: a few that do what a test needs, and 127 for all others.

say OUT ERR CODE    writes both and ends
cat                 gives back what it gets, until the end of its input
size                says its terminal's size, now and whenever it changes, as COLUMNSxROWS
flood N             N pieces of EXEC_PIECE_BYTES_MAX, as fast as they are read
sleep               reads nothing, says nothing, never ends
"""

from __future__ import annotations

import trio

from photon_core.api.runtime import EXEC_PIECE_BYTES_MAX, ExecOutput, ExecStream, RuntimeFailure, TerminalSize

KILLED = RuntimeFailure("the instance is gone")
CLOSED = RuntimeFailure("the session was closed")


class FakeSession:
    """An `ExecSession` without a task: what the command would do happens in the calls."""

    def __init__(self, command: tuple[str, ...], terminal: TerminalSize | None) -> None:
        self.command, self.terminal = command, terminal
        self.written: list[bytes] = []
        self.input_ended = self.closed = False
        self.sizes = [] if terminal is None else [terminal]
        self._output: list[ExecOutput] = []
        self._code: int | None = None
        self._failure: RuntimeFailure | None = None
        self._wake = trio.Event()
        self._begin()

    def _begin(self) -> None:
        match self.command:
            case ("say", out, err, code):
                self._say(out.encode())
                self._say(err.encode(), ExecStream.STDERR)
                self._code = int(code)
            case ("flood", pieces):
                self._output = [ExecOutput(ExecStream.STDOUT, bytes(EXEC_PIECE_BYTES_MAX))] * int(pieces)
                self._code = 0
            case ("size",):
                self._say_size()
            case ("cat",) | ("sleep",):
                pass
            case _:
                self._say(f"{self.command[0]}: not found\n".encode(), ExecStream.STDERR)
                self._code = 127

    def _say(self, data: bytes, stream: ExecStream = ExecStream.STDOUT) -> None:
        if data:
            self._output.append(ExecOutput(ExecStream.STDOUT if self.terminal else stream, data))
            self._wake.set()

    def _say_size(self) -> None:
        size = self.sizes[-1] if self.sizes else TerminalSize(columns=0, rows=0)
        self._say(f"{size.columns}x{size.rows}\n".encode())

    def fail(self, failure: RuntimeFailure = KILLED) -> None:
        """The instance, or the engine, is gone."""
        if self._code is None and self._failure is None:
            self._failure = failure
        self._wake.set()

    def end(self, code: int) -> None:
        """Whatever it is, it ends now."""
        self._code = code
        self._wake.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._raise_failure()
        while self.command == ("sleep",) and self._code is None:
            await self._woken()
            self._raise_failure()
        self.written.append(data)
        if self.command == ("cat",):
            self._say(data)

    async def end_input(self) -> None:
        await trio.lowlevel.checkpoint()
        self._raise_failure()
        self.input_ended = True
        if self.command == ("cat",):
            self.end(0)

    async def resize(self, size: TerminalSize) -> None:
        await trio.lowlevel.checkpoint()
        self._raise_failure()
        if self.terminal is not None:
            self.sizes.append(size)
            if self.command == ("size",):
                self._say_size()

    async def read(self) -> ExecOutput | None:
        await trio.lowlevel.checkpoint()
        while not self._output:
            self._raise_failure()
            if self._code is not None:
                return None
            await self._woken()
        return self._output.pop(0)

    async def exit_code(self) -> int:
        await trio.lowlevel.checkpoint()
        while self._code is None:
            self._raise_failure()
            await self._woken()
        return self._code

    async def aclose(self) -> None:
        self.closed = True
        self.fail(CLOSED)
        await trio.lowlevel.checkpoint()

    async def _woken(self) -> None:
        if self._wake.is_set():
            self._wake = trio.Event()
        await self._wake.wait()
