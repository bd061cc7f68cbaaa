"""Entry point of the plugin `pricing_scale`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import field, frozen
from attrs.validators import ge, le

from photon_core.api.pricing import Pricing, PricingContext, PricingProvider
from photon_core.hooks import hookimpl

PRICE_MAX_UPTN = 10**15
"""A billion PTN per hour: larger is a slip of the keyboard."""


def _price(default: int) -> Any:
    return field(default=default, validator=[ge(0), le(PRICE_MAX_UPTN)])


@frozen(kw_only=True)
class ScaleConfig:
    """uptn per hour; 1 PTN is 1 000 000 uptn. `minimum_uptn`: no order is served for less."""

    core_uptn: int = _price(500_000)
    memory_gib_uptn: int = _price(200_000)
    storage_gib_uptn: int = _price(5_000)
    minimum_uptn: int = _price(1_000)


def make(context: PricingContext) -> Pricing:
    """The rule with the operator's prices."""
    from photon_pricing_scale.rule import Scale  # noqa: PLC0415  # a hook's module imports nothing but records

    config = context.config
    assert isinstance(config, ScaleConfig), type(config)
    return Scale(
        core_uptn=config.core_uptn,
        memory_gib_uptn=config.memory_gib_uptn,
        storage_gib_uptn=config.storage_gib_uptn,
        minimum_uptn=config.minimum_uptn,
    )


@hookimpl
def photon_register_pricing() -> Iterable[PricingProvider]:
    yield PricingProvider(
        name="scale",
        summary="so much per core, memory and disk, by the hour",
        factory=make,
        config_type=ScaleConfig,
    )
