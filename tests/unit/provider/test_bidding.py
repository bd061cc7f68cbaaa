import pytest
from attrs import evolve

from photon_core.api.ids import OrderId
from photon_core.api.pricing import Decline, Quote
from photon_core.api.resources import Resources, ResourceUnit
from photon_core.api.runtime import NETWORK_AGENT
from photon_core.exchange.records import CloseReason, Excluded, Group, GroupSpec, Order, OrderState
from photon_core.node.views import OrderDetail
from photon_core.provider.bidding import Bidder, NoBid, Offer, Why, decide
from photon_core.provider.inventory import Inventory, take_stock

ME, OTHER = bytes([7]) * 20, bytes([8]) * 20
SMALL = Resources(cpu_milli=500, memory_bytes=2**28, storage_bytes=2**28)
UNITS = (ResourceUnit(resources=SMALL, count=2, max_price=50),)
BIDDER = Bidder(
    provider=ME,
    attributes=(("region", "eu"),),
    capabilities=frozenset({NETWORK_AGENT}),
    spendable_uptn=100,
    max_collateral_uptn=50,
)
STOCK = take_stock(Resources(cpu_milli=2000, memory_bytes=2**31, storage_bytes=2**31), [], [])


class Fixed:
    def __init__(self, answer):
        self.answer = answer

    def quote(self, request):
        return self.answer


@pytest.fixture
def order():
    spec = GroupSpec(
        name="west", units=UNITS, attributes=(("region", "eu"),), collateral_uptn=50, section_hash=bytes(32)
    )
    record = Order(id=OrderId(1, 0, 0), max_price=100, collateral_uptn=50, opened_ms=0, opened_height=1)
    return OrderDetail(order=record, group=Group(deployment=1, index=0, spec=spec), lease=None)


def with_spec(order: OrderDetail, **changes: object) -> OrderDetail:
    return evolve(order, group=evolve(order.group, spec=evolve(order.group.spec, **changes)))


def why(order: OrderDetail, bidder: Bidder = BIDDER, stock: Inventory = STOCK, price: int = 100) -> Why | None:
    verdict = decide(order, bidder, stock, Fixed(Quote(price=price)))
    return verdict.why if isinstance(verdict, NoBid) else None


def test_fitting_order_gets_the_plugins_price(order):
    assert decide(order, BIDDER, STOCK, Fixed(Quote(price=80))) == Offer(price=80)


def test_each_obstacle_has_its_name(order):
    assert why(evolve(order, order=evolve(order.order, state=OrderState.MATCHED))) is Why.NOT_OPEN
    assert why(evolve(order, order=evolve(order.order, bidders=(ME,)))) is Why.ALREADY_BID
    assert why(with_spec(order, allowed_providers=(OTHER,))) is Why.NOT_ALLOWED
    assert why(with_spec(order, allowed_providers=(OTHER, ME))) is None
    excluded = (Excluded(provider=ME, reason=CloseReason.FAULT),)
    assert why(evolve(order, group=evolve(order.group, excluded=excluded))) is Why.EXCLUDED
    assert why(with_spec(order, attributes=(("region", "us"),))) is Why.ATTRIBUTES
    assert why(with_spec(order, attributes=(("tier", "gold"),))) is Why.ATTRIBUTES
    assert why(order, evolve(BIDDER, capabilities=frozenset())) is Why.NETWORK
    assert why(order, evolve(BIDDER, max_collateral_uptn=49)) is Why.COLLATERAL
    assert why(order, evolve(BIDDER, spendable_uptn=49)) is Why.BALANCE
    assert why(order, price=101) is Why.PRICE


def test_decline_carries_the_plugins_reason(order):
    assert decide(order, BIDDER, STOCK, Fixed(Decline(reason="closed on Sundays"))) == NoBid(
        why=Why.DECLINED, reason="closed on Sundays"
    )


def test_what_is_leased_or_bid_for_is_not_offered_again(order):
    capacity = Resources(cpu_milli=2000, memory_bytes=2**31, storage_bytes=2**31)
    assert why(order, stock=take_stock(capacity, [UNITS], [])) is None
    assert why(order, stock=take_stock(capacity, [UNITS], [UNITS])) is Why.CAPACITY


def test_machine_that_shrank_has_nothing_left_and_not_less():
    stock = take_stock(SMALL, [UNITS], [UNITS])
    assert stock.free == Resources(cpu_milli=0, memory_bytes=0, storage_bytes=0)
