"""In processes of their own: forking is for a process with one thread."""

import signal
import subprocess
import sys
from pathlib import Path

from photon_core.cli.up.children import PROCESS_NAME_BYTES, process_name
from photon_core.cli.up.layout import VALIDATORS_MAX, members_with

START = """
import os, signal, sys
from pathlib import Path
from photon_core.cli.up.children import fork_children
one, other = fork_children(["one", "other"])
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START + program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_child_runs_the_command_it_is_told_and_its_exit_code_comes_back(tmp_path: Path) -> None:
    told = run(
        """
one.run(["version", "--output", "json"], Path(sys.argv[1]) / "one.log")
other.run(["no-such-verb"], Path(sys.argv[1]) / "other.log")
print(os.read(one.output_fd, 65536).decode())
print(one.exit_code(), other.exit_code())
""",
        str(tmp_path),
    )
    assert '"photon' in told.stdout, told.stderr
    assert told.stdout.splitlines()[-1] == "0 2"
    assert "no-such-verb" in (tmp_path / "other.log").read_text()


def test_a_child_that_is_told_nothing_ends() -> None:
    told = run("one.dismiss(); other.dismiss(); print(one.exit_code(), other.exit_code())")
    assert told.stdout == "0 0\n", told.stderr


def test_children_die_with_their_parent() -> None:
    """Killed while they wait for a command; nobody closes the pipes, since a third process holds them, too."""
    told = run(
        """
if os.fork() == 0:
    for child in (one, other):
        os.read(child.output_fd, 1)  # empty at its end, when the child is dead
    print("both are dead")
else:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    assert told.returncode == -signal.SIGKILL
    assert told.stdout == "both are dead\n"


def test_members_can_be_told_apart_by_the_names_of_their_processes() -> None:
    names = {process_name(member.name) for member in members_with(VALIDATORS_MAX)}
    assert len(names) == len(members_with(VALIDATORS_MAX))
    assert all(len(name) <= PROCESS_NAME_BYTES for name in names)
