"""Who was turned away: which workload tried to reach what. Bounded, for the tenant's status."""

from __future__ import annotations

from attrs import frozen

from photon_core.peers.methods import RefusedAttempt


@frozen(order=True)
class Target:
    service: str
    address: str
    port: int


class RefusedLog:
    """Counts per target; beyond `targets_max` no new ones are taken."""

    def __init__(self, targets_max: int) -> None:
        self._targets_max = targets_max
        self._counts: dict[Target, int] = {}

    def add(self, target: Target) -> None:
        if target in self._counts or len(self._counts) < self._targets_max:
            self._counts[target] = self._counts.get(target, 0) + 1

    def report(self, names: dict[str, str]) -> tuple[RefusedAttempt, ...]:
        """`names`: address to service name, of the lease."""
        return tuple(
            RefusedAttempt(
                service=t.service, address=t.address, port=t.port, name=names.get(t.address, ""), count=count
            )
            for t, count in sorted(self._counts.items())
        )
