"""README's commands on a bare Debian 12, as its reader would type them; see tools/bare_machine.py."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BARE_MACHINE = Path(__file__).parents[2] / "tools/bare_machine.py"
SECOND_RUN_S_MAX = 30  # everything is set up by then: what is left is the main job itself
# What `photon up` asks of the kernel: that this is no plain chroot is shown by nothing else so clearly.
NAMESPACES = "unshare --user --map-root-user --net --mount --pid --fork --mount-proc mount -t tmpfs none /mnt"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        os.environ.get("PHOTON_TEST_BARE_MACHINE") != "1", reason="PHOTON_TEST_BARE_MACHINE=1 is not set (.ci/run does)"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for debootstrap and namespaces"),
]


def run_on_bare_machine(who: str, *commands: str, report: Path) -> tuple[str, list[dict[str, Any]]]:
    """Run commands in a clean clone there; return everything printed, and the outcome of each, the clone's first."""
    options = [option for command in commands for option in ("--command", command)]
    finished = subprocess.run(
        [sys.executable, BARE_MACHINE, "--as", who, "--report", report, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    outcomes = json.loads(report.read_text())
    assert (finished.returncode == 0) == all(outcome["passed"] for outcome in outcomes), finished.stdout
    return finished.stdout, outcomes


@pytest.mark.parametrize("who", ["root", "user"])
def test_make_run_works_in_a_clean_clone_and_is_quick_the_second_time(who: str, tmp_path: Path) -> None:
    commands = ("make run", "make run", NAMESPACES)
    printed, (clone, *runs) = run_on_bare_machine(who, *commands, report=tmp_path / "report.json")
    assert clone["passed"], printed
    assert [run["passed"] for run in runs] == [True] * len(commands), printed
    assert runs[1]["seconds"] < SECOND_RUN_S_MAX


def test_what_a_command_leaves_behind_is_named_and_fails_it(tmp_path: Path) -> None:
    commands = ("mount -t tmpfs left /mnt", "sleep 1000 & true")
    printed, (_, mounted, running) = run_on_bare_machine("root", *commands, report=tmp_path / "report.json")
    for outcome, left in ((mounted, "mount left /mnt"), (running, "(sleep)")):
        assert outcome["status"] == 0, printed
        assert not outcome["passed"]
        assert [found for found in outcome["left"] if left in found]
