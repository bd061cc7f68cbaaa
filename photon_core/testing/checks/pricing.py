"""What every pricing rule promises."""

from __future__ import annotations

from photon_core.api.ids import OrderId
from photon_core.api.pricing import Decline, Pricing, PricingContext, PricingRequest, Quote
from photon_core.api.resources import (
    COUNT_MAX,
    CPU_MILLI_MAX,
    MEMORY_BYTES_MAX,
    STORAGE_BYTES_MAX,
    UNITS_PER_GROUP_MAX,
    Resources,
    ResourceUnit,
)
from photon_core.testing.checks.clauses import Clauses, Subject

PricingSubject = Subject[PricingContext, Pricing]

PRICE_MAX = 2**63
"""What a bid's record holds."""

pricing_clauses: Clauses[PricingContext, Pricing] = Clauses("pricing")

_SMALL = Resources(cpu_milli=100, memory_bytes=64 * 2**20, storage_bytes=256 * 2**20)
_NOTHING = Resources(cpu_milli=0, memory_bytes=0, storage_bytes=0)
_LARGEST = Resources(cpu_milli=CPU_MILLI_MAX, memory_bytes=MEMORY_BYTES_MAX, storage_bytes=STORAGE_BYTES_MAX)


def request(
    resources: Resources, *, count: int = 1, units: int = 1, max_price: int = 10**12, attributes: bool = False
) -> PricingRequest:
    unit = ResourceUnit(resources=resources, count=count, max_price=max_price // (count * units))
    return PricingRequest(
        order=OrderId(1, 0, 0),
        units=(unit,) * units,
        max_price=max_price,
        attributes=(("region", "eu"), ("disk", "ssd")) if attributes else (),
    )


REQUESTS = (
    request(_SMALL),
    request(_SMALL, attributes=True),
    request(_SMALL, count=7, units=3),
    request(_NOTHING),
    request(_SMALL, max_price=0),
    request(Resources(cpu_milli=1, memory_bytes=1, storage_bytes=1)),
    request(_LARGEST, count=COUNT_MAX, units=UNITS_PER_GROUP_MAX, max_price=PRICE_MAX),
)


def pricing_of(subject: PricingSubject) -> Pricing:
    return subject.make(PricingContext(config=None))


@pricing_clauses.clause("Every request that a chain can carry is answered with a Quote or a Decline, never raised at.")
def answers_everything(subject: PricingSubject) -> None:
    pricing = pricing_of(subject)
    for asked in REQUESTS:
        answer = pricing.quote(asked)
        assert isinstance(answer, Quote | Decline), f"{answer!r} to {asked}"


@pricing_clauses.clause("A price is a whole number of 10⁻⁶ uptn per hour and not negative.")
def prices_are_whole(subject: PricingSubject) -> None:
    pricing = pricing_of(subject)
    for asked in REQUESTS:
        answer = pricing.quote(asked)
        if isinstance(answer, Quote):
            assert type(answer.price) is int, f"{answer.price!r} for {asked}"
            assert answer.price >= 0, f"{answer.price} for {asked}"


@pricing_clauses.clause("A Decline has a reason, which the tenant can see.")
def declines_with_reasons(subject: PricingSubject) -> None:
    pricing = pricing_of(subject)
    for asked in REQUESTS:
        answer = pricing.quote(asked)
        if isinstance(answer, Decline):
            assert answer.reason.strip(), f"no reason for {asked}"
            assert len(answer.reason) <= 200, f"{len(answer.reason)} characters of reason for {asked}"


@pricing_clauses.clause("What is asked twice is answered the same, whatever was asked between.")
def steady(subject: PricingSubject) -> None:
    pricing = pricing_of(subject)
    first = [pricing.quote(asked) for asked in REQUESTS]
    again = [pricing.quote(asked) for asked in reversed(REQUESTS)]
    assert first == again[::-1]


CLAUSES = pricing_clauses.all
