"""A plugin of somebody else: built as a wheel, installed beside Photon, chosen by its name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples/plugins/market_firstcome"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the sample's wheel was installed, as `pip install --target` leaves it."""
    folder = tmp_path_factory.mktemp("third-party")
    wheels, target = folder / "wheels", folder / "site"
    python = [sys.executable, "-m"]
    subprocess.run([*python, "hatchling", "build", "-t", "wheel", "-d", wheels], cwd=SAMPLE, check=True)
    [wheel] = wheels.glob("*.whl")
    install = ["uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--target", target, wheel]
    subprocess.run([*python, *install], check=True)
    return target


def photon(*arguments: str, site: Path | None, **environment: str) -> subprocess.CompletedProcess[str]:
    keep = {key: value for key, value in os.environ.items() if not key.startswith("PHOTON_")}
    return subprocess.run(
        [Path(sys.executable).with_name("photon"), *arguments, "--output", "json"],
        env={**keep, "PHOTON_HOME": "/nonexistent", "PYTHONPATH": str(site or ""), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_listed_once_it_is_installed(site: Path) -> None:
    def names(where: Path | None) -> list[str]:
        return [plugin["name"] for plugin in json.loads(photon("plugin", "list", site=where).stdout)["plugins"]]

    assert "market_firstcome" not in names(None)
    assert "market_firstcome" in names(site)


def test_it_is_chosen_by_name(site: Path) -> None:
    info = json.loads(photon("plugin", "info", "market_firstcome", site=site).stdout)
    assert info["distribution"] == "photon-market-firstcome"
    assert info["kind"] == "market"

    listed = photon("plugin", "list", "--plugin", "market_firstcome", site=site, PHOTON_PLUGINS="market_auction")
    chosen = {plugin["name"]: plugin["chosen_by"] for plugin in json.loads(listed.stdout)["plugins"]}
    assert chosen["market_firstcome"] == "--plugin"
    assert chosen["market_auction"] is None


def test_it_keeps_the_contract_of_its_kind(site: Path) -> None:
    done = photon("plugin", "check", "market_firstcome", site=site)
    document = json.loads(done.stdout)
    assert [clause for clause in document["clauses"] if clause["verdict"] == "broken"] == []
    assert (document["kept"], done.returncode) == (True, 0)


def test_a_network_runs_by_its_rule(site: Path) -> None:
    done = photon("--plugin", "market_firstcome", "up", "--demo", str(ROOT / "examples/web.yml"), site=site)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["http_status"] == 200
    assert len(outcome["bids"]) == 1, "the first one to come has won: there is no second"


def test_without_it_the_error_says_what_to_do(site: Path) -> None:
    done = photon("plugin", "info", "market_firstcome", site=None)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "plugin-unknown"
