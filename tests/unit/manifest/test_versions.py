from attrs import evolve

from photon_core.manifest.plan import GroupPlan
from photon_core.manifest.versions import (
    SALT_BYTES,
    inconsistencies,
    manifest_version,
    seal_plan,
    section_hash,
)

CHAIN, OTHER_CHAIN = b"c" * 32, b"d" * 32


def named(group: GroupPlan, name: str) -> GroupPlan:
    return evolve(group, section=evolve(group.section, group=name))


def test_groups_carry_the_hashes_of_their_sections(group: GroupPlan) -> None:
    manifest = seal_plan([group, named(group, "east")], chain_id=CHAIN)

    assert [spec.name for spec in manifest.groups] == ["west", "east"]
    for spec, sealed, plan in zip(manifest.groups, manifest.sections, [group, named(group, "east")], strict=True):
        assert spec == plan.spec(section_hash(CHAIN, sealed.salt, sealed.raw))
        assert sealed.section == plan.section
        assert len(sealed.salt) == SALT_BYTES
    assert manifest.version == manifest_version([spec.section_hash for spec in manifest.groups])
    assert inconsistencies(manifest) == ()


def test_the_same_section_never_has_the_same_hash_twice(group: GroupPlan) -> None:
    first, second = seal_plan([group], chain_id=CHAIN), seal_plan([group], chain_id=CHAIN)
    assert first.groups[0].section_hash != second.groups[0].section_hash
    assert first.version != second.version


def test_a_hash_is_of_one_chain(group: GroupPlan) -> None:
    sealed = seal_plan([group], chain_id=CHAIN).sections[0]
    assert section_hash(CHAIN, sealed.salt, sealed.raw) != section_hash(OTHER_CHAIN, sealed.salt, sealed.raw)


def test_an_unchanged_section_keeps_its_salt(group: GroupPlan) -> None:
    before = seal_plan([group, named(group, "east")], chain_id=CHAIN)
    service = evolve(group.section.services[0], image="redis:8")
    changed = evolve(group, section=evolve(group.section, services=(service, group.section.services[1])))

    after = seal_plan([changed, named(group, "east")], chain_id=CHAIN, previous=before)

    assert after.groups[1] == before.groups[1]
    assert after.sections[0].salt != before.sections[0].salt
    assert seal_plan([group, named(group, "east")], chain_id=CHAIN, previous=before) == before


def test_a_new_price_changes_no_section(group: GroupPlan) -> None:
    before = seal_plan([group], chain_id=CHAIN)
    cheaper = evolve(group, units=tuple(evolve(unit, max_price=1) for unit in group.units))
    after = seal_plan([cheaper], chain_id=CHAIN, previous=before)
    assert after.version == before.version
    assert after.groups != before.groups


def test_what_was_tampered_with_is_found(group: GroupPlan) -> None:
    manifest = seal_plan([group, named(group, "east")], chain_id=CHAIN)
    swapped = evolve(manifest, sections=manifest.sections[::-1])
    assert len(inconsistencies(swapped)) == 3
    assert inconsistencies(evolve(manifest, version=bytes(32)))
    assert inconsistencies(evolve(manifest, sections=manifest.sections[:1]))
