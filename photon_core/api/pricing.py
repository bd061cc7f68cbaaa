"""Kind `pricing`: how a provider prices an order. Runs in the agent only; no two providers need to agree."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from .ids import OrderId
from .plugin import PluginRecord
from .resources import ResourceUnit

PRICE_PER_UPTN = 1_000_000
"""Prices count in 10⁻⁶ uptn per hour."""


@frozen(kw_only=True)
class PricingRequest:
    """`max_price` is the most the tenant pays for the whole group, in 10⁻⁶ uptn per hour."""

    order: OrderId
    units: tuple[ResourceUnit, ...]
    attributes: tuple[tuple[str, str], ...]
    max_price: int


@frozen(kw_only=True)
class Quote:
    """`price` for the whole group, 10⁻⁶ uptn per hour."""

    price: int


@frozen(kw_only=True)
class Decline:
    """No bid; the tenant can see the reason."""

    reason: str


class Pricing(Protocol):
    def quote(self, request: PricingRequest) -> Quote | Decline:
        """Must be quick and must not raise for any request; a quote above `max_price` is not sent."""
        ...


@frozen(kw_only=True)
class PricingContext:
    config: object


PricingProvider = PluginRecord[PricingContext, Pricing]
