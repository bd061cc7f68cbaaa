"""A node's process looks for cycles seldom, never among what it began with, and lets its threads in soon."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from photon_core.node.process import SWITCH_INTERVAL_S, YOUNG_MAX, settle_process


@pytest.fixture
def restored() -> Iterator[None]:
    """The interpreter, after the test."""
    thresholds, interval_s = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    sys.setswitchinterval(interval_s)


def test_what_exists_by_then_is_frozen_and_cycles_made_later_are_still_found(restored: None) -> None:
    settle_process()
    assert gc.get_freeze_count() > 1_000
    assert gc.get_threshold()[0] == YOUNG_MAX

    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() >= 1


def test_a_thread_gets_the_interpreter_back_soon(restored: None) -> None:
    settle_process()
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
