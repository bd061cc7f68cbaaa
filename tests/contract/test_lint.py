"""The linters, as tests, so that one pytest summary covers them: style, types, and which room may import which."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN_FOLDERS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
SAMPLE_FOLDERS = sorted(path.parent for path in ROOT.glob("examples/plugins/*/pyproject.toml"))

# What a plugin may import of the core: the contract, its hooks, and the checks it is tested with.
PLUGIN_MAY_IMPORT = ("photon_core.api", "photon_core.hooks", "photon_core.testing")

# What two plugins share is a distribution of its own, and theirs alone (ADR 28).
SHARED = {"runtime_docker": ("photon_runtime_containers",), "runtime_podman": ("photon_runtime_containers",)}


def run_tool(*arguments: str) -> None:
    tool = Path(sys.executable).with_name(arguments[0])
    finished = subprocess.run([tool, *arguments[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        pytest.fail(f"{' '.join(arguments)}\n{finished.stdout}{finished.stderr}", pytrace=False)


def imported_modules(source: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) for each import of a file; `from a import b` counts as `a.b`, which may be a module."""
    for node in ast.walk(ast.parse(source.read_text(), source.name)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_ruff_finds_nothing() -> None:
    run_tool("ruff", "check", "--no-cache", ".")


def test_every_file_is_formatted() -> None:
    run_tool("ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.timeout(300)
def test_types_are_strict() -> None:
    packages = [
        "photon_core",
        "photon_conformance",
        "benchmarks",
        *(f"photon_{folder.name}" for folder in PLUGIN_FOLDERS),
    ]
    run_tool("mypy", *(part for name in packages for part in ("-p", name)))
    run_tool("mypy", *(str(path) for path in sorted((ROOT / "tools").glob("*.py"))))


def test_rooms_of_the_core_import_only_lower_ones() -> None:
    run_tool("lint-imports", "--no-cache")


def test_core_imports_no_plugin() -> None:
    kinds = tuple(f"photon_{folder.name.partition('_')[0]}_" for folder in PLUGIN_FOLDERS)
    wrong = [
        f"{source.relative_to(ROOT)}:{line} imports {name}"
        for source in sorted((ROOT / "photon_core").rglob("*.py"))
        for line, name in imported_modules(source)
        if name.startswith(kinds)
    ]
    assert not wrong, "the core names its plugins, it never imports them"


@pytest.mark.parametrize("folder", PLUGIN_FOLDERS + SAMPLE_FOLDERS, ids=lambda folder: folder.name)
def test_plugin_imports_only_the_contract(folder: Path) -> None:
    own = f"photon_{folder.name}"
    allowed = (*PLUGIN_MAY_IMPORT, *SHARED.get(folder.name, ()))
    wrong = [
        f"{source.relative_to(ROOT)}:{line} imports {name}"
        for source in sorted((folder / "src").rglob("*.py"))
        for line, name in imported_modules(source)
        if name.startswith("photon_")
        and not is_within(name, own)
        and not any(is_within(name, package) for package in allowed)
    ]
    assert not wrong, f"it may import {', '.join(allowed)} and itself"
