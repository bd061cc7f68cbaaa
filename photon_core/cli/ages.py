"""How long ago something was, as people say it."""

from __future__ import annotations

import time

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))


def age(time_ms: int, now_ms: int | None = None) -> str:
    """`3 s ago`, in the largest unit of which it is at least one; what is not a second old, or ahead, is `just now`."""
    past_ms = (time.time_ns() // 10**6 if now_ms is None else now_ms) - time_ms
    for name, unit_ms in _UNITS:
        if past_ms >= unit_ms:
            return f"{past_ms // unit_ms} {name} ago"
    return "just now"
