"""The network of all leases at this provider: one wiring each, and the ingress that they share.

Plain verbs for the agent: `wire` a lease, `unwire` it, `refresh` before each pass, and questions for its reports. All
tasks live in the nursery of `run`; a lease that fails to be wired raises from `wire` and touches no other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable

import trio
from attrs import frozen

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.runtime import RuntimeFailure, SandboxNetworks
from photon_core.manifest.records import Protocol
from photon_core.peers.methods import Endpoint, RefusedAttempt

from .claims import Claims, PortKey, claim_hostnames, keep_port, retain, without
from .connections import Census, Connections
from .grants import IngressRule, LeaseNetwork
from .ingress import Gate, HttpIngress, Route, TcpIngress
from .limits import NetworkLimits
from .listening import Listening, listen
from .wiring import LeaseWiring

Save = Callable[[Claims], Awaitable[None]]


async def _no_save(_claims: Claims) -> None:
    return None


@frozen(kw_only=True)
class IngressConfig:
    """`address` is listened on; `public_address` is what people are told (the same if empty).

    `http_port` 0: any that is free. `tcp_ports`: first and last port for TCP rules; None: any that is free.
    """

    address: str = "127.0.0.1"
    public_address: str = ""
    http_port: int = 0
    tcp_ports: tuple[int, int] | None = None

    @property
    def told_address(self) -> str:
        return self.public_address or self.address


class Fabric:
    def __init__(
        self,
        networks: SandboxNetworks,
        ingress: IngressConfig,
        *,
        claims: Claims | None = None,
        save: Save = _no_save,
        limits: NetworkLimits | None = None,
    ) -> None:
        self._networks, self._ingress = networks, ingress
        self._limits = limits or NetworkLimits()
        self._census = Census(self._limits)
        self._gate = Gate(self._limits)
        self._claims, self._save = claims or Claims(), save
        self._wirings: dict[LeaseId, LeaseWiring] = {}
        self._notes: dict[LeaseId, tuple[str, ...]] = {}
        self._tcp: dict[PortKey, tuple[int, IngressRule, Listening]] = {}
        self._routes: dict[str, Route] = {}
        self._nursery: trio.Nursery | None = None
        self.http_port = 0

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """OSError when the ingress port is taken."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            sock = listen(self._ingress.address, self._ingress.http_port)
            self.http_port = sock.getsockname()[1]
            http = HttpIngress(self._routes.get, self._gate, self._limits)
            nursery.start_soon(Listening(sock, http.handle, nursery).run)
            task_status.started()
            await trio.sleep_forever()

    # --- verbs --------------------------------------------------------------------------------------------------------

    @property
    def wired(self) -> dict[LeaseId, LeaseNetwork]:
        """What is in force now. A lease of which only a part could be wired has an empty network here."""
        return {lease: w.network or LeaseNetwork(lease=lease) for lease, w in self._wirings.items()}

    async def wire(self, network: LeaseNetwork) -> None:
        assert self._nursery is not None, "the fabric does not run"
        wiring = self._wirings.get(network.lease)
        if wiring is None:
            wiring = LeaseWiring(self._networks, Connections(self._census), self._limits, self._nursery)
            self._wirings[network.lease] = wiring
        await wiring.update(network)
        await self._update_ingress(wiring, network)

    async def unwire(self, lease: LeaseId) -> None:
        """Nothing of the lease's network is left, its connections included. Idempotent."""
        wiring = self._wirings.pop(lease, None)
        if wiring is None:
            return
        await self._update_ingress(wiring, LeaseNetwork(lease=lease))
        wiring.close()
        self._notes.pop(lease, None)
        await self._keep(without(self._claims, lease))

    async def refresh(self) -> None:
        """What is wired stays so while the runtime does not answer."""
        with contextlib.suppress(RuntimeFailure):
            for wiring in list(self._wirings.values()):
                await wiring.refresh()

    async def retain(self, leases: Iterable[LeaseId]) -> None:
        """Gives up hostnames and ports of leases that ended while nobody looked."""
        await self._keep(retain(self._claims, leases))

    async def probe(self, instance: InstanceId, ports: tuple[int, ...], timeout_s: float) -> tuple[int, ...]:
        """Those of `ports` on which the instance takes no connection."""
        closed = []
        for port in ports:
            try:
                with trio.fail_after(timeout_s):
                    namespace = await self._networks.namespace(instance)
                    (await namespace.connect("127.0.0.1", port)).close()
            except (OSError, KeyError, RuntimeFailure, trio.TooSlowError):
                closed.append(port)
        return tuple(closed)

    # --- questions ----------------------------------------------------------------------------------------------------

    def endpoints(self, lease: LeaseId) -> tuple[Endpoint, ...]:
        told = self._ingress.told_address
        found = [
            Endpoint(
                service=rule.service,
                port=rule.port,
                protocol=rule.protocol,
                address=told,
                external_port=port,
                hostnames=(),
            )
            for (holder, _, _), (port, rule, _) in self._tcp.items()
            if holder == lease
        ]
        for rule in self._http_rules(lease):
            names = tuple(name for name in rule.hostnames if self._claims.hostnames.get(name) == lease)
            found.append(
                Endpoint(
                    service=rule.service,
                    port=rule.port,
                    protocol=rule.protocol,
                    address=told,
                    external_port=self.http_port,
                    hostnames=names,
                )
            )
        return tuple(sorted(found, key=lambda e: (e.service, e.port)))

    def refused(self, lease: LeaseId) -> tuple[RefusedAttempt, ...]:
        wiring = self._wirings.get(lease)
        if wiring is None or wiring.network is None:
            return ()
        return wiring.refused.report({grant.address: grant.name for grant in wiring.network.grants})

    def notes(self, lease: LeaseId) -> tuple[str, ...]:
        wiring = self._wirings.get(lease)
        return (*(wiring.notes if wiring else ()), *self._notes.get(lease, ()))

    def contested(self, lease: LeaseId) -> dict[str, str]:
        """By service: a port that it listens on and that a peer of it has too, where that is in the way."""
        wiring = self._wirings.get(lease)
        return wiring.contested(wiring.network) if wiring else {}

    def connections(self, lease: LeaseId) -> int:
        wiring = self._wirings.get(lease)
        return len(wiring.connections) if wiring else 0

    # --- ingress ------------------------------------------------------------------------------------------------------

    def _http_rules(self, lease: LeaseId) -> tuple[IngressRule, ...]:
        wiring = self._wirings.get(lease)
        rules = wiring.network.ingress if wiring and wiring.network else ()
        return tuple(rule for rule in rules if rule.protocol is Protocol.HTTP)

    async def _update_ingress(self, wiring: LeaseWiring, network: LeaseNetwork) -> None:
        lease = network.lease
        before = {r.rule for r in self._routes.values() if r.wiring is wiring}
        for name in [n for n, route in self._routes.items() if route.wiring is wiring]:
            del self._routes[name]
        http = [rule for rule in network.ingress if rule.protocol is Protocol.HTTP]
        claims, notes = claim_hostnames(self._claims, lease, (n for rule in http for n in rule.hostnames))
        for rule in http:
            for name in rule.hostnames:
                if claims.hostnames.get(name) == lease:
                    self._routes.setdefault(name, Route(wiring=wiring, rule=rule))
        for gone in before - set(http):
            wiring.connections.close(gone)
        problems, claims = self._update_tcp(wiring, network, claims)
        self._notes[lease] = (*notes, *problems)
        await self._keep(claims)

    def _update_tcp(self, wiring: LeaseWiring, network: LeaseNetwork, claims: Claims) -> tuple[list[str], Claims]:
        wanted = {
            (network.lease, rule.service, rule.as_port): rule
            for rule in network.ingress
            if rule.protocol is Protocol.TCP
        }
        for key, (_, rule, listening) in list(self._tcp.items()):
            if key[0] == network.lease and wanted.get(key) != rule:
                listening.close()
                wiring.connections.close(rule)
                del self._tcp[key]
        problems = []
        for key, rule in wanted.items():
            if key in self._tcp:
                continue
            try:
                claims = self._open_tcp(key, Route(wiring=wiring, rule=rule), claims)
            except OSError as error:
                problems.append(
                    f"no port for {rule.service}:{rule.as_port} at this provider: {error.strerror or error}"
                )
        return problems, claims

    def _open_tcp(self, key: PortKey, route: Route, claims: Claims) -> Claims:
        """On the port that it had before, if that is free; else on the first that is. OSError when none is."""
        assert self._nursery is not None
        span = self._ingress.tcp_ports
        taken = {port for other, port in claims.ports.items() if other != key}
        candidates = [p for p in range(span[0], span[1] + 1) if p not in taken] if span else [0]
        if key in claims.ports:
            candidates.insert(0, claims.ports[key])
        problem = OSError("all ports of the provider's range are in use")
        for candidate in candidates:
            try:
                sock = listen(self._ingress.address, candidate)
            except OSError as error:
                problem = error
                continue
            port = sock.getsockname()[1]
            listening = Listening(sock, TcpIngress(route, self._gate).handle, self._nursery)
            self._nursery.start_soon(listening.run)
            self._tcp[key] = (port, route.rule, listening)
            return keep_port(claims, key, port)
        raise problem

    async def _keep(self, claims: Claims) -> None:
        if claims != self._claims:
            self._claims = claims
            await self._save(claims)
