"""Bids, orders, and what a market may and may not do."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from photon_core.api.ids import OrderId
from photon_core.api.market import (
    Accept,
    BidStatus,
    CloseUnmatched,
    Decision,
    Evict,
    ForfeitShare,
    MarketEvent,
    Match,
    OrderView,
    SetBidState,
    SetPhase,
    SetState,
)
from photon_core.exchange.events import BidEnded, OrderExpired, OrderOpened
from photon_core.exchange.market import MarketBroken
from photon_core.exchange.messages import (
    CloseDeployment,
    ConfirmLeases,
    CreateBid,
    MarketMessage,
    UpdateProvider,
    WithdrawBid,
)
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import UPTN_PER_PTN, DeploymentState, GroupState, OrderState
from photon_core.testing.exchange import FEE_FREE, LowestPrice, World, address, group_spec

PRICE = 10**12


@pytest.fixture
def world() -> World:
    world = World()
    world.register("alpha")
    world.register("beta")
    return world


def test_the_winner_gets_the_lease_and_the_losers_collateral_comes_back(world: World) -> None:
    before = world.balance("alpha-op")
    order = world.deploy()
    world.must("alpha-op", CreateBid(order=order, price=PRICE))
    world.must("beta-op", CreateBid(order=order, price=PRICE - 1))
    assert world.balance("alpha-op") == before - UPTN_PER_PTN
    world.pass_time(30_000)
    assert world.exchange.ledger.lease(order).provider == address("beta")
    assert world.exchange.ledger.lease(order).price == PRICE - 1
    assert world.balance("alpha-op") == before
    assert world.exchange.ledger.bid(order, address("alpha")).status is BidStatus.LOST


def test_a_bid_at_the_deadline_is_too_late(world: World) -> None:
    order = world.deploy()
    world.pass_time(29_999)
    assert world.send("alpha-op", CreateBid(order=order, price=PRICE)).code == "order-closed"


def test_withdrawing_costs_a_share_and_the_provider_may_bid_again(world: World) -> None:
    tenant, operator = world.balance("tenant"), world.balance("alpha-op")
    order = world.deploy()
    world.must("alpha-op", CreateBid(order=order, price=PRICE))
    assert world.send("alpha-op", CreateBid(order=order, price=PRICE)).code == "already-bid"
    world.must("alpha-op", WithdrawBid(order=order))
    share = UPTN_PER_PTN // 100
    assert world.balance("alpha-op") == operator - share
    assert world.balance("tenant") == tenant - 10 * UPTN_PER_PTN + share
    world.must("alpha-op", CreateBid(order=order, price=PRICE))
    assert world.exchange.ledger.bid(order, address("alpha")).serial == 1


def test_who_may_not_bid_is_told_why(world: World) -> None:
    demanding = world.deploy(group_spec(attributes=(("region", "eu"),)))
    closed = world.deploy(group_spec(allowed_providers=(address("beta"),)))
    dear = world.deploy(group_spec(collateral_uptn=2_000 * UPTN_PER_PTN))
    plain = world.deploy()
    codes = [
        world.send(sender, CreateBid(order=order, price=price)).code
        for sender, order, price in (
            ("alpha-op", demanding, PRICE),
            ("alpha-op", closed, PRICE),
            ("alpha-op", dear, PRICE),
            ("alpha-op", plain, 3 * PRICE),
            ("stranger", plain, PRICE),
            ("alpha", plain, PRICE),
            ("alpha-op", OrderId(99, 0, 0), PRICE),
        )
    ]
    assert codes == [
        "attributes-missing",
        "provider-not-allowed",
        "insufficient-funds",
        "market-refused",
        "not-a-provider",
        "not-a-provider",
        "not-found",
    ]
    world.must("alpha-op", UpdateProvider(provider=address("alpha"), attributes=(("region", "eu"), ("disk", "ssd"))))
    world.must("alpha-op", CreateBid(order=demanding, price=PRICE))
    world.must("beta-op", CreateBid(order=closed, price=PRICE))


def test_an_order_nobody_wants_is_opened_again_with_growing_delays_and_leaves_no_trail(world: World) -> None:
    order = world.deploy()
    opened = []
    for sequence in range(5):
        current = OrderId(order.deployment, 0, sequence)
        opened.append(world.exchange.ledger.order(current).opened_ms)
        world.pass_time(30_000 + (1_000 << sequence))
        assert world.exchange.ledger.find_order(current) is None  # forgotten when the next was opened
    gaps = [later - earlier - 30_000 for earlier, later in pairwise(opened)]
    assert gaps == [1_000, 2_000, 4_000, 8_000]
    assert sum(isinstance(event, OrderExpired) for event in world.events) == 5


def test_the_account_a_provider_is_named_after_does_not_speak_for_it(world: World) -> None:
    """It may be sold, payee and operator changed; its first key must not pass for it in a market's later phases."""
    order = world.deploy()
    assert world.send("alpha", MarketMessage(order=order, payload=b"")).code == "not-allowed"
    assert world.send("alpha-op", MarketMessage(order=order, payload=b"")).code == "market-refused"


