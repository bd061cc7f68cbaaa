"""Hashes: no two inputs that mean different things may share their bytes."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photon_core.api.hashing import Domain, digest, domain_prefix, merkle_root


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_parts_cannot_be_cut_differently(first: list[bytes], second: list[bytes]) -> None:
    assert (digest("d", *first) == digest("d", *second)) == (first == second)


@given(st.lists(st.binary(max_size=3), max_size=9), st.lists(st.binary(max_size=3), max_size=9))
def test_two_lists_have_two_roots(first: list[bytes], second: list[bytes]) -> None:
    assert (merkle_root("d", first) == merkle_root("d", second)) == (first == second)


def test_an_odd_leaf_is_not_its_own_sibling() -> None:
    assert merkle_root("d", [b"a", b"b", b"c"]) != merkle_root("d", [b"a", b"b", b"c", b"c"])


def test_a_node_cannot_pass_for_a_leaf() -> None:
    node = digest("d/node", digest("d/leaf", b"a"), digest("d/leaf", b"b"))
    assert merkle_root("d", [node]) != merkle_root("d", [b"a", b"b"])


def test_a_tree_is_made_of_digests() -> None:
    left = digest("d/node", digest("d/leaf", b"a"), digest("d/leaf", b"bb"))
    root = digest("d/node", left, digest("d/leaf", b""))
    assert merkle_root("d", [b"a", b"bb", b""]) == digest("d", (3).to_bytes(8, "big"), root)


def test_domains_are_distinct_and_none_begins_another() -> None:
    for one, other in combinations(Domain, 2):
        assert not domain_prefix(one).startswith(domain_prefix(other))
        assert digest(one, b"x") != digest(other, b"x")


def test_the_values_never_change() -> None:
    """A change here would be another chain."""
    assert digest("photon/test/1", b"a", b"") == bytes.fromhex(
        "a8dd2f723a2e62bb9c7d01c0707b118ebe13c5676e2c8950328b0e52cd0893f9"
    )
    assert merkle_root("photon/test/1", [b"a", b"b", b"c"]) == bytes.fromhex(
        "66fbf94364cb5424b680fb9ff8b604186afc93d16c40859b31067e9f7f128bd1"
    )


def test_a_domain_has_a_length_that_fits_its_byte() -> None:
    for bad in ("", "x" * 256):
        with pytest.raises(ValueError, match="1 to 255"):
            domain_prefix(bad)
