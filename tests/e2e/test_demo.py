"""`photon up --demo`: the main job, from a file to an answer, and every uptn of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness import PHOTON, ROOT, mounts_of, processes_of


def demo(file: Path | str, folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, document and progress; temporary folders are made in `folder`."""
    done = subprocess.run(
        [PHOTON, "up", "--demo", str(file), "--output", "json", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "TMPDIR": str(folder)},
        check=False,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def assert_nothing_left(folder: Path) -> None:
    assert list(folder.iterdir()) == []
    assert list(processes_of(folder)) == []
    assert mounts_of(folder) == []


def test_one_deployment_goes_the_whole_way_and_leaves_nothing(tmp_path: Path) -> None:
    code, document, progress = demo("examples/web.yml", tmp_path)

    assert code == 0, progress
    assert (document["http_status"], document["body"]) == (200, "hello from photon\n")
    assert {bid["name"] for bid in document["bids"]} == {"provider-1", "provider-2"}
    assert document["lease"]["price"] == min(bid["price"] for bid in document["bids"])
    seconds = document["seconds"]
    assert list(seconds) == ["order", "first_bid", "lease", "manifest", "serving", "total"]
    assert sorted(seconds.values()) == list(seconds.values())
    assert_nothing_left(tmp_path)


def test_every_uptn_is_accounted_for(tmp_path: Path) -> None:
    """The demo itself compares all accounts with the supply, and fails if one uptn is missing."""
    code, document, progress = demo("examples/web.yml", tmp_path, "--parameter", "min_fee_uptn=1000")

    assert code == 0, progress
    deposited = 24 * 600_000  # a day of the highest price
    assert document["paid_uptn"] > 0
    assert document["paid_uptn"] + document["refunded_uptn"] == deposited
    assert document["fees_uptn"] == 2_000, "one transaction to create it and one to close it"


def test_a_file_with_mistakes_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "bad.yml"
    file.write_text('version: "2.0"\nservices: 7\n')

    code, document, progress = demo(file, tmp_path)

    assert code == 2
    assert "bad.yml" in json.dumps(document["error"])
    assert "starting" not in progress


def test_a_command_that_does_not_exist_is_told_and_everything_stops(tmp_path: Path) -> None:
    file = tmp_path / "broken.yml"
    file.write_text((ROOT / "examples/web.yml").read_text().replace('"python3", "-c"', '"/no/such/program"'))
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    code, document, progress = demo(file, temporary, "--parameter", "fault_timeout_ms=3000")

    assert code not in {0, 70}, progress
    assert "no/such/program" in json.dumps(document["error"]), progress
    assert_nothing_left(temporary)


@pytest.mark.parametrize("version", ["0.1", "2.0", "2.1"])
def test_two_services_in_each_version(version: str, tmp_path: Path) -> None:
    code, document, progress = demo(f"examples/two-tier-{version}.yml", tmp_path)

    assert code == 0, progress
    assert (document["http_status"], document["body"]) == (200, "db says hello\n")
