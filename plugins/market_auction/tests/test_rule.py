"""The lowest open bid wins when the window ends."""

from attrs import evolve

from photon_core.api.ids import OrderId
from photon_core.api.market import (
    Accept,
    BidOffered,
    BidStatus,
    BidView,
    CloseUnmatched,
    Evict,
    Match,
    OrderView,
    Refuse,
    SetPhase,
)
from photon_market_auction.rule import Auction

ORDER = OrderView(id=OrderId(1, 0, 0), max_price=100, collateral_uptn=5, opened_ms=1_000, window_ms=500, bids_max=3)
A, B, C, D = (bytes([n]) * 20 for n in range(1, 5))


def bid(provider: bytes, price: int, serial: int, status: BidStatus = BidStatus.OPEN) -> BidView:
    return BidView(provider=provider, price=price, collateral_uptn=5, placed_ms=1_000, serial=serial, status=status)


def with_bids(*bids: BidView) -> OrderView:
    return evolve(ORDER, bids=bids)


def test_the_window_is_the_orders() -> None:
    assert Auction().open(ORDER) == (SetPhase(phase="bidding", deadline_ms=1_500),)


def test_the_lowest_price_wins() -> None:
    order = with_bids(bid(A, 30, 0), bid(B, 20, 1), bid(C, 25, 2))
    assert Auction().on_due(order, 1_500) == (Match(provider=B, price=20),)


def test_of_equal_prices_the_earlier_wins_whatever_its_id() -> None:
    order = with_bids(bid(B, 20, 0), bid(A, 20, 1))
    assert Auction().on_due(order, 1_500) == (Match(provider=B, price=20),)


def test_bids_that_are_not_open_do_not_count() -> None:
    order = with_bids(bid(A, 1, 0, BidStatus.WITHDRAWN), bid(B, 2, 1, BidStatus.LOST), bid(C, 90, 2))
    assert Auction().on_due(order, 1_500) == (Match(provider=C, price=90),)
    assert isinstance(Auction().on_due(with_bids(bid(A, 1, 0, BidStatus.LOST)), 1_500)[0], CloseUnmatched)


def test_a_price_at_the_limit_is_taken_and_one_above_refused_with_both_values() -> None:
    assert Auction().on_message(ORDER, BidOffered(provider=A, price=100), 1_000) == (Accept(),)
    (refused,) = Auction().on_message(ORDER, BidOffered(provider=A, price=101), 1_000)
    assert isinstance(refused, Refuse)
    assert "101" in refused.reason
    assert "100" in refused.reason


def test_when_full_a_lower_bid_takes_the_place_of_the_worst() -> None:
    full = with_bids(bid(A, 30, 0), bid(B, 30, 1), bid(C, 20, 2))
    decisions = Auction().on_message(full, BidOffered(provider=D, price=29), 1_200)
    assert decisions[0] == Accept()
    assert isinstance(decisions[1], Evict)
    assert decisions[1].provider == B  # of equal prices, the later


def test_when_full_an_equal_bid_is_refused() -> None:
    full = with_bids(bid(A, 30, 0), bid(B, 30, 1), bid(C, 20, 2))
    (refused,) = Auction().on_message(full, BidOffered(provider=D, price=30), 1_200)
    assert isinstance(refused, Refuse)
