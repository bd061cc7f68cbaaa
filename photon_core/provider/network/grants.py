"""Who may reach what in one lease: plain data, compared and replaced as a whole.

Nothing is open that is not here. A grant is one direction, one client instance, one name and one port. Names resolve by
the sandbox's hosts file to an address of 127.77.0.0/16 that is the same in every sandbox of the lease.
"""

from __future__ import annotations

from attrs import frozen

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.manifest.records import Protocol, Section

NAMES_PER_BLOCK = 250
"""Of 127.77.x.1 to 127.77.x.250; a section has at most 64 services."""
INTERNAL_ZONE = "photon.internal"


@frozen(kw_only=True, order=True)
class Grant:
    """`client` may connect to `name` (at `address`) on `port`, and reaches `server`'s `server_port`."""

    client: InstanceId
    name: str
    address: str
    port: int
    server: str
    server_port: int


@frozen(kw_only=True, order=True)
class IngressRule:
    """Everybody may reach `service`'s `port`: by hostname on the shared port when HTTP, else by a port of its own."""

    service: str
    port: int
    as_port: int
    protocol: Protocol
    hostnames: tuple[str, ...]


@frozen(kw_only=True)
class LeaseNetwork:
    """`instances` of each service in order of ordinal: those that a grant or rule to the service may end at."""

    lease: LeaseId
    instances: tuple[InstanceId, ...] = ()
    grants: tuple[Grant, ...] = ()
    ingress: tuple[IngressRule, ...] = ()

    def contested(self) -> tuple[Grant, ...]:
        """Grants on a port that their client listens on itself. In a sandbox without a redirect the agent listens there
        in the peer's place, so a client that listens on all addresses fails: the port is in use.
        """
        promised = {(grant.server, grant.server_port) for grant in self.grants}
        promised |= {(rule.service, rule.port) for rule in self.ingress}
        return tuple(grant for grant in self.grants if (grant.client.service, grant.port) in promised)


def instance_ids(lease: LeaseId, section: Section) -> tuple[InstanceId, ...]:
    return tuple(InstanceId(lease, s.name, ordinal) for s in section.services for ordinal in range(s.count))


def addresses(section: Section) -> dict[str, str]:
    """Each service's address as its peers see it: by its place among the names, so the same after every restart."""
    names = sorted(service.name for service in section.services)
    return {name: f"127.77.{i // NAMES_PER_BLOCK}.{i % NAMES_PER_BLOCK + 1}" for i, name in enumerate(names)}


def default_hostname(service: str, lease: LeaseId) -> str:
    return f"{service}.{lease.label}.{INTERNAL_ZONE}"


def network_of(lease: LeaseId, section: Section) -> LeaseNetwork:
    """Exactly what the section's `expose` entries say, and nothing else."""
    where = addresses(section)
    counts = {service.name: service.count for service in section.services}
    grants: dict[tuple[InstanceId, str, int], Grant] = {}
    rules: list[IngressRule] = []
    for service in section.services:
        for expose in service.expose:
            if any(target.service is None for target in expose.targets):
                rules.append(_rule(service.name, expose.port, expose.as_port, expose.protocol, expose.hostnames))
            clients = [t.service for t in expose.targets if t.service is not None and t.service in counts]
            for client in clients:
                for ordinal in range(counts[client]):
                    grant = Grant(
                        client=InstanceId(lease, client, ordinal),
                        name=service.name,
                        address=where[service.name],
                        port=expose.as_port,
                        server=service.name,
                        server_port=expose.port,
                    )
                    grants.setdefault((grant.client, grant.name, grant.port), grant)  # a port leads to one place
    return LeaseNetwork(
        lease=lease,
        instances=instance_ids(lease, section),
        grants=tuple(sorted(grants.values())),
        ingress=_with_default_hostnames(lease, sorted(rules)),
    )


def _rule(service: str, port: int, as_port: int, protocol: Protocol, hostnames: tuple[str, ...]) -> IngressRule:
    names = tuple(name.lower() for name in hostnames)
    return IngressRule(service=service, port=port, as_port=as_port, protocol=protocol, hostnames=names)


def _with_default_hostnames(lease: LeaseId, rules: list[IngressRule]) -> tuple[IngressRule, ...]:
    """A service's first HTTP rule answers to its default hostname too, which no other lease can claim."""
    done: set[str] = set()
    named = []
    for rule in rules:
        names = rule.hostnames
        if rule.protocol is Protocol.HTTP and rule.service not in done:
            done.add(rule.service)
            names = (default_hostname(rule.service, lease), *names)
        named.append(
            IngressRule(
                service=rule.service, port=rule.port, as_port=rule.as_port, protocol=rule.protocol, hostnames=names
            )
        )
    return tuple(named)
