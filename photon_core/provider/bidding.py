"""Whether to bid on an order, and at which price. Pure: what is known goes in, a bid or the reason for none comes out.

The reason is for the tenant as much as for the operator ("why does nobody bid?"), so the first thing that stands in the
way is named with both values. Cheap checks that nobody can mend come first, money next, the pricing plugin last.

What cannot be judged here: which services the group has and what they run. That is in the manifest, which only the
winner sees. A runtime that runs commands instead of images (IMAGES_OPTIONAL) therefore bids on what it may find that it
cannot run; then it closes the lease as a fault, which costs nobody anything and leaves this provider out of the
group's next orders until the manifest changes (`reconcile`).
"""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from photon_core.api.ids import Address
from photon_core.api.pricing import Decline, Pricing, PricingRequest, Quote
from photon_core.api.resources import Resources, max_price, total
from photon_core.api.runtime import NETWORK_AGENT, NETWORK_SELF
from photon_core.exchange.records import GroupSpec, OrderState
from photon_core.node.views import OrderDetail

from .inventory import Inventory


class Why(StrEnum):
    """Why there is no bid; stable words for scripts."""

    NOT_OPEN = "not-open"
    ALREADY_BID = "already-bid"
    NOT_ALLOWED = "not-allowed"
    EXCLUDED = "excluded"
    ATTRIBUTES = "attributes"
    NETWORK = "network"
    CAPACITY = "capacity"
    COLLATERAL = "collateral"
    BALANCE = "balance"
    PRICE = "price"
    DECLINED = "declined"
    REFUSED = "refused"
    """The chain refused the bid; used by the bidder, not here."""


@frozen(kw_only=True)
class Offer:
    price: int


@frozen(kw_only=True)
class NoBid:
    why: Why
    reason: str


@frozen(kw_only=True)
class Bidder:
    """What is known of ourselves. `spendable_uptn` is the operator's balance less what it keeps for fees."""

    provider: Address
    attributes: tuple[tuple[str, str], ...]
    capabilities: frozenset[str]
    spendable_uptn: int
    max_collateral_uptn: int


def decide(order: OrderDetail, bidder: Bidder, inventory: Inventory, pricing: Pricing) -> Offer | NoBid:
    """An Offer within the order's price, or the first reason against one."""
    return (
        _standing(order, bidder)
        or _fitness(order.group.spec, bidder, inventory)
        or _money(order, bidder)
        or _price(order, bidder, pricing)
    )


def _standing(detail: OrderDetail, bidder: Bidder) -> NoBid | None:
    if detail.order.state is not OrderState.OPEN:
        return NoBid(why=Why.NOT_OPEN, reason=f"the order is {detail.order.state.name.lower()}")
    if bidder.provider in detail.order.bidders:
        return NoBid(why=Why.ALREADY_BID, reason="this provider has bid on it before")
    allowed = detail.group.spec.allowed_providers
    if allowed and bidder.provider not in allowed:
        return NoBid(
            why=Why.NOT_ALLOWED, reason=f"the tenant allows {len(allowed)} providers, and this is none of them"
        )
    for excluded in detail.group.excluded:
        if excluded.provider == bidder.provider:
            why = excluded.reason.name.lower().replace("_", "-")
            return NoBid(
                why=Why.EXCLUDED,
                reason=f"this provider closed an earlier lease of the group ({why}); out until an update",
            )
    return None


def _fitness(spec: GroupSpec, bidder: Bidder, inventory: Inventory) -> NoBid | None:
    if missing := missing_attributes(spec.attributes, bidder.attributes):
        return NoBid(why=Why.ATTRIBUTES, reason="; ".join(missing)[:400])
    instances = sum(unit.count for unit in spec.units)
    if instances > 1 and not bidder.capabilities & {NETWORK_AGENT, NETWORK_SELF}:
        return NoBid(
            why=Why.NETWORK, reason=f"{instances} instances may connect, and this provider's runtime has no network"
        )
    need = total(spec.units)
    if lacking := need.lacking_in(inventory.free):
        words = (f"{name} {_amount(need, name)} wanted, {_amount(inventory.free, name)} free" for name in lacking)
        return NoBid(why=Why.CAPACITY, reason="; ".join(words))
    return None


def missing_attributes(wanted: tuple[tuple[str, str], ...], offered: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """What the order demands and the provider does not say of itself; exact values."""
    have = dict(offered)
    return tuple(
        f"{key} must be {value!r}, " + (f"here it is {have[key]!r}" if key in have else "here it is not given")
        for key, value in wanted
        if have.get(key) != value
    )


def _money(detail: OrderDetail, bidder: Bidder) -> NoBid | None:
    collateral_uptn = detail.order.collateral_uptn
    if collateral_uptn > bidder.max_collateral_uptn:
        return NoBid(
            why=Why.COLLATERAL,
            reason=f"collateral {collateral_uptn} uptn, this provider risks at most {bidder.max_collateral_uptn}",
        )
    if collateral_uptn > bidder.spendable_uptn:
        return NoBid(
            why=Why.BALANCE, reason=f"collateral {collateral_uptn} uptn, the operator can spend {bidder.spendable_uptn}"
        )
    return None


def _price(detail: OrderDetail, bidder: Bidder, pricing: Pricing) -> Offer | NoBid:
    spec = detail.group.spec
    limit = min(detail.order.max_price, max_price(spec.units))
    request = PricingRequest(
        order=detail.order.id, units=spec.units, attributes=bidder.attributes, max_price=detail.order.max_price
    )
    match pricing.quote(request):
        case Quote(price=price) if price > limit:
            return NoBid(why=Why.PRICE, reason=f"price {price}, the tenant pays at most {limit} (10⁻⁶ uptn per hour)")
        case Quote(price=price):
            return Offer(price=price)
        case Decline(reason=reason):
            return NoBid(why=Why.DECLINED, reason=reason[:400])


def _amount(resources: Resources, name: str) -> str:
    match name:
        case "cpu":
            return f"{resources.cpu_milli}m"
        case "memory":
            return f"{resources.memory_bytes} B"
        case _:
            return f"{resources.storage_bytes} B"
