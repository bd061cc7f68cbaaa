"""One sandbox as the agent holds it: commands to its helper, and its end."""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import suppress

import trio

from photon_core.api.ids import InstanceId
from photon_core.api.runtime import InstanceSpec
from photon_runtime_process.folder import Folder, Helper
from photon_runtime_process.helper.workload import Life
from photon_runtime_process.wire import HelperMute, ask, in_memory


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
        _, (fd,) = await ask(self.folder, {"op": "socket"}, want_fds=1)
        try:
            fresh = socket.socket(fileno=fd)
        except OSError:
            os.close(fd)
            raise HelperMute("gave something that is no socket") from None
        if (fresh.family, fresh.type) != (socket.AF_INET, socket.SOCK_STREAM):
            fresh.close()
            raise HelperMute("gave a socket of another kind")
        return fresh

    async def kill(self) -> None:
        await kill(self.helper)


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
