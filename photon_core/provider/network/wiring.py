"""One lease's sandboxes, wired: what each may reach, and how the agent reaches into them.

Theory of operation
-------------------
`update` is handed what ought to be (`LeaseNetwork`) and changes what is: level-triggered like everything here. In each
client's sandbox there is a way out, one of two kinds:

- **redirected**, where the runtime can: every connection that the workload makes ends at one listener of ours, which
  asks the kernel where it was meant to go. A granted target is connected, every other is reset, counted and reported.
- **listeners** otherwise: one for each granted name and port. Everything else meets nothing at all (the sandbox has
  only its loopback), and the kernel refuses it without our knowing.

A connection is carried to the server's instances in turn; one that does not answer is passed over. Taking a grant back
closes the listener and every connection that lives by it.

Sandboxes may be made anew under the same name. `refresh` compares the namespaces; what was in an old one is closed, and
the lease counts as not wired until the next `update`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from functools import partial

import trio

from photon_core.api.ids import InstanceId
from photon_core.api.runtime import Namespace, RuntimeFailure, SandboxNetworks

from .connections import Connections
from .grants import Grant, IngressRule, LeaseNetwork
from .limits import NetworkLimits
from .listening import Handler, Listening
from .refused import RefusedLog, Target
from .relay import reset

GATHER_ADDRESS = "127.255.255.254"
_SO_ORIGINAL_DST = 80
SERVER_ADDRESS = "127.0.0.1"


class NoServer(Exception):
    """No instance of the service takes the connection."""


class LeaseWiring:
    def __init__(
        self, networks: SandboxNetworks, connections: Connections, limits: NetworkLimits, nursery: trio.Nursery
    ) -> None:
        self._networks, self._limits, self._nursery = networks, limits, nursery
        self.connections = connections
        self.refused = RefusedLog(limits.refused_targets_max)
        self.network: LeaseNetwork | None = None
        """What is in force; None while not all of it is."""
        self.notes: tuple[str, ...] = ()
        self._namespaces: dict[InstanceId, Namespace] = {}
        self._gathering: dict[InstanceId, Listening | None] = {}
        self._listening: dict[Grant, Listening] = {}
        self._allowed: dict[tuple[InstanceId, str, int], Grant] = {}
        self._turn = 0

    async def update(self, network: LeaseNetwork) -> None:
        """OSError or RuntimeFailure when a sandbox cannot be wired; what could be done stays."""
        for grant in [g for g in self._allowed.values() if g not in network.grants]:
            self._revoke(grant)
        self.network = None
        notes: list[str] = []
        for instance in network.instances:
            await self._enter(instance)
        for grant in network.grants:
            self._allowed[grant.client, grant.address, grant.port] = grant
            if self._gathering.get(grant.client) is None and grant not in self._listening:
                notes += await self._open(grant)
        self.network, self.notes = network, (*notes, *self.contested(network).values())

    def contested(self, network: LeaseNetwork | None) -> dict[str, str]:
        """By service, why its own port may be in use when it starts. Nothing where connections are redirected."""
        return {
            grant.client.service: contest_words(grant)
            for grant in (network.contested() if network else ())
            if self._gathering.get(grant.client) is None
        }

    async def _enter(self, instance: InstanceId) -> None:
        if instance in self._namespaces:
            return
        namespace = await self._networks.namespace(instance)
        sock = await namespace.listener(GATHER_ADDRESS, 0)
        try:
            gathered = await namespace.redirect(sock.getsockname()[1])
        except BaseException:
            sock.close()
            raise
        if gathered:
            self._gathering[instance] = self._start(sock, partial(self._on_gathered, instance))
        else:
            sock.close()
            self._gathering[instance] = None
        self._namespaces[instance] = namespace

    async def _open(self, grant: Grant) -> list[str]:
        try:
            sock = await self._namespaces[grant.client].listener(grant.address, grant.port)
        except OSError as error:
            note = (
                f"{grant.client.service} cannot reach {grant.name}:{grant.port}: {error.strerror or error}. A service "
                f"that listens on every address at port {grant.port} stands in the way; let it listen on another port"
            )
            return [note]
        self._listening[grant] = self._start(sock, partial(self._on_granted, grant))
        return []

    def _start(self, sock: socket.socket, handler: Handler) -> Listening:
        listening = Listening(sock, handler, self._nursery)
        self._nursery.start_soon(listening.run)
        return listening

    def _revoke(self, grant: Grant) -> None:
        self._allowed.pop((grant.client, grant.address, grant.port), None)
        if listening := self._listening.pop(grant, None):
            listening.close()
        self.connections.close(grant)

    async def refresh(self) -> None:
        """Notices sandboxes that are gone or were made anew."""
        for instance, namespace in list(self._namespaces.items()):
            try:
                current = await self._networks.namespace(instance)
            except (KeyError, RuntimeFailure):
                current = None
            if current != namespace:
                self._leave(instance)
                self.network = None

    def _leave(self, instance: InstanceId) -> None:
        del self._namespaces[instance]
        if gathering := self._gathering.pop(instance, None):
            gathering.close()
        for grant in [g for g in self._allowed.values() if g.client == instance]:
            self._revoke(grant)

    def close(self) -> None:
        self.network = None
        for instance in list(self._namespaces):
            self._leave(instance)

    # --- connections --------------------------------------------------------------------------------------------------

    async def _on_granted(self, grant: Grant, connection: socket.socket) -> None:
        await self.carry(grant, grant.server, grant.server_port, connection)

    async def _on_gathered(self, client: InstanceId, connection: socket.socket) -> None:
        address, port = original_destination(connection)
        grant = self._allowed.get((client, address, port))
        if grant is None:
            self.refused.add(Target(client.service, address, port))
            reset(connection)
            return
        await self.carry(grant, grant.server, grant.server_port, connection)

    async def carry(
        self, reason: Grant | IngressRule, service: str, port: int, connection: socket.socket, first: bytes = b""
    ) -> None:
        """From `connection` to an instance of the service, until it is over. Resets it when there is no place for it,
        or when there is no server and nothing was read from it yet; NoServer when something was.
        """
        if not self.connections.admit():
            reset(connection)
            return
        try:
            try:
                server = await self.connect(service, port)
            except NoServer:
                if first:
                    raise
                reset(connection)
                return
            await self.connections.carry(reason, connection, server, first)
        finally:
            self.connections.leave()

    async def connect(self, service: str, port: int) -> socket.socket:
        """To the next instance that answers."""
        servers = self.network.servers(service) if self.network else ()
        self._turn += 1
        for i in range(len(servers)):
            namespace = self._namespaces.get(servers[(self._turn + i) % len(servers)])
            if namespace is None:
                continue
            with contextlib.suppress(OSError, RuntimeFailure, trio.TooSlowError):
                with trio.fail_after(self._limits.connect_timeout_s):
                    return await namespace.connect(SERVER_ADDRESS, port)
        raise NoServer(f"no instance of {service} answers on port {port}")


def contest_words(grant: Grant) -> str:
    name = grant.client.service
    return (
        f"port {grant.port} is {name}'s own and {grant.name}'s, and nothing is redirected here: let {name} listen on "
        f"127.0.0.1 only, or expose {grant.name} `as` another port"
    )


def original_destination(connection: socket.socket) -> tuple[str, int]:
    """Where a redirected connection was meant to go."""
    raw = connection.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
    port, packed = struct.unpack("!2xH4s", raw[:8])
    return socket.inet_ntoa(packed), port
