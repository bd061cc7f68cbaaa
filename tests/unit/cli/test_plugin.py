"""`photon plugin`, on a distribution that it wrote itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from photon_core.api.plugin import SEAMS


def photon(*arguments: str, path: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    keep = {key: value for key, value in os.environ.items() if not key.startswith("PHOTON_")}
    settings = {**keep, "PYTHONPATH": str(path or ""), "PHOTON_HOME": "/nonexistent", **environment}
    script = "from photon_core.cli import main; main()"
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=settings, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder with the skeletons of all kinds, each with the metadata that installing it would have written."""
    folder = tmp_path_factory.mktemp("skeletons")
    for kind in SEAMS:
        done = photon("plugin", "new", kind, "made_up", str(folder / kind))
        assert done.returncode == 0, done.stderr
        (folder / f"site/photon_{kind}_made_up-0.1.0.dist-info").mkdir(parents=True)
        info = folder / f"site/photon_{kind}_made_up-0.1.0.dist-info"
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: photon-{kind}-made-up\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(f"[photon.{kind}]\n{kind}_made_up = photon_{kind}_made_up.plugin\n")
        (folder / f"site/photon_{kind}_made_up").symlink_to(folder / kind / f"src/photon_{kind}_made_up")
    return folder / "site"


@pytest.mark.parametrize("kind", SEAMS)
def test_a_new_plugin_is_installed_by_its_name_and_loads(written, kind):
    done = photon("plugin", "info", f"{kind}_made_up", "--output", "json", path=written)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["distribution"] == f"photon-{kind}-made-up"


@pytest.mark.parametrize("kind", ["pricing", "market", "consensus"])
def test_a_new_plugin_keeps_its_contract(written, kind):
    done = photon("plugin", "check", f"{kind}_made_up", "--output", "json", path=written)
    broken = [clause for clause in json.loads(done.stdout)["clauses"] if clause["verdict"] == "broken"]
    assert (broken, done.returncode) == ([], 0)


def test_its_tests_are_one_for_each_clause(written):
    pytest.importorskip("photon_conformance", reason="core alone is installed here")
    tests = written.parent / "pricing/tests"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tests), str(tests)],
        env={**os.environ, "PYTHONPATH": str(written)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_list_says_who_chose(written):
    done = photon("plugin", "list", "--plugin", "market_made_up", "--output", "json", path=written)
    chosen = {plugin["name"]: plugin["chosen_by"] for plugin in json.loads(done.stdout)["plugins"]}
    assert chosen["market_made_up"] == "--plugin"
    assert chosen["pricing_made_up"] is None


def test_info_shows_what_can_be_configured(written):
    done = photon("plugin", "info", "pricing_made_up", path=written)
    assert "[plugin.pricing_made_up]" in done.stdout
    assert "percent" in done.stdout


def test_its_table_of_the_config_is_checked(written, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("[plugin.pricing_made_up]\npercent = 200\n")
    done = photon("plugin", "check", "pricing_made_up", "--config", str(config), path=written)
    assert done.returncode == 2
    assert "percent" in done.stderr


@pytest.mark.parametrize("name", ["Upper", "1st", "a-b", "", "a" * 50])
def test_a_bad_name_writes_nothing(tmp_path, name):
    done = photon("plugin", "new", "market", name, str(tmp_path / "out"))
    assert done.returncode == 2
    assert not (tmp_path / "out").exists()


def test_the_name_of_an_installed_plugin_is_taken(written, tmp_path):
    done = photon("plugin", "new", "market", "made_up", str(tmp_path / "out"), path=written)
    assert done.returncode == 2
    assert "market_made_up is installed already" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("x")
    done = photon("plugin", "new", "market", "good", str(tmp_path))
    assert done.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_unknown_plugin_exits_with_two_and_what_is_installed(written):
    done = photon("plugin", "info", "pricing_mad_up", path=written)
    assert done.returncode == 2
    assert "Did you mean pricing_made_up" in done.stderr
