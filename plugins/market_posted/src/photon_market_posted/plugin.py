"""Entry point of the plugin `market_posted`."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import ge, le

from photon_core.api.market import Market, MarketContext, MarketProvider
from photon_core.hooks import hookimpl

PATIENCE_WINDOWS_MAX = 10_000
"""Some three days of the default window; longer waiting is what re-opening is for."""


@frozen(kw_only=True)
class PostedConfig:
    """`patience_windows`: an order without a bid ends after this many bidding windows."""

    patience_windows: int = field(default=10, validator=[ge(1), le(PATIENCE_WINDOWS_MAX)])


def make(context: MarketContext) -> Market:
    """The rule, with genesis' configuration of it."""
    from photon_market_posted.rule import Posted  # noqa: PLC0415  # a hook's module imports nothing but records

    assert isinstance(context.config, PostedConfig), type(context.config)
    return Posted(patience_windows=context.config.patience_windows)


@hookimpl
def photon_register_market() -> Iterable[MarketProvider]:
    yield MarketProvider(
        name="posted",
        summary="the first bid at or under the tenant's price is matched at once",
        factory=make,
        config_type=PostedConfig,
    )
