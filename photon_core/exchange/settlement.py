"""Money over time, exactly.

A lease earns ⌊price · Δms / (3 600 000 · 10⁶)⌋ uptn from its origin, the match. The origin never moves, so settling
twice is settling once: `settle(t1); settle(t2)` moves the same sums as `settle(t2)`. Floors of leases with different
origins do not add up, so when a deposit runs out is computed from the unfloored sum (design, "Money over time").

Prices are 10⁻⁶ uptn per hour, times market milliseconds, money whole uptn. Python's integers do not overflow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import Deployment, Lease, LeaseState, Provider

PRICE_MS_PER_UPTN: Final = 3_600_000 * 10**6
"""Price times milliseconds that make one uptn: an hour's milliseconds times the prices' millionths."""
DUE_MS_MAX: Final = 2**63
"""Later than any deadline that will come; a price of nearly nothing would otherwise not fit its field."""


def earned_uptn(price: int, elapsed_ms: int) -> int:
    """What a lease has earned `elapsed_ms` after its origin."""
    assert price >= 0
    assert elapsed_ms >= 0, f"{elapsed_ms} ms: before the lease's origin"
    return price * elapsed_ms // PRICE_MS_PER_UPTN


def funds_due_ms(deposit_uptn: int, leases: Iterable[tuple[int, int]]) -> int | None:
    """The last millisecond that `deposit_uptn` pays for all `leases`, (price, origin_ms) each; None when they are free.

    The design's due = now + ⌊(D · 3.6·10¹² − Σ priceᵢ·Δmsᵢ) / Σ priceᵢ⌋ with `now` cancelled out: it is on both sides
    and an integer, so the result does not depend on when it is computed.
    """
    prices = weighted_origins = 0
    for price, origin_ms in leases:
        prices += price
        weighted_origins += price * origin_ms
    if prices == 0:
        return None
    return min((deposit_uptn * PRICE_MS_PER_UPTN + weighted_origins) // prices, DUE_MS_MAX)


def spare_uptn(deposit_uptn: int, leases: Iterable[tuple[int, int]], now_ms: int) -> int:
    """What of the deposit no lease, (price, origin_ms) each, has used by now, confirmed or not, rounded down."""
    used = sum(price * (now_ms - origin_ms) for price, origin_ms in leases)
    return deposit_uptn - -(-used // PRICE_MS_PER_UPTN)


def deployment_minimum_uptn(max_price: int, parameters: Parameters) -> int:
    """The least a deployment must hold: its highest price until a manifest must have come and two periods more."""
    span_ms = parameters.manifest_timeout_ms + 2 * parameters.reconfirmation_period_ms
    return -(-max_price * span_ms // PRICE_MS_PER_UPTN)


def is_covered(lease: Lease, provider: Provider) -> bool:
    """Whether the provider's newest confirmation holds for this active lease."""
    return not lease.omitted and lease.matched_height <= provider.confirmed_height


def confirmed_until_ms(lease: Lease, provider: Provider) -> int:
    """Market time up to which an active lease is confirmed."""
    return provider.confirmed_ms if is_covered(lease, provider) else lease.confirmed_ms


def earned_now_uptn(lease: Lease, provider: Provider) -> int:
    """What a lease has earned so far: up to its last confirmation, or all that it was paid once billing has stopped."""
    if lease.state is not LeaseState.ACTIVE:
        return lease.paid_uptn
    return earned_uptn(lease.price, confirmed_until_ms(lease, provider) - lease.origin_ms)


def deposit_uptn(deployment: Deployment) -> int:
    """What active leases may use: all that was put in, less what ended leases took and what was given back."""
    put_in = sum(depositor.amount_uptn for depositor in deployment.depositors)
    return put_in - deployment.spent_uptn - deployment.refunded_uptn
