"""A node's process looks for cycles seldom, and never among what it began with."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from photon_core.node.memory import YOUNG_MAX, settle_memory


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_what_exists_by_then_is_frozen_and_cycles_made_later_are_still_found(collector: None) -> None:
    settle_memory()
    assert gc.get_freeze_count() > 1_000
    assert gc.get_threshold()[0] == YOUNG_MAX

    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() >= 1
