"""Entry point of the plugin `market_auction`."""

from __future__ import annotations

from collections.abc import Iterable

from photon_core.api.market import Market, MarketContext, MarketProvider
from photon_core.hooks import hookimpl


def make(context: MarketContext) -> Market:
    """The rule; it has nothing to configure."""
    from photon_market_auction.rule import Auction  # noqa: PLC0415  # a hook's module imports nothing but records

    del context
    return Auction()


@hookimpl
def photon_register_market() -> Iterable[MarketProvider]:
    yield MarketProvider(name="auction", summary="open bids, the lowest price wins when the window ends", factory=make)
