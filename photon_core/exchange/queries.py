"""Questions that people and agents ask of the newest state, answered from records and listings in bounded pages.

Everything takes the reader to look into, so that a node can answer from a snapshot while the next block is executed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from photon_core.api.ids import Address, GroupId, OrderId
from photon_core.exchange import keys, settlement
from photon_core.exchange.listings import PAGE_MAX, Listings
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import (
    Account,
    Bid,
    ChainStatus,
    Deployment,
    Group,
    Lease,
    LeaseState,
    Order,
    Provider,
    ValidatorRecord,
)
from photon_core.exchange.state import Reader, decode, read_all


def _record(reader: Reader, key: bytes) -> Any:
    data = reader.get(key)
    return None if data is None else decode(key, data)


def account(reader: Reader, address: Address) -> Account:
    """An account that nobody has ever paid is the empty one."""
    return _record(reader, keys.account_key(address)) or Account()


def status(reader: Reader) -> ChainStatus:
    found: ChainStatus = _record(reader, keys.STATUS_KEY)
    return found


def parameters(reader: Reader) -> Parameters:
    found: Parameters = _record(reader, keys.PARAMETERS_KEY)
    return found


def validators(reader: Reader) -> tuple[ValidatorRecord, ...]:
    return tuple(record for _, record in read_all(reader, keys.VALIDATOR))


def provider(reader: Reader, address: Address) -> Provider | None:
    found: Provider | None = _record(reader, keys.provider_key(address))
    return found


def provider_of_operator(reader: Reader, operator: Address) -> Provider | None:
    found = _record(reader, keys.operator_key(operator))
    return None if found is None else provider(reader, found.provider)


def deployment(reader: Reader, number: int) -> Deployment | None:
    found: Deployment | None = _record(reader, keys.deployment_key(number))
    return found


def group(reader: Reader, group_id: GroupId) -> Group | None:
    found: Group | None = _record(reader, keys.group_key(group_id))
    return found


def groups(reader: Reader, of: Deployment) -> tuple[Group, ...]:
    found = (group(reader, GroupId(of.id, index)) for index in range(of.groups))
    return tuple(g for g in found if g is not None)


def order(reader: Reader, order_id: OrderId) -> Order | None:
    found: Order | None = _record(reader, keys.order_key(order_id))
    return found


def newest_order(reader: Reader, of: Group) -> Order | None:
    """None before the first."""
    return order(reader, OrderId(of.deployment, of.index, of.orders - 1)) if of.orders else None


def bids(reader: Reader, of: Order) -> tuple[Bid, ...]:
    """Those that the order holds, in the order in which they came."""
    found = (_record(reader, keys.bid_key(of.id, bidder)) for bidder in of.bidders)
    return tuple(bid for bid in found if bid is not None)


def lease(reader: Reader, lease_id: OrderId) -> Lease | None:
    found: Lease | None = _record(reader, keys.lease_key(lease_id))
    return found


def leases_of_deployment(reader: Reader, number: int) -> tuple[Lease, ...]:
    """All that it ever had, in order."""
    prefix = keys.LEASE + keys.deployment_key(number)[1:]
    return tuple(decode(key, data) for key, data in reader.scan(prefix))


# --- pages -----------------------------------------------------------------------------------------------------------


def deployments_of(
    reader: Reader, listings: Listings, owner: Address, after: int | None = None, limit: int = PAGE_MAX
) -> tuple[Deployment, ...]:
    return _found(deployment(reader, number) for number in listings.deployments.page(owner, after, limit))


def leases_of(
    reader: Reader, listings: Listings, provider_id: Address, *, closed: bool = False, after: OrderId | None = None,
    limit: int = PAGE_MAX,
) -> tuple[Lease, ...]:
    """A provider's active and closing leases, or its closed ones."""
    listing = listings.closed_leases if closed else listings.leases
    return _found(lease(reader, lease_id) for lease_id in listing.page(provider_id, after, limit))


def open_orders(
    reader: Reader, listings: Listings, after: OrderId | None = None, limit: int = PAGE_MAX
) -> tuple[Order, ...]:
    return _found(order(reader, order_id) for order_id in listings.open_orders.page(None, after, limit))


def providers(
    reader: Reader, listings: Listings, after: Address | None = None, limit: int = PAGE_MAX
) -> tuple[Provider, ...]:
    return _found(provider(reader, address) for address in listings.providers.page(None, after, limit))


def _found(records: Iterable[Any]) -> tuple[Any, ...]:
    """A listing may be a block ahead of a snapshot: what is not there yet is left out."""
    return tuple(record for record in records if record is not None)


# --- money -----------------------------------------------------------------------------------------------------------


def confirmed_ms(reader: Reader, of: Lease) -> int:
    """Up to when the lease is confirmed, its provider's newest confirmation taken into account."""
    owner = provider(reader, of.provider)
    if owner is None or of.state is not LeaseState.ACTIVE:
        return of.confirmed_ms
    return settlement.confirmed_until_ms(of, owner)


def earned_uptn(reader: Reader, of: Lease) -> int:
    """What the lease has earned so far, paid out or not."""
    owner = provider(reader, of.provider)
    return of.paid_uptn if owner is None else settlement.earned_now_uptn(of, owner)


def held_uptn(reader: Reader, of: Deployment) -> int:
    """What is still in escrow: not yet paid to anybody, earned or not."""
    active = (x for x in leases_of_deployment(reader, of.id) if x.state is LeaseState.ACTIVE)
    return settlement.deposit_uptn(of) - sum(x.paid_uptn for x in active)
