"""Whatever a file holds, it is read, or refused with SdlErrors; nothing else, and in bounded time."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from photon_core.manifest.sections import decode_section, encode_section, mismatches
from photon_core.sdl import SdlErrors, load

KEYS = st.sampled_from(
    [
        "version",
        "include",
        "services",
        "profiles",
        "deployment",
        "compute",
        "placement",
        "infrastructure",
        "datacenters",
        "image",
        "command",
        "args",
        "env",
        "expose",
        "port",
        "as",
        "proto",
        "to",
        "accept",
        "service",
        "global",
        "depends-on",
        "dependencies",
        "web",
        "db",
        "small",
        "west",
        "pricing",
        "denom",
        "amount",
        "max-price",
        "collateral",
        "resources",
        "cpu",
        "units",
        "memory",
        "size",
        "storage",
        "disk",
        "gpu",
        "attributes",
        "profile",
        "count",
        "nodes",
        "region",
        "<<",
    ]
)
SCALARS = st.sampled_from(
    [
        "0.1",
        "2.0",
        "2.1",
        "web",
        "db",
        "small",
        "west",
        "80",
        "1Gi",
        "true",
        "A=1",
        "uptn",
        "1",
        "0",
        "",
        None,
        "*",
        "6h",
    ]
) | st.text(max_size=8)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=30
)
ROOTS = st.dictionaries(KEYS, TREES, max_size=6).flatmap(
    lambda tree: st.sampled_from(["0.1", "2.0", "2.1"]).map(lambda version: tree | {"version": version})
)
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_or_refuse(path: Path) -> None:
    refusal = None
    try:
        plan = load(path)
    except SdlErrors as errors:
        refusal = errors
    if refusal is not None:
        assert refusal.problems
        assert str(refusal)
        assert refusal.as_json()
        return
    for group in plan.groups:
        assert mismatches(group.section, group.units) == ()
        assert decode_section(encode_section(group.section)) == group.section


@quick
@given(data=st.binary(max_size=300) | st.text(max_size=300).map(lambda t: t.encode("utf-8", "replace")))
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.yml"
    path.write_bytes(data)
    read_or_refuse(path)


@quick
@given(tree=ROOTS)
def test_any_tree_of_our_words(tmp_path: Path, tree: dict[str, Any]) -> None:
    path = tmp_path / "any.yml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8", errors="replace")
    read_or_refuse(path)


@quick
@given(data=st.data())
@pytest.mark.parametrize("base", ["0.1", "older", "2.0", "2.1"])
def test_good_files_with_one_value_changed(
    tmp_path: Path, bases: dict[str, str], base: str, data: st.DataObject
) -> None:
    root: Any = yaml.safe_load(bases[base])
    node = root
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        below = node[key]
        if not isinstance(below, dict | list) or not below or data.draw(st.booleans()):
            break
        node = below
    node[key] = data.draw(TREES)
    path = tmp_path / "changed.yml"
    path.write_text(yaml.safe_dump(root, allow_unicode=True), encoding="utf-8", errors="replace")
    read_or_refuse(path)
