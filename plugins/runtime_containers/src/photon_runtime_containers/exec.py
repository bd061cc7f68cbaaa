"""A command beside a workload: `ExecSession` over an engine's blocking connection.

No engine ends a command when its connection goes, so the session does: it knows the command's first process, which
begins a session of the kernel's, and kills that. What an agent that was killed left running is on disk, and ended by
the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from photon_core.api.runtime import EXEC_PIECE_BYTES_MAX, ExecOutput, ExecStream, RuntimeFailure, TerminalSize
from photon_runtime_containers.calls import Calls
from photon_runtime_containers.engine import EngineExec
from photon_runtime_containers.folder import Folder
from photon_runtime_containers.processes import Process, kill_session
from photon_runtime_containers.pump import Pump

EXECS_AT_ONCE_MAX = 16
"""Beside one instance: each holds a thread, and processes that count against the workload's own limit."""
WRITE_BYTES_MAX = 64 * 1024
PID_TRIES, PID_TRY_S = 20, 0.01
"""Between the start of a command and the engine's knowledge of its pid lie some milliseconds."""
ENDED_WITHIN_S = 15.0


class ContainerExec:
    """`over` is called once, when it is closed."""

    def __init__(
        self, calls: Calls, connection: EngineExec, folder: Folder, over: Callable[[], None], *, terminal: bool
    ) -> None:
        self._calls, self._connection, self._folder, self._over = calls, connection, folder, over
        self._terminal = terminal
        self._pump: Pump[tuple[ExecStream, bytes]] = Pump(connection.read, connection.close)
        self._rest: tuple[ExecStream, bytes] | None = None
        self._leader: Process | None = None
        self._code: int | None = None
        self._input_over = False
        self._closed = False

    async def learn_its_process(self) -> None:
        """As soon as it was started: so that it can be ended whatever happens next. A quick one may be over already."""
        for _ in range(PID_TRIES):
            pid = await self._calls.ask(self._connection.pid)
            self._leader = Process.of(pid) if pid else None
            if self._leader:
                self._folder.note_exec(self._leader)
            if pid:
                return
            await trio.sleep(PID_TRY_S)

    async def write(self, data: bytes) -> None:
        self._check_open()
        for begin in range(0, len(data), WRITE_BYTES_MAX):
            piece = data[begin : begin + WRITE_BYTES_MAX]
            await self._patiently(partial(self._connection.write, piece))

    async def end_input(self) -> None:
        self._check_open()
        if not self._input_over:
            self._input_over = True
            if self._terminal:
                await self._patiently(partial(self._connection.write, b"\x04"))
            await self._patiently(self._connection.end_input)

    async def _patiently(self, call: Callable[[], None]) -> None:
        """For as long as the command does not read; closing ends the wait."""
        await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._calls.writers)
        self._check_open()

    async def resize(self, size: TerminalSize) -> None:
        self._check_open()
        if self._terminal:
            await self._calls.ask(partial(self._connection.resize, size))

    async def read(self) -> ExecOutput | None:
        self._check_open()
        piece = self._rest or await self._pump.receive()
        self._check_open()
        if piece is None:
            return None
        stream, data = piece
        self._rest = (stream, data[EXEC_PIECE_BYTES_MAX:]) if len(data) > EXEC_PIECE_BYTES_MAX else None
        return ExecOutput(stream, data[:EXEC_PIECE_BYTES_MAX])

    async def exit_code(self) -> int:
        self._check_open()
        if self._code is None:
            while await self._pump.receive() is not None:
                pass  # asked before the end of the output: that comes first
            self._code = await self._calls.ask(self._connection.exit_code, ENDED_WITHIN_S)
        return self._code

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeFailure("the command's session was closed")

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._pump.close()
        with trio.CancelScope(shield=True):
            try:
                if self._leader and self._code is None:
                    await trio.to_thread.run_sync(kill_session, self._leader)
            finally:
                if self._leader:
                    self._folder.forget_exec(self._leader)
                self._over()


class NeverStarted:
    """An `ExecSession` of a command that does not exist: one line, and the code that a shell would give."""

    def __init__(self, reason: str, code: int, *, terminal: bool) -> None:
        self._output: list[ExecOutput] = [
            ExecOutput(ExecStream.STDOUT, f"{reason}\r\n".encode())
            if terminal
            else ExecOutput(ExecStream.STDERR, f"{reason}\n".encode())
        ]
        self._code = code
        self._closed = False

    async def write(self, data: bytes) -> None:
        del data
        self._check_open()

    async def end_input(self) -> None:
        self._check_open()

    async def resize(self, size: TerminalSize) -> None:
        del size
        self._check_open()

    async def read(self) -> ExecOutput | None:
        self._check_open()
        return self._output.pop(0) if self._output else None

    async def exit_code(self) -> int:
        self._check_open()
        return self._code

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeFailure("the command's session was closed")

    async def aclose(self) -> None:
        self._closed = True
