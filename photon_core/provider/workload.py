"""What a manifest section means on this provider: instances with their resources, names and declared ports."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from photon_core.api.ids import Hash, InstanceId, LeaseId
from photon_core.api.runtime import (
    IMAGES_OPTIONAL,
    NETWORK_AGENT,
    NETWORK_SELF,
    Desired,
    InstanceSpec,
    InstanceState,
    Observed,
)
from photon_core.manifest.records import Protocol, Section, Service

from .network.grants import addresses, instance_ids


def instance_specs(lease: LeaseId, section: Section, version: Hash) -> dict[InstanceId, InstanceSpec]:
    """Everything that the section wants to run, by id, in its order."""
    names = addresses(section)
    services = {service.name: service for service in section.services}
    specs = {}
    for id_ in instance_ids(lease, section):
        service = services[id_.service]
        specs[id_] = InstanceSpec(
            id=id_,
            image=service.image,
            command=service.command,
            args=service.args,
            env=service.env,
            resources=service.resources,
            hosts=_hosts(service, names),
            manifest_version=version,
        )
    return specs


def _hosts(service: Service, names: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Every peer has a name, reachable or not: a refused connection says more than an unknown name. One's own name is
    one's own business, unless the section lets the service call itself.
    """
    calls_itself = any(target.service == service.name for expose in service.expose for target in expose.targets)
    return tuple((name, address) for name, address in sorted(names.items()) if name != service.name or calls_itself)


def desired(lease: LeaseId, specs: dict[InstanceId, InstanceSpec], running: AbstractSet[InstanceId]) -> Desired:
    """All sandboxes; of the instances those in `running`."""
    return Desired(
        lease=lease,
        sandboxes=tuple((id_, spec.resources) for id_, spec in specs.items()),
        instances=tuple(spec for id_, spec in specs.items() if id_ in running),
    )


def is_outdated(one: Observed | None, spec: InstanceSpec | None) -> bool:
    """Made of something else than is wanted now: how it does, or did, says nothing of what comes in its place."""
    if one is None or spec is None or one.state is InstanceState.SANDBOX:
        return False
    return one.spec_digest != spec.spec_digest


def declared_ports(section: Section) -> dict[str, tuple[int, ...]]:
    """The TCP ports that each service promises to open."""
    return {
        service.name: tuple(sorted({e.port for e in service.expose if e.protocol is not Protocol.UDP}))
        for service in section.services
    }


def unfit(section: Section, capabilities: frozenset[str]) -> str:
    """Why this provider can never run the section; empty when it can."""
    if IMAGES_OPTIONAL in capabilities:
        for service in section.services:
            if not service.command and not service.args:
                return (
                    f"service {service.name} has neither command nor args: this provider runs processes of its own "
                    "machine, not images"
                )
    if not capabilities & {NETWORK_AGENT, NETWORK_SELF}:
        for service in section.services:
            if service.expose:
                return f"service {service.name} exposes a port, and this provider's runtime has no network"
    for service in section.services:
        if any(expose.protocol is Protocol.UDP for expose in service.expose):
            return f"service {service.name} exposes a UDP port, which this provider cannot carry"
    return ""
