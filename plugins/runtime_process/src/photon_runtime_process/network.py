"""A sandbox's network, seen from the agent: sockets that the helper made inside and the agent uses outside.

A socket belongs for ever to the network namespace in which it was made, whoever holds it. So the helper only makes
them; binding, listening and connecting happen here, without a further word with the helper.
"""

from __future__ import annotations

import logging
import socket

import trio

from photon_core.api.sandbox_net import Target
from photon_runtime_process.sandbox import Sandbox
from photon_runtime_process.wire import ask, in_memory

log = logging.getLogger(__name__)

BACKLOG = 128


class SandboxNamespace:
    """A `Namespace`. The sockets that it hands out do not block."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SandboxNamespace) and self._sandbox.helper == other._sandbox.helper

    def __hash__(self) -> int:
        return hash(self._sandbox.helper)

    async def listener(self, address: str, port: int) -> socket.socket:
        fresh = await self._sandbox.fresh_socket()
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
        fresh = await self._sandbox.fresh_socket()
        with trio.socket.from_stdlib_socket(fresh) as connecting:
            await connecting.connect((address, port))
            return socket.socket(fileno=connecting.detach())

    async def redirect(self, port: int, targets: tuple[Target, ...]) -> bool:
        with in_memory([port, targets]) as rules:
            answer, _ = await ask(self._sandbox.folder, {"op": "redirect"}, rules)
        why = answer.text("why")
        if why:
            log.info("no redirect in the sandbox of %s: %s", self._sandbox.instance, why)
        return not why

    async def refusals(self) -> socket.socket | None:
        return await self._sandbox.refusals()
