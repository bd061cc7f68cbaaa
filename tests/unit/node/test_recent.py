"""Transactions that come again are not read again, as long as they wait here."""

from __future__ import annotations

import pytest

from photon_core.api.errors import CodecError
from photon_core.api.ids import Hash
from photon_core.chain.transactions import Transaction
from photon_core.node import recent as module
from photon_core.node.recent import RecentBytes
from photon_core.testing.node import transfer

CHAIN = b"\x05" * 32
ONE, TWO = transfer(CHAIN, 0), transfer(CHAIN, 1)


def test_what_waits_is_found_by_its_bytes() -> None:
    waiting: dict[Hash, Transaction] = {}
    recent = RecentBytes(CHAIN, waiting)
    assert recent.unknown([ONE.raw, TWO.raw]) == [ONE.raw, TWO.raw]
    assert recent.read(ONE.raw) == ONE
    recent.add([ONE, TWO])
    assert recent.unknown([ONE.raw, TWO.raw]) == [ONE.raw, TWO.raw], "none of them was taken"
    waiting[ONE.id] = ONE
    assert recent.unknown([ONE.raw, TWO.raw]) == [TWO.raw]
    assert recent.read(ONE.raw) is ONE
    assert recent.read(TWO.raw) == TWO


def test_what_is_none_is_refused_as_ever() -> None:
    with pytest.raises(CodecError):
        RecentBytes(CHAIN, {}).read(b"noise")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECENT_MAX", 1)
    recent = RecentBytes(CHAIN, {ONE.id: ONE, TWO.id: TWO})
    recent.add([ONE, TWO])
    assert recent.unknown([ONE.raw, TWO.raw]) == [ONE.raw]
