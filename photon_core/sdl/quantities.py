"""Numbers as they are written, read exactly: fractions of integers, never floats.

Every function takes the scalar's text and raises ValueError when it has another form. Results are in the unit that the
rest of Photon counts in, as a Fraction where the text can say more than whole units; the schema rounds those down and
says so.
"""

from __future__ import annotations

import re
from fractions import Fraction

from photon_core.api.pricing import PRICE_PER_UPTN
from photon_core.exchange.records import UPTN_PER_PTN

BLOCKS_PER_HOUR = 600
"""2.x prices are per block of about six seconds."""

# Digits and exponent are bounded: a number of a million digits costs more to read than any deployment is worth.
_DECIMAL = re.compile(r"(?P<digits>[0-9]{1,24}(?:\.[0-9]{0,24})?|\.[0-9]{1,24})(?:[eE](?P<exponent>[+-]?[0-9]{1,2}))?")
_RATIO = re.compile(r"([0-9]{1,18})/([0-9]{1,18})")
_WHOLE = re.compile(r"0|[1-9][0-9]{0,18}")
_SIZE = re.compile(r"(?P<number>[0-9.]+)\s?(?P<suffix>[A-Za-z]*)")
_DURATION = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,9})?)(?P<unit>[smhd])")

SIZE_SUFFIXES = {
    "": 1,
    **{letter: 1000 ** (power + 1) for power, letter in enumerate("kMGTPE")},
    **{f"{letter}i": 1024 ** (power + 1) for power, letter in enumerate("KMGTPE")},
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def decimal(text: str) -> Fraction:
    """`12`, `0.5`, `.5`, `1e3`; not negative."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return Fraction(match["digits"]) * Fraction(10) ** int(match["exponent"] or 0)


def whole(text: str) -> int:
    """Decimal digits only. `010` could mean eight or ten, and `1_000` or `0x10` are one reader's dialect: refused."""
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(text)
    return int(text)


def boolean(text: str) -> bool:
    """YAML's words for true and false, the old ones (`yes`, `on`) too, since nothing else can be meant here."""
    match text.lower():
        case "true" | "yes" | "on":
            return True
        case "false" | "no" | "off":
            return False
    raise ValueError(text)


def cpu_milli(text: str) -> Fraction:
    """Thousandths of a core of `100m`, `0.1`, `2` or `1/2`."""
    if text.endswith("m"):
        return decimal(text[:-1])
    ratio = _RATIO.fullmatch(text)
    if ratio is not None and int(ratio[2]):
        return Fraction(int(ratio[1]), int(ratio[2])) * 1000
    return decimal(text) * 1000


def size_bytes(text: str) -> Fraction:
    """Bytes of `512Mi`, `1.5G` or a bare number."""
    match = _SIZE.fullmatch(text)
    if match is None or match["suffix"] not in SIZE_SUFFIXES:
        raise ValueError(text)
    factor: int = SIZE_SUFFIXES[match["suffix"]]
    return decimal(match["number"]) * factor


def price_of_ptn(text: str) -> Fraction:
    """10⁻⁶ uptn per hour of an amount in PTN per hour."""
    return decimal(text) * UPTN_PER_PTN * PRICE_PER_UPTN


def uptn_of_ptn(text: str) -> Fraction:
    return decimal(text) * UPTN_PER_PTN


def duration_hours(text: str) -> Fraction:
    """Hours of `90s`, `30m`, `6h` or `1d`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return Fraction(match["number"]) * Fraction(_SECONDS[match["unit"]], 3600)
