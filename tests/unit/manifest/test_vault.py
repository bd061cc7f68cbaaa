import os
from pathlib import Path

import pytest
from attrs import evolve

from photon_core.api.errors import PhotonError
from photon_core.manifest.plan import GroupPlan
from photon_core.manifest.vault import UPDATES_MAX, Vault
from photon_core.manifest.versions import Manifest, seal_plan

CHAIN, OTHER_CHAIN = b"c" * 32, b"d" * 32


@pytest.fixture
def manifest(group: GroupPlan) -> Manifest:
    return seal_plan([group], chain_id=CHAIN)


def files(home: Path) -> list[Path]:
    return sorted(path for path in home.rglob("*") if path.is_file())


def test_a_new_manifest_is_found_by_its_version_then_by_its_number(tmp_path: Path, manifest: Manifest) -> None:
    vault = Vault(tmp_path, CHAIN)
    vault.keep_new(manifest)
    assert vault.get_new(manifest.version) == manifest
    assert (vault.new_versions(), vault.deployments()) == ((manifest.version,), ())

    vault.assign(manifest.version, 17)
    vault.assign(manifest.version, 17)

    assert Vault(tmp_path, CHAIN).get(17) == manifest
    assert vault.get_new(manifest.version) is None
    assert (vault.new_versions(), vault.deployments()) == ((), (17,))


def test_only_the_owner_can_read_it(tmp_path: Path, manifest: Manifest) -> None:
    Vault(tmp_path, CHAIN).put(1, manifest)
    (path,) = files(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_two_networks_do_not_share_numbers(tmp_path: Path, group: GroupPlan, manifest: Manifest) -> None:
    elsewhere = seal_plan([group], chain_id=OTHER_CHAIN)
    Vault(tmp_path, CHAIN).put(1, manifest)
    Vault(tmp_path, OTHER_CHAIN).put(1, elsewhere)
    assert Vault(tmp_path, CHAIN).get(1) == manifest
    with pytest.raises(ValueError, match="another chain"):
        Vault(tmp_path, CHAIN).put(2, elsewhere)


def test_what_is_forgotten_is_gone(tmp_path: Path, manifest: Manifest) -> None:
    vault = Vault(tmp_path, CHAIN)
    vault.put(1, manifest)
    vault.keep_new(manifest)
    vault.forget(1)
    vault.forget(1)
    vault.forget_new(manifest.version)
    assert vault.get(1) is None
    assert files(tmp_path) == []


def test_an_empty_home_has_none(tmp_path: Path) -> None:
    assert Vault(tmp_path, CHAIN).deployments() == ()
    assert Vault(tmp_path, CHAIN).get(1) is None


def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path, manifest: Manifest) -> None:
    vault = Vault(tmp_path, CHAIN)
    vault.put(1, manifest)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[:-1],
        whole[:40] + bytes([whole[40] ^ 1]) + whole[41:],
        whole.replace(b"nginx", b"nginy"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(PhotonError) as raised:
            vault.get(1)
        assert raised.value.where == str(path)
        assert "backup" in raised.value.remedy


# --- updates ---------------------------------------------------------------------------------------------------------


def updated(group: GroupPlan, manifest: Manifest, name: str) -> Manifest:
    """The manifest with another section."""
    return seal_plan([evolve(group, section=evolve(group.section, group=name))], chain_id=CHAIN, previous=manifest)


def test_old_and_new_are_both_kept_until_the_chain_says_which_counts(
    tmp_path: Path, group: GroupPlan, manifest: Manifest
) -> None:
    vault, new = Vault(tmp_path, CHAIN), updated(group, manifest, "east")
    vault.put(17, manifest)
    vault.keep_update(17, new)
    assert vault.at_version(17, manifest.version) == manifest
    assert vault.updates(17) == (new,)
    assert vault.at_version(17, new.version) == new
    assert vault.get(17) == new
    assert vault.updates(17) == ()
    assert vault.at_version(17, new.version) == new, "again, as client and keeper do"
    assert vault.at_version(17, manifest.version) is None, "nobody needs it any more"
    assert len(files(tmp_path)) == 1


def test_an_update_from_a_home_that_had_no_manifest_is_kept_too(
    tmp_path: Path, group: GroupPlan, manifest: Manifest
) -> None:
    vault = Vault(tmp_path, CHAIN)
    vault.keep_update(17, manifest)
    assert vault.deployments() == (17,)
    assert vault.new_versions() == ()
    assert vault.at_version(17, manifest.version) == manifest


def test_what_was_refused_is_forgotten_and_with_a_deployment_all_its_updates(
    tmp_path: Path, group: GroupPlan, manifest: Manifest
) -> None:
    vault, new = Vault(tmp_path, CHAIN), updated(group, manifest, "east")
    for deployment in (1, 17):  # 1 is how 17 begins
        vault.put(deployment, manifest)
        vault.keep_update(deployment, new)
    vault.forget_update(17, new.version)
    assert (vault.updates(17), vault.updates(1)) == ((), (new,))
    vault.keep_update(17, new)
    vault.forget(1)
    assert vault.deployments() == (17,)
    assert vault.updates(17) == (new,)


def test_updates_that_were_never_sent_do_not_pile_up(tmp_path: Path, group: GroupPlan, manifest: Manifest) -> None:
    vault = Vault(tmp_path, CHAIN)
    vault.put(17, manifest)
    many = [updated(group, manifest, f"group{number}") for number in range(UPDATES_MAX + 2)]
    for number, each in enumerate(many):
        vault.keep_update(17, each)
        os.utime(tmp_path / "manifests" / CHAIN.hex()[:16] / f"update-17-{each.version.hex()}.cbor", ns=(0, number))
    vault.keep_update(17, many[-1])
    assert vault.updates(17)[-1] == many[-1]
    assert len(vault.updates(17)) == UPDATES_MAX
    assert vault.get(17) == manifest
