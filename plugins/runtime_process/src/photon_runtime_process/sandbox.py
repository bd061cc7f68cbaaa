"""One sandbox as the agent holds it: commands to its helper, and its end."""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import ExitStack, suppress

import trio

from photon_core.api.ids import InstanceId
from photon_core.api.runtime import ExecResult, InstanceSpec, RuntimeFailure
from photon_runtime_process.folder import Folder, Helper
from photon_runtime_process.helper.workload import Life
from photon_runtime_process.wire import Answer, HelperGone, HelperMute, ask, connected, in_memory

EXEC_OUTPUT_MAX = 2**20
READ_CHUNK = 64 * 1024
NOT_STARTED = 127
"""The exit code that a shell gives for a command that it cannot find."""


class Sandbox:
    """Knows nothing that is not on disk: any number of agents one after the other see the same."""

    def __init__(self, instance: InstanceId, folder: Folder, helper: Helper) -> None:
        self.instance, self.folder, self.helper = instance, folder, helper

    @property
    def life(self) -> Life:
        return self.folder.life()

    async def start(self, spec: InstanceSpec, limits: dict[str, int], restarts: int) -> str:
        """Why it could not be started, in words for the tenant; empty when it runs."""
        start = {
            "argv": spec.command + spec.args,
            "env": dict(spec.env),
            "limits": limits,
            "spec_digest": spec.spec_digest,
            "restarts": restarts,
        }
        with in_memory(start) as fd:
            answer, _ = await ask(self.folder, {"op": "start"}, fd)
        return answer.text("reason")

    async def stop(self, grace_ms: int) -> None:
        await ask(self.folder, {"op": "stop", "grace_ms": grace_ms}, grace_s=grace_ms / 1000)

    async def fresh_socket(self) -> socket.socket:
        return await self._socket("socket", (socket.AF_INET, socket.SOCK_STREAM))

    async def refusals(self) -> socket.socket | None:
        try:
            return await self._socket("refusals", (socket.AF_PACKET, socket.SOCK_DGRAM))
        except (HelperGone, HelperMute):
            raise
        except RuntimeFailure:  # the helper may not look: some kernels keep raw sockets for themselves
            return None

    async def _socket(self, op: str, kind: tuple[int, int]) -> socket.socket:
        _, (fd,) = await ask(self.folder, {"op": op}, want_fds=1)
        try:
            fresh = socket.socket(fileno=fd)
        except OSError:
            os.close(fd)
            raise HelperMute("gave something that is no socket") from None
        if (fresh.family, fresh.type) != kind:
            fresh.close()
            raise HelperMute("gave a socket of another kind")
        return fresh

    async def exec(self, command: tuple[str, ...], stdin: bytes, env: dict[str, str]) -> ExecResult:
        """Hanging up kills it: that is how a cancelled exec ends."""
        answer: Answer | RuntimeFailure
        (in_r, in_w), (out_r, out_w) = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        collected = bytearray()
        async with trio.lowlevel.FdStream(in_w) as feed, trio.lowlevel.FdStream(out_r) as output:
            with ExitStack() as theirs:
                theirs.callback(os.close, in_r)
                theirs.callback(os.close, out_w)
                async with connected(self.folder) as connection:
                    with in_memory({"argv": command, "env": env, "limits": {}}) as fd:
                        await connection.send({"op": "exec"}, (fd, in_r, out_w))
                    theirs.close()
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_feed, feed, stdin)
                        nursery.start_soon(_collect, output, collected)
                        try:
                            answer, _ = await connection.receive()
                        except RuntimeFailure as failure:  # a nursery would put it into a group
                            answer = failure
                        nursery.cancel_scope.cancel()
            _collect_rest(out_r, collected)
        if isinstance(answer, RuntimeFailure):
            raise answer
        if "reason" in answer:
            return ExecResult(exit_code=NOT_STARTED, output=answer.text("reason").encode())
        return ExecResult(exit_code=answer.exit_code(), output=bytes(collected))

    async def kill(self) -> None:
        await kill(self.helper)


async def _feed(stream: trio.lowlevel.FdStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # it does not have to read it all
        await stream.send_all(data)
    await stream.aclose()


async def _collect(stream: trio.lowlevel.FdStream, into: bytearray) -> None:
    """What is over the bound is read and forgotten, so that the command is not stopped by it."""
    async for piece in stream:
        into += piece[: EXEC_OUTPUT_MAX - len(into)]


def _collect_rest(fd: int, into: bytearray) -> None:
    """What the command wrote just before it ended. Not to the end: something that it left behind may hold the pipe."""
    with suppress(BlockingIOError):
        while len(into) < EXEC_OUTPUT_MAX and (piece := os.read(fd, READ_CHUNK)):
            into += piece[: EXEC_OUTPUT_MAX - len(into)]


async def kill(helper: Helper) -> None:
    """Returns when the helper, and by that everything in its PID namespace, is dead. By pidfd: never another's pid."""
    with suppress(ProcessLookupError):
        fd = os.pidfd_open(helper.pid)
        try:
            if helper.alive:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                await trio.lowlevel.wait_readable(fd)
        finally:
            os.close(fd)


def kill_now(helper: Helper, timeout_s: float) -> bool:
    """The same without an event loop, for `sweep`. False when it was still there in the end."""
    try:
        fd = os.pidfd_open(helper.pid)
    except ProcessLookupError:
        return True
    try:
        if not helper.alive:
            return True
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        return bool(select.select([fd], [], [], timeout_s)[0])
    finally:
        os.close(fd)
