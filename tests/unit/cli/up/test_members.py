"""How a member's end is told."""

import os
import signal
from pathlib import Path

import pytest

from photon_core.cli.up.children import Child
from photon_core.cli.up.layout import members_with
from photon_core.cli.up.members import RunningMember


def test_the_end_of_its_log_is_shown_in_lines_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("first\nsecond\n")
    child = Child(name="gone", pid=os.getpid(), pidfd=-1, output_fd=-1, command_fd=-1)
    died = RunningMember(members_with(1)[0], child, tmp_path / "log", exit_code=1).died()
    assert str(died).endswith("found \n    first\n    second")


@pytest.mark.parametrize(
    ("exit_code", "told"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-signal.SIGKILL, "killed by SIGKILL"),
        (-(signal.SIGRTMIN + 1), f"killed by signal {signal.SIGRTMIN + 1}"),  # it has no name
    ],
)
def test_an_end_is_told_by_its_code_or_its_signal(tmp_path: Path, exit_code: int, told: str) -> None:
    child = Child(name="gone", pid=os.getpid(), pidfd=-1, output_fd=-1, command_fd=-1)
    member = RunningMember(members_with(1)[0], child, tmp_path / "log", exit_code=exit_code)
    assert member.how_it_ended == told
    assert told in member.died().what
