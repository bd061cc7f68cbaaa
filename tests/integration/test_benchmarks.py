"""The benchmarks run, say what they must, and leave nothing behind. Whether a figure is good is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEW = ("--lanes", "4", "--batch", "25", "--offered", "100", "--signed-per-s", "4000")


def throughput(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.throughput", *FEW, "--folder", str(folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def processes_that_log_into(folder: Path) -> list[int]:
    found = []
    for stderr in Path("/proc").glob("[0-9]*/fd/2"):
        try:
            if stderr.readlink().is_relative_to(folder):
                found.append(int(stderr.parts[2]))
        except OSError:  # it has ended, or is not ours to look at
            continue
    return found


@pytest.mark.parametrize(("validators", "seconds"), [(1, 1), (4, 3)])
def test_throughput_gives_its_figures_and_leaves_nothing_behind(tmp_path: Path, validators: int, seconds: int) -> None:
    asked = ("--validators", str(validators), "--seconds", str(seconds), "--transfers-per-tx", "2")
    finished = throughput(tmp_path, "--json", *asked)

    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert set(found) == {
        *("tx_per_s", "commit_ms", "cpu_us_per_tx_node", "validators", "seconds", "offered_per_s", "client_cpu_s"),
    }
    assert set(found["commit_ms"]) == {"p50", "p99"}
    assert (found["validators"], found["seconds"], found["offered_per_s"]) == (validators, seconds, 100)
    assert found["tx_per_s"] > 0
    assert found["cpu_us_per_tx_node"] > 0
    assert "every validator has state root" in finished.stderr
    assert not processes_that_log_into(tmp_path)
    assert not list(tmp_path.iterdir())


def test_throughput_says_why_there_are_no_figures(tmp_path: Path) -> None:
    finished = throughput(tmp_path, "--json", "--validators", "1", "--seconds", "1", "--signed-per-s", "1")

    assert finished.returncode == 1
    assert not finished.stdout
    assert "raise --signed-per-s" in finished.stderr
    assert not processes_that_log_into(tmp_path)


def test_a_profile_says_which_functions_took_the_time(tmp_path: Path) -> None:
    finished = throughput(tmp_path, "--validators", "1", "--seconds", "1", "--profile", str(tmp_path / "profile"))

    assert finished.returncode == 0, finished.stderr
    assert "submission to certificate" in finished.stdout
    table = (tmp_path / "profile" / "validator-0.txt").read_text()
    assert "main thread: " in table
    assert "%  node/" in table
    assert (tmp_path / "profile" / "validator-0.folded").exists()
