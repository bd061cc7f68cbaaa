"""Entry point of the plugin `pricing_fixed`."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import ge, le

from photon_core.api.pricing import Pricing, PricingContext, PricingProvider
from photon_core.hooks import hookimpl

PRICE_MAX_UPTN = 10**15
"""A billion PTN per hour: larger is a slip of the keyboard."""


@frozen(kw_only=True)
class FixedConfig:
    """`instance_uptn`: uptn per hour and instance; 1 PTN is 1 000 000 uptn."""

    instance_uptn: int = field(default=100_000, validator=[ge(0), le(PRICE_MAX_UPTN)])


def make(context: PricingContext) -> Pricing:
    """The rule with the operator's price."""
    from photon_pricing_fixed.rule import Fixed  # noqa: PLC0415  # a hook's module imports nothing but records

    assert isinstance(context.config, FixedConfig), type(context.config)
    return Fixed(instance_uptn=context.config.instance_uptn)


@hookimpl
def photon_register_pricing() -> Iterable[PricingProvider]:
    yield PricingProvider(
        name="fixed", summary="one price per instance and hour", factory=make, config_type=FixedConfig
    )
