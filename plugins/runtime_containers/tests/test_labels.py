"""Containers are recognised by what only their maker can write."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from photon_core.testing.checks.runtime_kit import instance
from photon_runtime_containers import labels
from photon_runtime_containers.labels import Identity, Owner, Role, owner_of

CHAIN = b"\x07" * 32
IDENTITY = Identity(
    instance=instance("web"),
    role=Role.WORKLOAD,
    spec_digest="abc",
    manifest_version=b"\x09" * 32,
    sandbox="def",
)


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return owner_of(tmp_path, CHAIN, "agent")


def test_own_containers_are_recognised_by_the_next_agent(owner: Owner, tmp_path: Path) -> None:
    name = owner.name(IDENTITY)
    assert owner_of(tmp_path, CHAIN, "agent").recognise(name, owner.labels(name, IDENTITY)) == IDENTITY


def test_labels_of_the_image_make_no_stranger_of_its_container(owner: Owner) -> None:
    """An engine adds them to the container's: an agent that did not know its own would start another for ever."""
    name = owner.name(IDENTITY)
    image = {"photon.x": "1", "maintainer": "somebody"}
    assert owner.recognise(name, {**image, **owner.labels(name, IDENTITY)}) == IDENTITY


@pytest.mark.parametrize(
    "key", [labels.ROLE, labels.LEASE, labels.SERVICE, labels.ORDINAL, labels.DIGEST, labels.SANDBOX, labels.SEAL]
)
def test_nothing_can_be_changed(owner: Owner, key: str) -> None:
    name = owner.name(IDENTITY)
    made = owner.labels(name, IDENTITY)
    assert owner.recognise(name, {**made, key: "1"}) is None
    assert owner.recognise(name, {k: v for k, v in made.items() if k != key}) is None
    assert owner.recognise(name, {**made, "theirs": "of the image"}) == IDENTITY


def test_labels_are_one_containers_alone(owner: Owner) -> None:
    made = owner.labels(owner.name(IDENTITY), IDENTITY)
    assert owner.recognise(owner.name(IDENTITY), made) is None


def test_other_agents_and_homes_are_strangers(owner: Owner, tmp_path: Path) -> None:
    name = owner.name(IDENTITY)
    made = owner.labels(name, IDENTITY)
    (tmp_path / "other").mkdir()
    for stranger in (owner_of(tmp_path, CHAIN, "b"), owner_of(tmp_path / "other", CHAIN, "agent")):
        assert stranger.recognise(name, made) is None


def test_key_is_for_nobody_else_and_a_torn_one_is_replaced(tmp_path: Path, owner: Owner) -> None:
    path = tmp_path / labels.KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"")
    assert len(owner_of(tmp_path, CHAIN, "agent").key) == labels.KEY_BYTES


def test_names_say_what_they_are_and_are_names(owner: Owner) -> None:
    name = owner.name(Identity(instance=instance("a/b c" * 30), role=Role.SANDBOX))
    assert name.startswith("photon-1-0-0-a-b-c")
    assert "sandbox" in name
    assert len(name) < 100