def test_ordering_again_what_nobody_wants_is_paid_out_of_the_deposit_until_it_is_spent() -> None:
    world = World(Parameters(min_fee_uptn=1_000, fee_per_byte_uptn=0))
    free = world.deploy(group_spec(price=0), deposit_uptn=2_500)
    proposer, tenant = world.balance("validator"), world.balance("tenant")
    for _ in range(20):
        world.pass_time(15_000)
    deployment = world.exchange.ledger.deployment(free.deployment)
    assert deployment.state is DeploymentState.CLOSED
    assert [e.fee_uptn for e in world.events if isinstance(e, OrderOpened)] == [0, 1_000, 1_000]
    assert world.balance("validator") == proposer + 2_000
    assert world.balance("tenant") == tenant + 500
    assert world.exchange.next_due_ms() is None


def test_an_order_opened_again_takes_nothing_that_a_lease_has_earned() -> None:
    """The fee comes out of what no other group of the deployment has used, and brings the end of the funds nearer."""
    world = World(Parameters(min_fee_uptn=30_000, fee_per_byte_uptn=0, manifest_timeout_ms=86_400_000))
    world.register("alpha")
    hour = 3_600 * 10**9  # one uptn per millisecond
    dear = group_spec(price=hour)
    order = world.deploy(dear, group_spec(price=0), deposit_uptn=86_600_000)
    world.must("alpha-op", CreateBid(order=order, price=hour))
    world.pass_time(30_000)
    before = world.exchange.ledger.deployment(order.deployment).funds_due_ms
    world.must("alpha-op", ConfirmLeases(height=world.exchange.height), step_ms=2_000)
    after = world.exchange.ledger.deployment(order.deployment).funds_due_ms
    assert before is not None
    assert after is not None
    assert before - after in {30_000, 60_000}


def test_closing_an_order_under_bids_pays_each_bidder_the_least_fee() -> None:
    world = World(Parameters(min_fee_uptn=1_000, fee_per_byte_uptn=0))
    world.register("alpha")
    world.register("beta")
    order = world.deploy()
    for name in ("alpha-op", "beta-op"):
        world.must(name, CreateBid(order=order, price=PRICE))
    tenant, operator = world.balance("tenant"), world.balance("alpha-op")
    world.must("tenant", CloseDeployment(deployment=order.deployment))
    assert world.balance("alpha-op") == operator + UPTN_PER_PTN + 1_000
    assert world.balance("tenant") == tenant + 10 * UPTN_PER_PTN - 2 * 1_000 - 1_000
    assert world.exchange.ledger.order(order).state is OrderState.CLOSED
    assert world.exchange.ledger.group(order.group_id).state is GroupState.CLOSED


def test_a_full_order_refuses_what_its_market_makes_no_place_for() -> None:
    world = World(Parameters(min_fee_uptn=0, fee_per_byte_uptn=0, bids_per_order=1))
    world.register("alpha")
    world.register("beta")
    order = world.deploy()
    world.must("alpha-op", CreateBid(order=order, price=PRICE))
    before = world.balance("beta-op")
    assert world.send("beta-op", CreateBid(order=order, price=1)).code == "order-full"
    assert world.balance("beta-op") == before


