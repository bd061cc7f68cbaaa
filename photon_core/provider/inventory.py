"""What this provider still has to offer: the runtime's capacity, less what is leased, less what is bid for.

An open bid counts in full, since it may win in the next block; so a provider never owes more than it has. A lease that
is closing counts until the chain has closed it: its instances may still be running.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from photon_core.api.resources import NOTHING, Resources, ResourceUnit, total


@frozen(kw_only=True)
class Inventory:
    capacity: Resources
    leased: Resources
    bid_for: Resources

    @property
    def free(self) -> Resources:
        """Never negative: a machine that shrank below what it promised has nothing left, not less."""
        return Resources(
            cpu_milli=max(0, self.capacity.cpu_milli - self.leased.cpu_milli - self.bid_for.cpu_milli),
            memory_bytes=max(0, self.capacity.memory_bytes - self.leased.memory_bytes - self.bid_for.memory_bytes),
            storage_bytes=max(0, self.capacity.storage_bytes - self.leased.storage_bytes - self.bid_for.storage_bytes),
        )


def take_stock(
    capacity: Resources,
    leases: Iterable[tuple[ResourceUnit, ...]],
    bids: Iterable[tuple[ResourceUnit, ...]],
) -> Inventory:
    """`leases` and `bids` are the units of each lease that is not closed and of each open bid."""
    return Inventory(capacity=capacity, leased=_sum(leases), bid_for=_sum(bids))


def _sum(groups: Iterable[tuple[ResourceUnit, ...]]) -> Resources:
    everything = NOTHING
    for units in groups:
        everything = everything.plus(total(units))
    return everything
