"""One price per instance."""

from photon_core.api.ids import OrderId
from photon_core.api.pricing import Decline, PricingRequest, Quote
from photon_core.api.resources import Resources, ResourceUnit
from photon_pricing_fixed.rule import Fixed


def asked(*counts: int, max_price: int) -> PricingRequest:
    small = Resources(cpu_milli=100, memory_bytes=2**20, storage_bytes=0)
    units = tuple(ResourceUnit(resources=small, count=count, max_price=0) for count in counts)
    return PricingRequest(order=OrderId(1, 0, 0), units=units, attributes=(), max_price=max_price)


def test_every_instance_of_the_group_is_counted() -> None:
    assert Fixed(instance_uptn=7).quote(asked(2, 3, max_price=10**9)) == Quote(price=35_000_000)


def test_an_order_that_pays_too_little_is_declined_with_both_values() -> None:
    answer = Fixed(instance_uptn=7).quote(asked(2, max_price=13_000_000))
    assert isinstance(answer, Decline)
    assert "14" in answer.reason
    assert "13" in answer.reason
