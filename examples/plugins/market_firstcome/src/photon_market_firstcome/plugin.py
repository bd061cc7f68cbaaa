"""A market rule in one file, as a third party would write it: the first bid within the tenant's price wins.

It differs from Photon's own `market_posted` in what the tenant pays: here the posted price, whatever was bid.
"""

from __future__ import annotations

from collections.abc import Iterable

from photon_core.api.market import (
    Accept,
    BidOffered,
    BidWithdrawn,
    CloseUnmatched,
    Decision,
    MarketContext,
    MarketEvent,
    MarketProvider,
    Match,
    OrderView,
    Refuse,
    SetPhase,
)
from photon_core.hooks import hookimpl


class FirstCome:
    """A pure machine: every method sees the order and answers with decisions; core moves the money."""

    def __init__(self, context: MarketContext) -> None:
        """Nothing to configure."""

    def open(self, order: OrderView) -> tuple[Decision, ...]:
        return (SetPhase(phase="waiting", deadline_ms=order.opened_ms + order.window_ms),)

    def on_message(self, order: OrderView, event: MarketEvent, now_ms: int) -> tuple[Decision, ...]:
        del now_ms
        if isinstance(event, BidOffered):
            if event.price > order.max_price:
                return (Refuse(reason=f"asked {event.price}, the tenant pays {order.max_price} at most"),)
            return (Accept(), Match(provider=event.provider, price=order.max_price))
        if isinstance(event, BidWithdrawn):
            return (Accept(),)
        return (Refuse(reason="this market has no messages of its own"),)

    def on_due(self, order: OrderView, now_ms: int) -> tuple[Decision, ...]:
        del order, now_ms
        return (CloseUnmatched(reason="nobody came"),)


@hookimpl
def photon_register_market() -> Iterable[MarketProvider]:
    yield MarketProvider(name="firstcome", summary="the first bid wins, at the posted price", factory=FirstCome)
