"""One lease's sandboxes, wired: what each may reach, and how the agent reaches into them.

Theory of operation
-------------------
`update` is handed what ought to be (`LeaseNetwork`) and changes what is: level-triggered like everything here. In each
client's sandbox there is a way out, one of two kinds:

- **redirected**, where the runtime can: connections to granted targets end at one listener of ours, which asks the
  kernel where they were meant to go.
- **listeners** otherwise: one for each granted name and port.

Everything else meets nothing at all (the sandbox has only its loopback): the kernel refuses it, and where we may see
that (`refusals`) it is counted for the tenant. A connection is carried to the server's instances in turn; one that does
not answer is passed over. Taking a grant back closes the way and every connection that lives by it.

Sandboxes may be made anew under the same name. `refresh` compares the namespaces; what was in an old one is closed, and
the lease counts as not wired until the next `update`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from functools import partial

import trio
from attrs import define

from photon_core.api.ids import InstanceId
from photon_core.api.runtime import Namespace, RuntimeFailure, SandboxNetworks
from photon_core.api.sandbox_net import GATHER
from photon_core.api.sandbox_net import Target as AddressPort

from .connections import Connections
from .grants import Grant, IngressRule, LeaseNetwork
from .limits import NetworkLimits
from .listening import Handler, Listening
from .refused import RefusalWatch, RefusedLog, Target
from .relay import reset

_SO_ORIGINAL_DST = 80
SERVER_ADDRESS = "127.0.0.1"


class NoServer(Exception):
    """No instance of the service takes the connection."""


@define
class _Sandbox:
    """One that was entered. `gather` None: connections are not redirected here."""

    namespace: Namespace
    watch: RefusalWatch | None
    gather: Listening | None = None
    port: int = 0
    targets: tuple[AddressPort, ...] | None = None
    """What is redirected; None before the first time, and where nothing can be."""


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
        self._sandboxes: dict[InstanceId, _Sandbox] = {}
        self._listening: dict[Grant, Listening] = {}
        self._allowed: dict[tuple[InstanceId, str, int], Grant] = {}
        self._turn = 0
        self._changing = trio.Lock()

    async def update(self, network: LeaseNetwork) -> None:
        """OSError or RuntimeFailure when a sandbox cannot be wired; what could be done stays."""
        async with self._changing:
            await self._update(network)

    async def _update(self, network: LeaseNetwork) -> None:
        for grant in [g for g in self._allowed.values() if g not in network.grants]:
            self._revoke(grant)
        self.network = None
        for grant in network.grants:
            self._allowed[grant.client, grant.address, grant.port] = grant
        for gone in set(self._sandboxes) - set(network.instances):
            self._leave(gone)
        for instance in network.instances:
            await self._enter(instance)
        notes: list[str] = []
        for grant in network.grants:
            if self._sandboxes[grant.client].gather is None and grant not in self._listening:
                notes += await self._open(grant)
        self.network, self.notes = network, (*notes, *self.contested(network).values())

    def contested(self, network: LeaseNetwork | None) -> dict[str, str]:
        """By service, why its own port may be in use when it starts. Nothing where connections are redirected."""
        found = {}
        for grant in network.contested() if network else ():
            sandbox = self._sandboxes.get(grant.client)
            if sandbox is None or sandbox.gather is None:
                found[grant.client.service] = contest_words(grant)
        return found

    async def _enter(self, instance: InstanceId) -> None:
        """Its way out leads to what is allowed now."""
        sandbox = self._sandboxes.get(instance)
        if sandbox is None:
            namespace = await self._networks.namespace(instance)
            sandbox = self._sandboxes[instance] = _Sandbox(namespace, await self._watch(instance, namespace))
            fresh = True
        else:
            fresh = False
        if fresh or sandbox.targets is not None:
            await self._redirect(instance, sandbox)

    async def _watch(self, instance: InstanceId, namespace: Namespace) -> RefusalWatch | None:
        seeing = await namespace.refusals()
        if seeing is None:
            return None
        watch = RefusalWatch(seeing, partial(self._on_refused, instance))
        self._nursery.start_soon(watch.run)
        return watch

    async def _redirect(self, instance: InstanceId, sandbox: _Sandbox) -> None:
        targets = tuple(sorted((address, port) for client, address, port in self._allowed if client == instance))
        if targets == sandbox.targets:
            return
        if sandbox.gather is None:
            sock = await sandbox.namespace.listener(GATHER, 0)
            sandbox.port = sock.getsockname()[1]
            sandbox.gather = self._start(sock, partial(self._on_gathered, instance))
        try:
            done = await sandbox.namespace.redirect(sandbox.port, targets)
        except BaseException:
            self._leave(instance)  # half a way out is none: the next `update` begins anew
            raise
        if done:
            sandbox.targets = targets
        elif sandbox.targets is None:
            sandbox.gather.close()
            sandbox.gather = None
        else:
            self._leave(instance)
            raise RuntimeFailure(f"what {instance} may reach could not be changed", "see the agent's log")

    async def _open(self, grant: Grant) -> list[str]:
        try:
            sock = await self._sandboxes[grant.client].namespace.listener(grant.address, grant.port)
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
        """Notices sandboxes that are gone or were made anew. RuntimeFailure when that cannot be asked: then nothing is
        known to have changed. Not amid an update, which sees for itself.
        """
        if self._changing.locked():
            return
        async with self._changing:
            for instance, sandbox in list(self._sandboxes.items()):
                try:
                    current = await self._networks.namespace(instance)
                except KeyError:
                    current = None
                if current != sandbox.namespace and self._sandboxes.get(instance) is sandbox:
                    self._leave(instance)
                    self.network = None

    def _leave(self, instance: InstanceId) -> None:
        sandbox = self._sandboxes.pop(instance)
        if sandbox.gather is not None:
            sandbox.gather.close()
        if sandbox.watch is not None:
            sandbox.watch.close()
        for grant in [g for g in self._allowed.values() if g.client == instance]:
            self._revoke(grant)

    def close(self) -> None:
        self.network = None
        for instance in list(self._sandboxes):
            self._leave(instance)

    # --- connections --------------------------------------------------------------------------------------------------

    async def _on_granted(self, grant: Grant, connection: socket.socket) -> None:
        await self.carry(grant, grant.server, grant.server_port, connection)

    async def _on_gathered(self, client: InstanceId, connection: socket.socket) -> None:
        address, port = original_destination(connection)
        grant = self._allowed.get((client, address, port))
        if grant is None:  # it was taken back while this one was on its way
            self.refused.add(Target(client.service, address, port))
            reset(connection)
            return
        await self.carry(grant, grant.server, grant.server_port, connection)

    def _on_refused(self, client: InstanceId, address: str, port: int) -> None:
        """The kernel has refused it already. What is allowed and refused all the same only waits for its way."""
        if (client, address, port) not in self._allowed:
            self.refused.add(Target(client.service, address, port))

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
        servers = [instance for instance in self._sandboxes if instance.service == service]  # also amid an update
        self._turn += 1
        for i in range(len(servers)):
            sandbox = self._sandboxes.get(servers[(self._turn + i) % len(servers)])
            if sandbox is None:
                continue
            with contextlib.suppress(OSError, RuntimeFailure, trio.TooSlowError):
                with trio.fail_after(self._limits.connect_timeout_s):
                    return await sandbox.namespace.connect(SERVER_ADDRESS, port)
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
