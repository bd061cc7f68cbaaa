"""One price per instance and hour, whatever it needs."""

from __future__ import annotations

from attrs import frozen

from photon_core.api.pricing import PRICE_PER_UPTN, Decline, PricingRequest, Quote


@frozen(kw_only=True)
class Fixed:
    """`instance_uptn` per hour for each instance of the group."""

    instance_uptn: int

    def quote(self, request: PricingRequest) -> Quote | Decline:
        price = sum(unit.count for unit in request.units) * self.instance_uptn * PRICE_PER_UPTN
        if price > request.max_price:
            pays = -(-request.max_price // PRICE_PER_UPTN)
            return Decline(reason=f"it costs {price // PRICE_PER_UPTN} uptn per hour here, the order pays {pays}")
        return Quote(price=price)
