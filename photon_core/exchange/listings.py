"""Which ids belong to whom: a node's answers to "my deployments", "my leases", "what is open". Derived, never state.

Kept right by watching every write, as the schedule is. Each list is in order of ids and is read in pages.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from photon_core.api.ids import Address, OrderId
from photon_core.exchange import keys, state
from photon_core.exchange.records import Deployment, Lease, LeaseState, Order, OrderState, Provider

K = TypeVar("K")
PAGE_MAX = 500
"""Ids in one page: some 100 KiB of records as JSON."""


class Listing(Generic[K]):
    """Ids by what they belong to."""

    def __init__(self) -> None:
        self._lists: dict[K, list[Any]] = {}

    def move(self, before: tuple[K, Any] | None, after: tuple[K, Any] | None) -> None:
        """An id leaves the list of `before` for that of `after`; None is no list."""
        if before == after:
            return
        if before is not None:
            mine = self._lists[before[0]]
            mine.pop(bisect_left(mine, before[1]))
            if not mine:
                del self._lists[before[0]]
        if after is not None:
            insort(self._lists.setdefault(after[0], []), after[1])

    def page(self, owner: K, after: Any = None, limit: int = PAGE_MAX) -> tuple[Any, ...]:
        """At most `limit` ids, those after `after`."""
        mine = self._lists.get(owner, [])
        start = 0 if after is None else bisect_right(mine, after)
        return tuple(mine[start : start + min(limit, PAGE_MAX)])


class Listings:
    def __init__(self) -> None:
        self.deployments = Listing[Address]()
        """Of each owner, in every state."""
        self.leases = Listing[Address]()
        """Of each provider, active and closing."""
        self.closed_leases = Listing[Address]()
        self.open_orders = Listing[None]()
        self.providers = Listing[None]()
        self._watched: dict[bytes, tuple[Callable[[Any, Any], None], ...]] = {
            keys.DEPLOYMENT: (_mover(self.deployments, _by_owner),),
            keys.LEASE: (_mover(self.leases, _by_provider), _mover(self.closed_leases, _by_provider_closed)),
            keys.ORDER: (_mover(self.open_orders, _open_order),),
            keys.PROVIDER: (_mover(self.providers, _any_provider),),
        }

    def rebuild(self, reader: state.Reader) -> None:
        for letter in sorted(self._watched):
            for key, record in state.read_all(reader, letter):
                self.watch(key, None, record)

    def watch(self, key: bytes, before: Any, after: Any) -> None:
        """A record under `key` has changed from `before` to `after`; None where there was or is none."""
        for move in self._watched.get(key[:1], ()):
            move(before, after)


def _mover(listing: Listing[K], place: Callable[[Any], tuple[K, Any] | None]) -> Callable[[Any, Any], None]:
    def move(before: Any, after: Any) -> None:
        listing.move(None if before is None else place(before), None if after is None else place(after))

    return move


def _by_owner(deployment: Deployment) -> tuple[Address, int]:
    return deployment.owner, deployment.id


def _by_provider(lease: Lease) -> tuple[Address, OrderId] | None:
    return None if lease.state is LeaseState.CLOSED else (lease.provider, lease.id)


def _by_provider_closed(lease: Lease) -> tuple[Address, OrderId] | None:
    return (lease.provider, lease.id) if lease.state is LeaseState.CLOSED else None


def _open_order(order: Order) -> tuple[None, OrderId] | None:
    return (None, order.id) if order.state is OrderState.OPEN else None


def _any_provider(provider: Provider) -> tuple[None, Address]:
    return None, provider.id
