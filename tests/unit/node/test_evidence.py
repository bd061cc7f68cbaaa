"""Proofs that a validator lied are kept for people, and no number of them fills the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve

from photon_core.api.consensus import Claim
from photon_core.node import evidence, steps
from photon_core.node.evidence import PROOFS_PER_VALIDATOR_MAX, EvidenceFile

LIE = steps.NoteEvidence(
    first=Claim(b"\x01" * 32, b"one", b"\x02" * 64, (7, 0, 1)),
    second=Claim(b"\x01" * 32, b"another", b"\x03" * 64, (7, 0, 1)),
)


def test_a_line_for_each_and_a_loud_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = EvidenceFile(tmp_path / "evidence.jsonl")
    file.note(LIE)
    file.note(LIE)
    lines = [json.loads(line) for line in (tmp_path / "evidence.jsonl").read_text().splitlines()]
    assert [line["validator"] for line in lines] == ["01" * 32] * 2
    assert bytes.fromhex(lines[0]["second"]["message"]) == b"another"
    assert lines[0]["first"]["slot"] == [7, 0, 1]
    assert file.count == 2
    assert "SIGNED TWO STATEMENTS" in caplog.text


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "FILE_BYTES_MAX", 1_000)
    file = EvidenceFile(tmp_path / "evidence.jsonl")
    for _ in range(20):
        file.note(LIE)
    assert (tmp_path / "evidence.jsonl").stat().st_size <= 1_000
    assert file.count == 20


def test_one_liar_fills_neither_the_log_nor_the_place_of_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = EvidenceFile(tmp_path / "evidence.jsonl")
    for _ in range(100):
        file.note(LIE)
    assert len(caplog.records) == PROOFS_PER_VALIDATOR_MAX
    file.note(evolve(LIE, first=evolve(LIE.first, key=b"\x02" * 32), second=evolve(LIE.second, key=b"\x02" * 32)))
    lines = (tmp_path / "evidence.jsonl").read_text().splitlines()
    assert [json.loads(line)["validator"][:2] for line in lines] == ["01"] * PROOFS_PER_VALIDATOR_MAX + ["02"]
    assert file.count == 101


def test_a_disk_that_cannot_take_it_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    EvidenceFile(tmp_path / "missing" / "evidence.jsonl").note(LIE)
    assert "could not be kept" in caplog.text
