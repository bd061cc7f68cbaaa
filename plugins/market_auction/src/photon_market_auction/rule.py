"""The auction: open bids, and the lowest price wins when the window ends.

Ties go to the earlier bid. Bids above the order's price are refused. Everybody sees everybody's bid, so the price paid
is the price bid: a second price would be worth nothing, a tenant could bid against itself just above the lowest.

When the order holds as many bids as it may, a new bid takes the place of the worst one if it is lower, and is refused
otherwise: so nobody can shut others out by filling the order with dear bids.
"""

from __future__ import annotations

from typing import assert_never

from photon_core.api.market import (
    Accept,
    BidOffered,
    BidStatus,
    BidView,
    BidWithdrawn,
    CloseUnmatched,
    Decision,
    Evict,
    MarketEvent,
    MarketPayload,
    Match,
    OrderView,
    Refuse,
    SetPhase,
)

PHASE = "bidding"


class Auction:
    """Remembers nothing: what it needs is in the order that it is shown."""

    def open(self, order: OrderView) -> tuple[Decision, ...]:
        return (SetPhase(phase=PHASE, deadline_ms=order.opened_ms + order.window_ms),)

    def on_message(self, order: OrderView, event: MarketEvent, now_ms: int) -> tuple[Decision, ...]:
        del now_ms
        match event:
            case BidOffered():
                return self._offered(order, event)
            case BidWithdrawn():
                return (Accept(),)
            case MarketPayload():
                return (Refuse(reason="an auction has no messages of its own"),)
            case _:
                assert_never(event)

    def on_due(self, order: OrderView, now_ms: int) -> tuple[Decision, ...]:
        del now_ms
        bids = _open_bids(order)
        if not bids:
            return (CloseUnmatched(reason="no bid came within the window"),)
        best = min(bids, key=_rank)
        return (Match(provider=best.provider, price=best.price),)

    def _offered(self, order: OrderView, offer: BidOffered) -> tuple[Decision, ...]:
        if offer.price > order.max_price:
            return (Refuse(reason=f"the price is {offer.price}, the order's limit is {order.max_price}"),)
        bids = _open_bids(order)
        if len(bids) < order.bids_max:
            return (Accept(),)
        worst = max(bids, key=_rank)
        if offer.price >= worst.price:
            return (Refuse(reason=f"the order is full, and its worst bid is {worst.price}, this one {offer.price}"),)
        return (Accept(), Evict(provider=worst.provider, reason=f"outbid at {offer.price} with the order full"))


def _open_bids(order: OrderView) -> list[BidView]:
    return [bid for bid in order.bids if bid.status is BidStatus.OPEN]


def _rank(bid: BidView) -> tuple[int, int, bytes]:
    """The best first: price, then who came first, then the lower id."""
    return bid.price, bid.serial, bid.provider
