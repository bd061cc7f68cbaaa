"""The wheels that `make` builds, installed where the checkout cannot be seen, do the main job."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sysconfig.get_path("scripts")) / "uv"


@pytest.fixture(scope="module")
def fresh_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment outside the tree with the wheels of all distributions and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("wheels")
    wheels, environment = folder / "dist", folder / "env"
    subprocess.run([sys.executable, ROOT / "tools/build_wheels.py", wheels], check=True)
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    locked = ["--constraint", "run.lock", "--build-constraint", "dev.lock", "--override", "overrides.txt"]
    subprocess.run(
        [UV, "pip", "install", "--quiet", "--python", environment / "bin/python", *locked, *wheels.glob("*.whl")],
        cwd=ROOT / "requirements",
        check=True,
    )
    return environment


def clean_environment(home: Path) -> dict[str, str]:
    """The environment of a user who has no checkout: nothing that points Python or Photon anywhere."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PHOTON", "VIRTUAL_ENV"))
    }
    return kept | {"HOME": str(home)}


def test_packages_come_from_the_wheels(fresh_environment: Path, tmp_path: Path) -> None:
    found = subprocess.run(
        [fresh_environment / "bin/python", "-c", "import photon_core; print(photon_core.__file__)"],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert Path(found.strip()).is_relative_to(fresh_environment)


@pytest.mark.timeout(300)
def test_demo_runs_outside_the_tree(fresh_environment: Path, tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "examples/web.yml", tmp_path / "web.yml")
    finished = subprocess.run(
        [fresh_environment / "bin/photon", "up", "--demo", "web.yml", "--output", "json"],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    outcome = json.loads(finished.stdout)
    assert outcome["http_status"] == 200
    assert outcome["paid_uptn"] > 0
