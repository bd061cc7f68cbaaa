"""The first bid at or under the posted price wins at once."""

import pytest

from photon_core.api.ids import OrderId
from photon_core.api.market import Accept, BidOffered, CloseUnmatched, Match, OrderView, Refuse, SetPhase
from photon_market_posted.plugin import PostedConfig
from photon_market_posted.rule import Posted

ORDER = OrderView(id=OrderId(1, 0, 0), max_price=100, collateral_uptn=5, opened_ms=1_000, window_ms=500)
A = b"\x01" * 20


def test_the_first_bid_is_matched_at_its_own_price() -> None:
    decisions = Posted(patience_windows=2).on_message(ORDER, BidOffered(provider=A, price=60), 1_100)
    assert decisions == (Accept(), Match(provider=A, price=60))


def test_a_bid_above_the_posted_price_is_refused() -> None:
    (refused,) = Posted(patience_windows=2).on_message(ORDER, BidOffered(provider=A, price=101), 1_100)
    assert isinstance(refused, Refuse)


def test_an_order_without_a_bid_ends_after_its_patience() -> None:
    rule = Posted(patience_windows=3)
    assert rule.open(ORDER) == (SetPhase(phase="posted", deadline_ms=2_500),)
    assert isinstance(rule.on_due(ORDER, 2_500)[0], CloseUnmatched)


def test_patience_is_at_least_one_window() -> None:
    with pytest.raises(ValueError, match="patience_windows"):
        PostedConfig(patience_windows=0)
