import stat

import pytest
from attrs import evolve

from photon_core.api import codec
from photon_core.manifest.records import SECTION_BYTES_MAX
from photon_core.manifest.versions import seal_plan, section_hash
from photon_core.provider import manifests
from photon_core.provider.manifests import Held, SectionRefused, SectionStore, check_section

CHAIN = b"\x05" * 32


@pytest.fixture
def sealed(file_plan):
    """A group as the chain has it, and its section as the tenant has it."""
    manifest = seal_plan(file_plan.groups, chain_id=CHAIN)
    return manifest.groups[0], manifest.sections[0]


@pytest.fixture
def store(tmp_path):
    return SectionStore(tmp_path / "manifests")


def held(section):
    hash_ = section_hash(CHAIN, section.salt, section.raw)
    return Held(salt=section.salt, raw=section.raw, section=section.section, hash=hash_)


def code_of(spec, salt, raw):
    with pytest.raises(SectionRefused) as raised:
        check_section(CHAIN, spec, salt, raw)
    return raised.value.code


def test_section_is_what_the_chain_has_or_refused_with_both_hashes(sealed):
    spec, section = sealed
    assert check_section(CHAIN, spec, section.salt, section.raw) == held(section)
    assert code_of(spec, bytes(32), section.raw) == "wrong-version"
    with pytest.raises(SectionRefused) as raised:
        check_section(CHAIN, evolve(spec, section_hash=bytes(32)), section.salt, section.raw)
    assert raised.value.expected == bytes(32).hex()
    assert raised.value.found == spec.section_hash.hex()


def test_section_that_asks_for_more_than_was_ordered_is_refused(sealed):
    spec, section = sealed
    (unit, *rest) = spec.units
    fewer = evolve(spec, units=(evolve(unit, count=unit.count + 1), *rest))
    assert code_of(fewer, section.salt, section.raw) == "unfit-section"


def test_section_that_is_too_large_is_not_even_hashed(sealed, monkeypatch):
    spec, section = sealed
    monkeypatch.setattr(manifests, "section_hash", lambda *_: pytest.fail("hashed"))
    assert code_of(spec, section.salt, bytes(SECTION_BYTES_MAX + 1)) == "too-large"


def test_kept_section_is_found_again_and_nobody_else_can_read_it(store, sealed, lease, tmp_path):
    spec, section = sealed
    store.put(lease, held(section))
    assert store.get(lease, CHAIN, spec) == held(section)
    (file,) = (tmp_path / "manifests").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert store.leases() == (lease,)


def test_writing_that_breaks_off_leaves_the_old_section(store, sealed, lease, monkeypatch):
    spec, section = sealed
    store.put(lease, held(section))

    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    for step in ("os.fsync", "os.replace", "pathlib.Path.replace", "os.rename"):
        with monkeypatch.context() as patch:
            patch.setattr(step, fail)
            try:
                store.put(lease, evolve(held(section), raw=b"other"))
            except OSError:
                assert store.get(lease, CHAIN, spec).raw == section.raw
                assert store.leases() == (lease,)
                break
    else:
        pytest.fail("no step of the write could be made to fail")


@pytest.mark.parametrize("torn", [b"", b"\x82", b"not CBOR at all", codec.encode([b"short", b"x"]), codec.encode(7)])
def test_torn_file_is_set_aside_and_counts_as_not_delivered(store, sealed, lease, tmp_path, torn):
    """The tenant delivers again; the file is kept for whoever wonders."""
    spec, section = sealed
    store.put(lease, held(section))
    (file,) = (tmp_path / "manifests").iterdir()
    file.write_bytes(torn)
    assert store.get(lease, CHAIN, spec) is None
    assert [path.suffix for path in (tmp_path / "manifests").iterdir()] == [".bad"]
    store.put(lease, held(section))
    assert store.get(lease, CHAIN, spec) is not None


def test_section_of_the_version_before_is_kept_until_the_new_one_comes(store, sealed, lease):
    """What the chain says meanwhile is no reason to forget what runs."""
    spec, section = sealed
    store.put(lease, held(section))
    assert store.get(lease, CHAIN, evolve(spec, section_hash=bytes(32))) == held(section)


def test_section_of_the_version_before_must_be_what_was_delivered_and_what_was_ordered(store, sealed, lease):
    spec, section = sealed
    updated = evolve(spec, section_hash=bytes(32))
    store.put(lease, evolve(held(section), raw=section.raw + b"!"))
    assert store.get(lease, CHAIN, updated) is None
    store.put(lease, held(section))
    (unit, *rest) = spec.units
    assert store.get(lease, CHAIN, evolve(updated, units=(evolve(unit, count=unit.count + 1), *rest))) is None


def test_file_of_an_agent_that_knew_no_updates_is_read_if_it_is_what_the_chain_has(store, sealed, lease, tmp_path):
    spec, section = sealed
    file = tmp_path / "manifests" / f"{lease.label}.cbor"
    file.write_bytes(codec.encode([section.salt, section.raw]))
    assert store.get(lease, CHAIN, spec) == held(section)
    assert store.get(lease, CHAIN, evolve(spec, section_hash=bytes(32))) is None


def test_forgetting_leaves_nothing_and_may_be_done_twice(store, sealed, lease, tmp_path):
    _, section = sealed
    store.put(lease, held(section))
    store.forget(lease)
    store.forget(lease)
    assert list((tmp_path / "manifests").iterdir()) == []


def test_files_that_are_not_ours_are_passed_over(store, tmp_path):
    (tmp_path / "manifests" / "notes.cbor").write_bytes(b"x")
    (tmp_path / "manifests" / "README").write_bytes(b"x")
    assert store.leases() == ()
