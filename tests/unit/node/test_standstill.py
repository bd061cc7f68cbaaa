"""A validator without a quorum says so, and not too often."""

from __future__ import annotations

from photon_core.node.standstill import AGAIN_MS, PATIENCE_MS, Standstill


def test_silence_is_told_with_who_is_missing_again_each_minute_and_when_it_is_over() -> None:
    watch = Standstill(heartbeat_ms=1_000)
    assert watch.look(7, 2, 3, 0) == ""
    assert watch.look(7, 2, 3, PATIENCE_MS - 1) == ""
    said = watch.look(7, 2, 3, PATIENCE_MS)
    assert "height 7 for 10 s" in said
    assert "with 2 of the power are linked" in said
    assert "need 3: too few" in said
    assert watch.look(7, 2, 3, PATIENCE_MS + AGAIN_MS - 1) == ""
    assert "enough" in watch.look(7, 3, 3, PATIENCE_MS + AGAIN_MS)
    assert watch.look(8, 3, 3, 100_000) == "blocks come again, after 100 s: height 8"
    assert watch.look(9, 3, 3, 101_000) == ""


def test_a_long_heartbeat_is_no_standstill() -> None:
    watch = Standstill(heartbeat_ms=5_000)
    watch.look(7, 4, 3, 0)
    assert watch.look(7, 4, 3, 24_999) == ""
    assert watch.look(7, 4, 3, 25_000)
