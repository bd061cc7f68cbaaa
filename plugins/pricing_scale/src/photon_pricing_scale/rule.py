"""Price by what a group asks for: so much per core, per GiB of memory and per GiB of disk, for each hour.

The price is rounded up once, for the whole group: rounding each instance would make many small ones dearer than few
large ones, and rounding down would give the smallest away.
"""

from __future__ import annotations

from attrs import frozen

from photon_core.api.pricing import PRICE_PER_UPTN, Decline, PricingRequest, Quote
from photon_core.api.resources import total

MILLI_PER_CORE = 1_000
BYTES_PER_GIB = 2**30


@frozen(kw_only=True)
class Scale:
    """Prices in uptn per hour."""

    core_uptn: int
    memory_gib_uptn: int
    storage_gib_uptn: int
    minimum_uptn: int

    def quote(self, request: PricingRequest) -> Quote | Decline:
        need = total(request.units)
        # In (10⁻⁶ uptn per hour) · 1000 · 2³⁰, so that the three add up exactly before anything is rounded.
        scaled = PRICE_PER_UPTN * (
            need.cpu_milli * self.core_uptn * BYTES_PER_GIB
            + need.memory_bytes * self.memory_gib_uptn * MILLI_PER_CORE
            + need.storage_bytes * self.storage_gib_uptn * MILLI_PER_CORE
        )
        price = max(-(-scaled // (MILLI_PER_CORE * BYTES_PER_GIB)), self.minimum_uptn * PRICE_PER_UPTN)
        if price > request.max_price:
            pays = _uptn(request.max_price)
            return Decline(reason=f"it costs {_uptn(price)} uptn per hour here, the order pays {pays}")
        return Quote(price=price)


def _uptn(price: int) -> str:
    """A price for people: whole uptn, rounded up."""
    return str(-(-price // PRICE_PER_UPTN))
