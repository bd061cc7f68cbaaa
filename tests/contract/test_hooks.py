"""A hook without a test, without documentation or without an example that runs does not exist."""

import ast
import inspect
from pathlib import Path

import pytest

from photon_core import hooks
from photon_core.api.plugin import KINDS
from photon_core.plugins.discovery import InstalledPlugin
from photon_core.plugins.kinds import KIND, capability_words, look_up
from photon_core.plugins.registry import HOOK_NAMES, Registry
from photon_core.testing.examples import example_of, example_source

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/plugins.md").read_text()
TESTS = ast.parse((ROOT / "tests/unit/plugins/test_hooks.py").read_text())

hook = pytest.mark.parametrize("hook", HOOK_NAMES)


def test_there_is_a_kind_for_every_hook_and_a_hook_for_every_kind() -> None:
    assert {kind.hook for kind in KIND.values()} == set(HOOK_NAMES)
    assert tuple(KIND) == KINDS


def test_what_the_table_of_kinds_names_exists() -> None:
    for kind in KIND.values():
        if kind.protocol:
            assert look_up(kind.protocol)
        for word, protocol in capability_words(kind).items():
            assert isinstance(word, str)
            assert not protocol or look_up(protocol)


@hook
def test_a_hook_has_a_test(hook: str) -> None:
    functions = {node.name for node in ast.walk(TESTS) if isinstance(node, ast.FunctionDef)}
    assert f"test_{hook}" in functions, "write it in tests/unit/plugins/test_hooks.py"


@hook
def test_a_hook_is_in_the_guide(hook: str) -> None:
    assert f"### `{hook}`" in GUIDE, "give it a section in docs/plugins.md"


@hook
def test_a_hook_takes_at_most_one_argument_and_collects(hook: str) -> None:
    spec = getattr(hooks, hook)
    assert not inspect.iscoroutinefunction(spec)
    assert len(inspect.signature(spec).parameters) <= 1
    assert not spec.photon_spec["firstresult"]
    assert not spec.photon_spec["historic"]


@hook
def test_a_hook_explains_itself(hook: str) -> None:
    lines = (inspect.getdoc(getattr(hooks, hook)) or "").splitlines()
    assert len(lines) >= 20, "say what it is for, what is promised, and give an example"


@hook
def test_a_hooks_example_is_a_plugin(hook: str) -> None:
    assert f"def {hook}" in example_source(hook)
    assert "@hookimpl" in example_source(hook)
    owner = InstalledPlugin(kind="market", name="x", place="x", distribution="x", version="1")
    registry = Registry()
    registry.register(owner, example_of(hook))
    assert registry.names == ("market_x",)
