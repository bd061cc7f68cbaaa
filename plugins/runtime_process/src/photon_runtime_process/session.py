"""One command beside a workload, as the agent holds it: three pipes or a terminal, and the connection that it lives by.

The helper makes the process and kills it when the connection ends; bytes go between the command and this process
alone. A task for each stream reads a piece only when the one before was taken, so a slow reader stops the command.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from contextlib import suppress

import trio

from photon_core.api.runtime import EXEC_PIECE_BYTES_MAX, ExecOutput, ExecStream, RuntimeFailure, TerminalSize
from photon_runtime_process.folder import Folder
from photon_runtime_process.wire import ANSWER_S, Connection, HelperMute, connected, in_memory

WRITE_BYTES = 4096
"""At once: what a pipe takes whole or not at all (PIPE_BUF)."""
LAST_OUTPUT_S = 0.2
"""After the end of a command whose terminal somebody still holds: the kernel hands its last output over by a worker."""
SIZE_MAX = 65_535


class ProcessSession:
    """An `ExecSession`. `run` is its task; whoever started it looks at `raise_failure` then."""

    def __init__(self, folder: Folder, command: tuple[str, ...], terminal: TerminalSize | None) -> None:
        self._folder, self._command, self._terminal = folder, command, terminal
        self._input: int | None = None
        self._outputs: list[tuple[ExecStream, int]] = []
        self._send, self._receive = trio.open_memory_channel[ExecOutput](0)
        self._scope = trio.CancelScope()
        self._waiting: dict[int, trio.CancelScope] = {}
        self._begun, self._patience_until = False, float("inf")
        self._told, self._over = trio.Event(), trio.Event()
        self._code: int | None = None
        self._failure: RuntimeFailure | None = None

    # --- the session's task ----------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Never raises what went wrong: it shares a nursery with all others."""
        try:
            with self._scope:
                async with connected(self._folder) as connection:
                    await self._begin(connection)
                    task_status.started()
                    await self._attend(connection)
        except RuntimeFailure as failure:
            self._failure = failure
        except OSError as problem:
            self._failure = RuntimeFailure(f"the command could not be started: {problem.strerror or problem}")
        finally:
            if self._code is None and self._failure is None:
                self._failure = RuntimeFailure("the session was closed")
            self._close()
        if not self._begun:
            task_status.started()

    async def _begin(self, connection: Connection) -> None:
        with in_memory(list(self._command)) as command:
            if self._terminal is not None:
                request: dict[str, object] = {
                    "op": "session",
                    "columns": _bounded(self._terminal.columns),
                    "rows": _bounded(self._terminal.rows),
                }
                await connection.send(request, (command,))
                (master,) = await _answer(connection, fds=1)
                self._input = master
                self._outputs = [(ExecStream.STDOUT, master)]
            else:
                await self._begin_with_pipes(connection, command)
        for fd in self._descriptors():
            os.set_blocking(fd, False)
        self._begun = True

    async def _begin_with_pipes(self, connection: Connection, command: int) -> None:
        theirs: list[int] = []
        try:
            stdin, self._input = os.pipe2(os.O_CLOEXEC)
            theirs.append(stdin)
            for stream in ExecStream:
                ours, end = os.pipe2(os.O_CLOEXEC)
                self._outputs.append((stream, ours))
                theirs.append(end)
            await connection.send({"op": "session"}, (command, *theirs))
        finally:
            for fd in theirs:
                os.close(fd)
        await _answer(connection, fds=0)

    async def _attend(self, connection: Connection) -> None:
        async with trio.open_nursery() as nursery, self._send:
            for stream, fd in self._outputs:
                nursery.start_soon(self._pump, stream, fd, self._send.clone())
            try:
                answer, _ = await connection.receive()
                self._code = answer.exit_code()
            except RuntimeFailure as failure:
                self._failure = failure
            self._told.set()
            # A pipe has all of it when the command is dead.
            self._patience_until = trio.current_time() + (LAST_OUTPUT_S if self._terminal is not None else 0)
            for scope in self._waiting.values():
                scope.deadline = self._patience_until

    async def _pump(self, stream: ExecStream, fd: int, send: trio.MemorySendChannel[ExecOutput]) -> None:
        async with send:
            while True:
                try:
                    piece = os.read(fd, EXEC_PIECE_BYTES_MAX)
                except BlockingIOError:
                    with trio.CancelScope(deadline=self._patience_until) as self._waiting[fd]:
                        await trio.lowlevel.wait_readable(fd)
                    if self._waiting[fd].cancelled_caught:
                        return  # it has ended; what it left behind may hold the stream for ever
                except OSError:  # EIO: nobody holds the terminal any more
                    return
                else:
                    if not piece:
                        return
                    await send.send(ExecOutput(stream, piece))

    def _descriptors(self) -> set[int]:
        """A terminal's only one is in both places."""
        return {fd for _, fd in self._outputs} | ({self._input} if self._input is not None else set())

    def _close(self) -> None:
        self._told.set()
        fds = self._descriptors()
        self._input, self._outputs = None, []
        for fd in fds:
            trio.lowlevel.notify_closing(fd)
            os.close(fd)
        self._send.close()
        self._over.set()

    # --- ExecSession -------------------------------------------------------------------------------------------------

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while rest:
            self.raise_failure()
            fd = self._input
            if fd is None:
                return
            try:
                rest = rest[os.write(fd, rest[:WRITE_BYTES]) :]
            except BlockingIOError:
                with suppress(trio.ClosedResourceError):  # then the next turn says why
                    await trio.lowlevel.wait_writable(fd)
            except OSError:  # EPIPE, EIO: it has ended, or closed its input
                return

    async def end_input(self) -> None:
        if self._terminal is not None:
            if self._input is not None:
                await self.write(termios.tcgetattr(self._input)[6][termios.VEOF])
            return
        await trio.lowlevel.checkpoint()
        self.raise_failure()
        if self._input is not None:
            fd, self._input = self._input, None
            trio.lowlevel.notify_closing(fd)
            os.close(fd)

    async def resize(self, size: TerminalSize) -> None:
        await trio.lowlevel.checkpoint()
        self.raise_failure()
        if self._terminal is not None and self._input is not None:
            packed = struct.pack("HHHH", _bounded(size.rows), _bounded(size.columns), 0, 0)
            fcntl.ioctl(self._input, termios.TIOCSWINSZ, packed)

    async def read(self) -> ExecOutput | None:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            self.raise_failure()
            return None

    async def exit_code(self) -> int:
        await self._told.wait()
        self.raise_failure()
        assert self._code is not None
        return self._code

    async def aclose(self) -> None:
        self._scope.cancel()
        with trio.CancelScope(shield=True):
            await self._over.wait()


async def _answer(connection: Connection, *, fds: int) -> list[int]:
    """The helper's first word. It answers within milliseconds, or it is broken."""
    with trio.move_on_after(ANSWER_S):
        answer, received = await connection.receive(fds)
        try:
            answer.text("began")
        except RuntimeFailure:
            for fd in received:
                os.close(fd)
            raise
        return received
    raise HelperMute(f"did not answer within {ANSWER_S:g} s")


def _bounded(value: int) -> int:
    return min(max(value, 1), SIZE_MAX)
