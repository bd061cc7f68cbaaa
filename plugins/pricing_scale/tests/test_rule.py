"""So much per core, memory and disk."""

from photon_core.api.ids import OrderId
from photon_core.api.pricing import Decline, PricingRequest, Quote
from photon_core.api.resources import Resources, ResourceUnit
from photon_pricing_scale.rule import Scale

SCALE = Scale(core_uptn=1_000, memory_gib_uptn=100, storage_gib_uptn=10, minimum_uptn=0)


def asked(cpu_milli: int, memory_gib: int, storage_gib: int, count: int = 1, max_price: int = 2**62) -> PricingRequest:
    resources = Resources(cpu_milli=cpu_milli, memory_bytes=memory_gib << 30, storage_bytes=storage_gib << 30)
    unit = ResourceUnit(resources=resources, count=count, max_price=max_price // count)
    return PricingRequest(order=OrderId(1, 0, 0), units=(unit,), attributes=(), max_price=max_price)


def test_everything_asked_for_is_priced_for_all_instances() -> None:
    assert SCALE.quote(asked(1_500, 2, 3, count=2)) == Quote(price=2 * (1_500 + 200 + 30) * 10**6)


def test_the_whole_group_is_rounded_up_once() -> None:
    tiny = ResourceUnit(resources=Resources(cpu_milli=0, memory_bytes=1, storage_bytes=0), count=5, max_price=10)
    request = PricingRequest(order=OrderId(1, 0, 0), units=(tiny,), attributes=(), max_price=50)
    assert SCALE.quote(request) == Quote(price=1)  # 5 bytes of memory: 0.47 of the smallest price


def test_the_minimum_is_kept() -> None:
    scale = Scale(core_uptn=1, memory_gib_uptn=1, storage_gib_uptn=1, minimum_uptn=7)
    assert scale.quote(asked(1, 0, 0)) == Quote(price=7_000_000)


def test_an_order_that_pays_too_little_is_declined_with_both_values() -> None:
    answer = SCALE.quote(asked(1_000, 0, 0, max_price=999_000_000))
    assert isinstance(answer, Decline)
    assert "1000" in answer.reason
    assert "999" in answer.reason
