"""Amounts of money on the command line: PTN for people, uptn on chain; exact, never a float."""

from __future__ import annotations

import re

import click

UPTN_PER_PTN = 1_000_000
_AMOUNT = re.compile(r"(\d{1,13})(?:\.(\d{1,6}))?\s*(ptn|uptn)?", re.IGNORECASE)


def amount(text: str) -> int:
    """The type of options and arguments: `5`, `0.5`, `5ptn` or `5000000uptn`, as a number of uptn."""
    found = _AMOUNT.fullmatch(text.strip())
    is_uptn = found is not None and (found[3] or "").lower() == "uptn"
    if found is None or (is_uptn and found[2]):
        raise click.BadParameter(f"{text!r} is no amount; write 5, 0.5, 5ptn or 5000000uptn")
    whole, fraction, _ = found.groups()
    return int(whole) if is_uptn else int(whole) * UPTN_PER_PTN + int((fraction or "").ljust(6, "0"))


def ptn(uptn: int) -> str:
    """`12.5 PTN`: exact, without zeros at its end."""
    whole, rest = divmod(abs(uptn), UPTN_PER_PTN)
    text = f"{whole}.{rest:06}".rstrip("0").rstrip(".")
    return f"{'-' if uptn < 0 else ''}{text} PTN"


def per_hour(price: int) -> str:
    """A price of 10⁻⁶ uptn per hour."""
    whole, rest = divmod(price, UPTN_PER_PTN * 10**6)
    return f"{whole}.{rest:012}".rstrip("0").rstrip(".") + " PTN/h"
