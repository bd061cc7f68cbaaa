"""The shape of the repository: what every distribution has in common, and how large a file or a function may grow."""

import ast
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

import photon_core

ROOT = Path(__file__).parents[2]
PLUGIN_FOLDERS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
SAMPLE_FOLDERS = sorted(path.parent for path in ROOT.glob("examples/plugins/*/pyproject.toml"))
# Not plugins: what several plugins share. No entry point, no plugin.py, else like them. Each has its decision record.
SHARED = {"runtime_containers": "docs/adr/0028-one-runtime-two-engines.md"}
KINDS = ("consensus", "market", "transport", "runtime", "pricing")

# A file that one can hold in one's head, a function that fits on a screen. Each exception needs its reason beside it.
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
LONGER_FILES: dict[str, str] = {}
LONGER_FUNCTIONS: dict[str, str] = {}


def pyproject(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


def product_sources() -> list[Path]:
    patterns = (
        "photon_core/**/*.py",
        "plugins/*/src/**/*.py",
        "conformance/src/**/*.py",
        "tools/*.py",
        "benchmarks/*.py",
    )
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def test_core_says_the_version_it_is_packaged_with() -> None:
    assert photon_core.__version__ == pyproject(ROOT)["project"]["version"]


@pytest.mark.parametrize("folder", PLUGIN_FOLDERS + SAMPLE_FOLDERS, ids=lambda folder: folder.name)
def test_plugins_have_one_shape(folder: Path) -> None:
    kind, _, short = folder.name.partition("_")
    project = pyproject(folder)["project"]

    assert kind in KINDS
    assert project["name"] == f"photon-{kind}-{short.replace('_', '-')}"
    assert any(requirement.startswith("photon-core>=") for requirement in project["dependencies"])
    source = folder / "src" / f"photon_{folder.name}"
    if folder.name in SHARED:
        assert "entry-points" not in project
        assert not (source / "plugin.py").exists()
        assert (ROOT / SHARED[folder.name]).exists()
    else:
        assert project["entry-points"] == {f"photon.{kind}": {folder.name: f"photon_{folder.name}.plugin"}}
        assert (source / "plugin.py").exists()
    for needed in (folder / "README.md", source / "py.typed", folder / "tests"):
        assert needed.exists(), f"plugins/{folder.name} has no {needed.name}"


@pytest.mark.parametrize("folder", [ROOT, ROOT / "conformance", *PLUGIN_FOLDERS], ids=lambda folder: folder.name)
def test_distributions_share_version_python_and_licence(folder: Path) -> None:
    core, project = pyproject(ROOT)["project"], pyproject(folder)["project"]
    for key in ("version", "requires-python", "license"):
        assert project[key] == core[key], key


def test_every_distribution_is_set_up_and_tested() -> None:
    folders = {"conformance", *(f"plugins/{folder.name}" for folder in PLUGIN_FOLDERS)}
    listed = (ROOT / "requirements/local.txt").read_text().splitlines()
    assert {line.removeprefix("-e ") for line in listed if line.startswith("-e ")} == {".", *folders}

    tox = tomllib.loads((ROOT / "tox.toml").read_text())
    names = {folder.name for folder in PLUGIN_FOLDERS}
    assert set(tox["env_base"]["plugin"]["factors"][0]["folder"]) == names
    assert {name.removeprefix("plugin-") for name in tox["env_list"] if name.startswith("plugin-")} == names


def test_locks_name_no_place_to_fetch_from() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        assert "://" not in lock.read_text(), f"{lock.name}: an index belongs to whoever installs"


def test_files_are_small() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in product_sources()}
    long = {name: lines for name, lines in lengths.items() if lines > FILE_LINES_MAX and name not in LONGER_FILES}
    assert not long, f"over {FILE_LINES_MAX} lines: split it by what changes together"


def test_functions_are_small() -> None:
    long = {}
    for path in product_sources():
        for node in ast.walk(ast.parse(path.read_text(), path.name)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.end_lineno is None:
                continue
            name = f"{path.relative_to(ROOT)}:{node.name}"
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES_MAX and name not in LONGER_FUNCTIONS:
                long[name] = lines
    assert not long, f"over {FUNCTION_LINES_MAX} lines: control flow in the parent, work in the leaves"


def test_nothing_generated_is_committed() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    generated = [name for name in tracked if name.endswith((".pyc", ".whl", ".egg-info")) or name.startswith(".venv/")]
    assert not generated
