"""README's commands on a bare Debian 12, as its reader would type them; see tools/bare_machine.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BARE_MACHINE = Path(__file__).parents[2] / "tools/bare_machine.py"
SECOND_RUN_S_MAX = 30  # everything is set up by then: what is left is the main job itself

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        os.environ.get("PHOTON_TEST_BARE_MACHINE") != "1", reason="PHOTON_TEST_BARE_MACHINE=1 is not set"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for debootstrap and namespaces"),
]


@pytest.mark.parametrize("who", ["root", "user"])
def test_make_run_works_in_a_clean_clone_and_is_quick_the_second_time(who: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    finished = subprocess.run(
        [
            sys.executable,
            BARE_MACHINE,
            "--as",
            who,
            "--report",
            report,
            "--command",
            "make run",
            "--command",
            "make run",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout
    clone, first, second = json.loads(report.read_text())
    assert [run["passed"] for run in (clone, first, second)] == [True, True, True]
    assert second["seconds"] < SECOND_RUN_S_MAX