# --- markets that decide other things --------------------------------------------------------------------------------


class Scripted(LowestPrice):
    """Decides what the test says; a decision may be made of the order."""

    def __init__(self, on_bid: Callable[[OrderView], tuple[Decision, ...]]) -> None:
        self.on_bid = on_bid

    def on_message(self, order: OrderView, event: MarketEvent, now_ms: int) -> tuple[Decision, ...]:
        return self.on_bid(order)


def bid_in_scripted(*decisions: Decision) -> World:
    world = World(FEE_FREE, market_for=lambda _rule: Scripted(lambda _order: decisions))
    world.register("alpha")
    order = world.deploy()
    world.send("alpha-op", CreateBid(order=order, price=PRICE, payload=b"sealed"))
    return world


ALPHA = address("alpha")
ORDER = OrderId(1, 0, 0)


def test_a_match_in_the_same_decision_makes_the_lease_at_once() -> None:
    world = bid_in_scripted(Accept(), Match(provider=ALPHA, price=5))
    assert world.exchange.ledger.lease(ORDER).price == 5


def test_a_markets_memory_is_kept_with_order_and_bid() -> None:
    world = bid_in_scripted(
        Accept(bid_state=b"a"),
        SetState(state=b"o"),
        SetBidState(provider=ALPHA, state=b"b"),
        SetPhase(phase="reveal", deadline_ms=99_999),
    )
    order = world.exchange.ledger.order(ORDER)
    assert (order.market_state, order.phase, order.deadline_ms) == (b"o", "reveal", 99_999)
    assert world.exchange.ledger.bid(ORDER, ALPHA).market_state == b"b"


def test_a_forfeited_share_goes_to_the_tenant_and_the_bid_is_lost() -> None:
    world = bid_in_scripted(Accept(), ForfeitShare(provider=ALPHA, ppm=250_000, reason="unrevealed"))
    assert world.balance("tenant") == 990 * UPTN_PER_PTN + UPTN_PER_PTN // 4
    assert world.exchange.ledger.bid(ORDER, ALPHA).status is BidStatus.LOST


@pytest.mark.parametrize(
    "decisions",
    [
        (),
        (Accept(), Accept()),
        (Accept(), Match(provider=ALPHA, price=10**18)),
        (Accept(), Match(provider=address("beta"), price=1)),
        (Accept(), Evict(provider=ALPHA, reason="x"), Match(provider=ALPHA, price=1)),
        (Accept(), CloseUnmatched(reason="x"), SetState(state=b"")),
        (Accept(), SetState(state=b"x" * 1025)),
        (Accept(), SetPhase(phase="past", deadline_ms=0)),
        (Accept(), ForfeitShare(provider=ALPHA, ppm=1_000_001, reason="x")),
    ],
)
def test_a_market_that_breaks_its_contract_halts_with_the_orders_id(decisions: tuple[Decision, ...]) -> None:
    with pytest.raises(MarketBroken, match="1/0/0"):
        bid_in_scripted(*decisions)


def test_an_exception_in_a_rule_halts_with_the_orders_id() -> None:
    def burst(_order: OrderView) -> tuple[Decision, ...]:
        raise ZeroDivisionError("by a rule")

    world = World(FEE_FREE, market_for=lambda _rule: Scripted(burst))
    world.register("alpha")
    order = world.deploy()
    with pytest.raises(MarketBroken, match=r"1/0/0.*ZeroDivisionError"):
        world.send("alpha-op", MarketMessage(order=order, payload=b""))


def test_a_rules_reason_is_cut_to_what_a_record_holds() -> None:
    world = bid_in_scripted(Accept(), Evict(provider=ALPHA, reason="ß" * 1_000))
    assert any(isinstance(event, BidEnded) and len(event.reason.encode()) == 200 for event in world.events)
    world.reopened()
