"""`make setup` on a machine that lacks something names the command that installs it, and touches nothing."""

import os
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[3] / "tools/setup"


def interpreter(folder: Path, *, version: str, has_venv: bool) -> str:
    """A stand-in for a Python of another machine: it answers the two questions that set-up asks first."""
    stub = folder / "python3"
    stub.write_text(
        f'#!/bin/sh\ncase "$2" in *version_info*) echo {version} ;; *ensurepip*) exit {0 if has_venv else 1} ;; esac\n'
    )
    stub.chmod(0o755)
    return str(stub)


def run_setup(python: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": python}
    return subprocess.run([SETUP], env=environment, capture_output=True, text=True, check=False)


def test_no_python_at_all() -> None:
    refused = run_setup("python-that-is-not-here")
    assert refused.returncode == 1
    assert "there is no 'python-that-is-not-here' here" in refused.stderr
    assert "apt install python3-venv" in refused.stderr


def test_venv_module_missing_as_on_a_plain_debian(tmp_path: Path) -> None:
    refused = run_setup(interpreter(tmp_path, version="3.12", has_venv=False))
    assert refused.returncode == 1
    assert "apt install python3.12-venv" in refused.stderr


@pytest.mark.parametrize("version", ["2.7", "3.8", "3.10"])
def test_python_too_old(tmp_path: Path, version: str) -> None:
    refused = run_setup(interpreter(tmp_path, version=version, has_venv=True))
    assert refused.returncode == 1
    assert f"is Python {version}; Photon needs 3.11 or later" in refused.stderr
    assert "apt install python3.11-venv && make PYTHON=python3.11 setup" in refused.stderr
