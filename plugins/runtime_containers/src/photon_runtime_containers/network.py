"""A sandbox's network, seen from the agent: sockets made inside and used outside, and the redirect.

What goes into the sandbox's kernel is `photon_core.api.sandbox_net`'s; here it is brought there, by a thread that
enters. Where neither nft nor iptables works there is no redirect, and the agent listens at each granted target itself.
"""

from __future__ import annotations

import logging
import socket
import subprocess
from functools import partial

import trio

from photon_core.api.ids import InstanceId
from photon_core.api.sandbox_net import Target, redirect, refusals_socket
from photon_runtime_containers import netns
from photon_runtime_containers.processes import Process

log = logging.getLogger(__name__)

BACKLOG = 128
TOOL_S = 10.0
TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class SandboxNamespace:
    """A `Namespace`. Its sockets do not block. Two are equal as long as the sandbox's first process is the same one."""

    def __init__(self, instance: InstanceId, process: Process) -> None:
        self.instance, self.process = instance, process
        self._changing = trio.Lock()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SandboxNamespace) and self.process == other.process

    def __hash__(self) -> int:
        return hash(self.process)

    async def listener(self, address: str, port: int) -> socket.socket:
        fresh = await netns.within(self.process, netns.fresh_socket)
        try:
            fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            fresh.bind((address, port))
            fresh.listen(BACKLOG)
            fresh.setblocking(False)
        except BaseException:
            fresh.close()
            raise
        return fresh

    async def connect(self, address: str, port: int) -> socket.socket:
        fresh = await netns.within(self.process, netns.fresh_socket)
        with trio.socket.from_stdlib_socket(fresh) as connecting:
            await connecting.connect((address, port))
            return socket.socket(fileno=connecting.detach())

    async def redirect(self, port: int, targets: tuple[Target, ...]) -> bool:
        async with self._changing:
            why = await netns.within(self.process, partial(redirect, port, targets, TOOL_PATH, _run_tool))
        if why:
            log.info("no redirect in the sandbox of %s: %s", self.instance, why)
        return not why

    async def refusals(self) -> socket.socket | None:
        try:
            return await netns.within(self.process, refusals_socket)
        except ProcessLookupError:
            raise
        except OSError as problem:
            log.info("what is refused in the sandbox of %s cannot be seen: %s", self.instance, problem)
            return None


def _run_tool(argv: tuple[str, ...], rules: str) -> str:
    """A child of this thread begins in this thread's network."""
    try:
        done = subprocess.run(
            argv, input=rules.encode(), capture_output=True, env={"PATH": TOOL_PATH}, timeout=TOOL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return f"{argv[0]}: {problem}"
    said = (done.stderr + done.stdout).decode(errors="replace").strip()[:500]
    return "" if done.returncode == 0 else f"{argv[0]}: {said or done.returncode}"
