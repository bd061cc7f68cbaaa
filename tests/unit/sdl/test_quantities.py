from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photon_core.sdl import quantities


def refuses(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return True
    return False


@given(st.decimals(min_value=0, max_value=10**12, places=6, allow_nan=False))
def test_decimals_are_read_exactly(number: Decimal) -> None:
    assert quantities.decimal(f"{number:f}") == Fraction(number)
    assert quantities.cpu_milli(f"{number:f}") == Fraction(number) * 1000
    assert quantities.cpu_milli(f"{number:f}m") == Fraction(number)
    assert quantities.price_of_ptn(f"{number:f}") == Fraction(number) * 10**12


@given(st.integers(0, 10**9), st.sampled_from(sorted(quantities.SIZE_SUFFIXES)))
def test_sizes_are_read_exactly(number: int, suffix: str) -> None:
    power = "kMGTPE".find(suffix[:1].lower() if suffix == "Ki" else suffix[:1]) + 1 if suffix else 0
    assert quantities.size_bytes(f"{number}{suffix}") == number * (1024 if suffix.endswith("i") else 1000) ** power


@given(st.text(max_size=40))
def test_other_texts_are_refused_and_nothing_else(text: str) -> None:
    for read in (
        quantities.decimal,
        quantities.whole,
        quantities.boolean,
        quantities.cpu_milli,
        quantities.size_bytes,
        quantities.price_of_ptn,
        quantities.uptn_of_ptn,
        quantities.duration_hours,
    ):
        assert refuses(read, text) or read(text) >= 0


@pytest.mark.parametrize("text", ["", "-1", "+1", "nan", "inf", "1e999", "1_000", "0x10", "١", "1.2.3", ".", "1 2"])
def test_what_is_no_number(text: str) -> None:
    for read in (quantities.decimal, quantities.cpu_milli, quantities.size_bytes):
        assert refuses(read, text)


@pytest.mark.parametrize("text", ["010", "1.0", "1e3", "", "-1", "80:80"])
def test_whole_numbers_are_plain_digits(text: str) -> None:
    assert refuses(quantities.whole, text)


def test_ratios_and_times() -> None:
    assert quantities.cpu_milli("1/3") == Fraction(1000, 3)
    assert quantities.duration_hours("1d") == 24
    assert quantities.duration_hours("90s") == Fraction(1, 40)
    assert refuses(quantities.cpu_milli, "1/0")
