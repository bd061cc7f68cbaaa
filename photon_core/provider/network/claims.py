"""Hostnames and ports that leases hold at this provider. Pure; the fabric keeps the newest and has it saved.

A hostname belongs to the first lease that holds it, until that lease is over: a second claim is refused with the
reason, whatever happens in between (a restart of the agent included, which is why claims are on disk). Names under
`photon.internal` are given, never claimed: each lease has its own by construction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve, field, frozen

from photon_core.api.ids import LeaseId

from .grants import INTERNAL_ZONE

PortKey = tuple[LeaseId, str, int]
"""Lease, service, the port as others see it."""


@frozen(kw_only=True)
class Claims:
    hostnames: Mapping[str, LeaseId] = field(factory=dict)
    ports: Mapping[PortKey, int] = field(factory=dict)


def claim_hostnames(claims: Claims, lease: LeaseId, names: Iterable[str]) -> tuple[Claims, tuple[str, ...]]:
    """The claims after `lease` asked for `names` (and gave up all others), and why some were refused."""
    wanted = tuple(dict.fromkeys(names))
    held = {name: holder for name, holder in claims.hostnames.items() if holder != lease}
    refused = []
    for name in wanted:
        if name.endswith("." + INTERNAL_ZONE) and not name.endswith(f".{lease.label}.{INTERNAL_ZONE}"):
            refused.append(f"hostname {name} is refused: names under {INTERNAL_ZONE} are given by the provider")
        elif name in held:
            refused.append(f"hostname {name} is refused: another lease of this provider holds it")
        else:
            held[name] = lease
    return evolve(claims, hostnames=held), tuple(refused)


def keep_port(claims: Claims, key: PortKey, port: int) -> Claims:
    return evolve(claims, ports={**claims.ports, key: port})


def retain(claims: Claims, leases: Iterable[LeaseId]) -> Claims:
    """Without what belongs to leases that are over."""
    known = set(leases)
    return Claims(
        hostnames={name: lease for name, lease in claims.hostnames.items() if lease in known},
        ports={key: port for key, port in claims.ports.items() if key[0] in known},
    )


def without(claims: Claims, lease: LeaseId) -> Claims:
    holders = {*claims.hostnames.values(), *(key[0] for key in claims.ports)}
    return retain(claims, holders - {lease})


def to_json(claims: Claims) -> dict[str, object]:
    return {
        "hostnames": {name: str(lease) for name, lease in sorted(claims.hostnames.items())},
        "ports": [
            [str(lease), service, as_port, port] for (lease, service, as_port), port in sorted(claims.ports.items())
        ],
    }


def from_json(body: Mapping[str, object]) -> Claims:
    """ValueError, KeyError or TypeError for anything that `to_json` did not write."""
    hostnames, ports = body["hostnames"], body["ports"]
    if not isinstance(hostnames, dict) or not isinstance(ports, list):
        raise TypeError("hostnames is an object and ports a list")
    return Claims(
        hostnames={str(name): LeaseId.parse(lease) for name, lease in hostnames.items()},
        ports={(LeaseId.parse(lease), str(service), int(seen)): int(port) for lease, service, seen, port in ports},
    )
