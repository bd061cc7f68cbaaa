"""What `photon up` refuses before anything is started."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from photon_core.cli import main


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be_is_bad_input(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    result = CliRunner().invoke(main, ["up", "--data", str(tmp_path / name)])
    assert result.exit_code == 2
    assert name in result.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_is_not_writable_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)  # root may write anywhere
    result = CliRunner().invoke(main, ["up", "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "is not writable" in result.stderr
