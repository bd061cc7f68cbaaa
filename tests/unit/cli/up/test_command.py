"""What `photon up` refuses before anything is started."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from photon_core.api.errors import UsageError
from photon_core.cli import main
from photon_core.cli.up.command import how_many
from photon_core.plugins.selection import Choice, choose


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


def chosen(*plugins: str) -> Choice:
    return choose(flag=plugins, environment={}, defaults=("consensus_pbft", "market_auction"))


@pytest.mark.parametrize(
    ("asked", "plugins", "count"),
    [(None, (), 4), (7, (), 7), (None, ("consensus_solo",), 1), (1, ("consensus_solo",), 1), (1, (), 1)],
)
def test_there_are_four_validators_unless_it_is_said_otherwise(
    asked: int | None, plugins: tuple[str, ...], count: int
) -> None:
    assert how_many(asked, None, chosen(*plugins)) == count


def test_solo_is_for_one() -> None:
    with pytest.raises(UsageError, match="consensus_solo is for one validator"):
        how_many(2, None, chosen("consensus_solo"))


def test_a_network_keeps_its_validators(tmp_path: Path) -> None:
    (tmp_path / "genesis.toml").touch()
    for number in (1, 2):
        (tmp_path / f"validator-{number}").mkdir()
    assert how_many(None, tmp_path, chosen()) == how_many(2, tmp_path, chosen()) == 2
    with pytest.raises(UsageError, match="named when it begins"):
        how_many(4, tmp_path, chosen())
