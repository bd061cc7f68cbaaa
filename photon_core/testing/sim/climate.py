"""How bad the weather of a seed is: drawn once, before a run begins."""

from __future__ import annotations

import random

from attrs import frozen

from .links import Quality


@frozen(kw_only=True)
class Climate:
    """How bad it is. `pace_ms` lies between two faults, on average."""

    pace_ms: int
    quality: Quality
    crash_after_sync: float
    hit_round_change: float
    cut_at_commit: float
    """How often the power goes in the moment in which the first one commits a block."""
    weights: tuple[int, ...]


def draw_climate(dice: random.Random, kinds: int, focus: int | None = None) -> Climate:
    """Of a seed: links in order as they are in reality, or worse than reality; faults few or many. `focus`: index of
    the kind that there is most of, instead of one that is drawn.
    """
    latency_ms = dice.choice([(1, 5), (1, 10), (1, 30), (5, 60), (20, 200)])
    lossy = dice.random() < 0.4
    drawn = dice.randrange(kinds) if dice.random() < 0.6 else None
    focus = drawn if focus is None else focus
    weights = [dice.choice([0, 0, 1, 4]) if focus is None else 20 * (i == focus) + 1 for i in range(kinds)]
    return Climate(
        pace_ms=dice.choice([600, 1_200, 2_500]),
        quality=Quality(
            latency_ms=latency_ms,
            in_order=not lossy,
            lost=dice.choice([0.0, 0.02, 0.1, 0.2]) if lossy else 0.0,
            doubled=dice.choice([0.0, 0.1]) if lossy else 0.0,
            gossip_lost=dice.choice([0.0, 0.05, 0.3]),
        ),
        crash_after_sync=dice.choice([0.0, 0.002, 0.01]),
        hit_round_change=dice.choice([0.0, 0.2, 0.6]),
        cut_at_commit=dice.choice([0.0, 0.0, 0.05, 0.4]),
        weights=(*weights[:-1], weights[-1] + 1),
    )
