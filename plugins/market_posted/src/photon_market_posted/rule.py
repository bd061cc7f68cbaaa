"""The posted price: the first bid at or under the tenant's price is matched at once.

Quick, and right where providers compete by being there rather than by price. The tenant pays what was bid, which may be
less than what was posted. An order on which nobody bid within `patience_windows` bidding windows ends, and core orders
the group again with its back-off: so that what a group waits for is seen, and an order that nobody serves does not stay
open for ever.
"""

from __future__ import annotations

from typing import assert_never

from attrs import frozen

from photon_core.api.market import (
    Accept,
    BidOffered,
    BidWithdrawn,
    CloseUnmatched,
    Decision,
    MarketEvent,
    MarketPayload,
    Match,
    OrderView,
    Refuse,
    SetPhase,
)

PHASE = "posted"


@frozen(kw_only=True)
class Posted:
    """Matches at once, so that an order of this market never holds an open bid."""

    patience_windows: int

    def open(self, order: OrderView) -> tuple[Decision, ...]:
        return (SetPhase(phase=PHASE, deadline_ms=order.opened_ms + self.patience_windows * order.window_ms),)

    def on_message(self, order: OrderView, event: MarketEvent, now_ms: int) -> tuple[Decision, ...]:
        del now_ms
        match event:
            case BidOffered():
                if event.price > order.max_price:
                    return (Refuse(reason=f"the price is {event.price}, the order's limit is {order.max_price}"),)
                return (Accept(), Match(provider=event.provider, price=event.price))
            case BidWithdrawn():
                return (Accept(),)
            case MarketPayload():
                return (Refuse(reason="a posted price has no messages of its own"),)
            case _:
                assert_never(event)

    def on_due(self, order: OrderView, now_ms: int) -> tuple[Decision, ...]:
        del order, now_ms
        return (CloseUnmatched(reason="no bid came at the posted price"),)
