"""Money over time is exact."""

from hypothesis import given
from hypothesis import strategies as st

from photon_core.exchange.parameters import Parameters
from photon_core.exchange.settlement import (
    PRICE_MS_PER_UPTN,
    deployment_minimum_uptn,
    earned_uptn,
    funds_due_ms,
)

prices = st.integers(1, 2**63)
spans_ms = st.integers(0, 2**42)
leases = st.lists(st.tuples(prices, spans_ms), min_size=1, max_size=16)


@given(prices, spans_ms, spans_ms)
def test_settling_twice_is_settling_once(price: int, first_ms: int, more_ms: int) -> None:
    paid = earned_uptn(price, first_ms)
    paid += earned_uptn(price, first_ms + more_ms) - paid
    assert paid == earned_uptn(price, first_ms + more_ms)


@given(prices)
def test_an_hour_earns_the_price(price: int) -> None:
    assert earned_uptn(price, 3_600_000) == price // 10**6


@given(st.integers(0, 2**63), leases)
def test_at_the_due_time_the_deposit_pays_for_all_leases(deposit: int, active: list[tuple[int, int]]) -> None:
    due_ms = funds_due_ms(deposit, active)
    assert due_ms is not None
    if all(due_ms >= origin for _, origin in active):
        assert sum(earned_uptn(price, due_ms - origin) for price, origin in active) <= deposit


@given(st.integers(0, 2**63), leases)
def test_one_millisecond_later_the_exact_sum_is_overdrawn(deposit: int, active: list[tuple[int, int]]) -> None:
    due_ms = funds_due_ms(deposit, active)
    assert due_ms is not None
    exact = sum(price * (due_ms + 1 - origin) for price, origin in active)
    assert exact > deposit * PRICE_MS_PER_UPTN or due_ms == 2**63


@given(st.integers(0, 2**62), leases, spans_ms)
def test_the_due_time_is_the_designs_formula_whenever_it_is_computed(
    deposit: int, active: list[tuple[int, int]], later_ms: int
) -> None:
    now_ms = max(origin for _, origin in active) + later_ms
    used = sum(price * (now_ms - origin) for price, origin in active)
    expected = now_ms + (deposit * PRICE_MS_PER_UPTN - used) // sum(price for price, _ in active)
    assert funds_due_ms(deposit, active) == min(expected, 2**63)


def test_free_leases_never_use_a_deposit_up() -> None:
    assert funds_due_ms(5, [(0, 17), (0, 3)]) is None
    assert funds_due_ms(5, []) is None


def test_the_minimum_covers_manifest_timeout_and_two_periods() -> None:
    parameters = Parameters(manifest_timeout_ms=300_000, reconfirmation_period_ms=60_000)
    assert deployment_minimum_uptn(3_600_000 * 10**6, parameters) == 420_000
    assert deployment_minimum_uptn(1, parameters) == 1  # rounded up: never nothing
