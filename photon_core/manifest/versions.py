"""The version of a manifest, which is what the chain knows of it: a root over one salted hash per group.

Without the salt anyone could try weak secrets against the public hash, for ever. It travels with the section and is
kept by the tenant's client. Sealing again keeps the salt of each section that did not change, so that its hash stays
the same and an update touches only the groups that it is about.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from attrs import frozen

from photon_core.api import fields
from photon_core.api.hashing import Domain, digest, merkle_root
from photon_core.api.ids import Hash
from photon_core.exchange.messages import GROUPS_MAX
from photon_core.exchange.records import GroupSpec

from .plan import GroupPlan
from .records import SECTION_BYTES_MAX, Section
from .sections import decode_section, encode_section

SALT_BYTES = 32


@frozen(kw_only=True)
class SealedSection:
    """A section's bytes as they are hashed and delivered, with their salt: the secret half of a group."""

    raw: bytes = fields.blob(maximum=SECTION_BYTES_MAX)
    salt: bytes = fields.blob(SALT_BYTES)

    @property
    def section(self) -> Section:
        return decode_section(self.raw)


@frozen(kw_only=True)
class Manifest:
    """What a tenant keeps of a deployment. `groups`, `version` go on chain; `sections`, in order, to providers."""

    chain_id: Hash = fields.hash32()
    version: Hash = fields.hash32()
    groups: tuple[GroupSpec, ...] = fields.listof(fields.record_form(GroupSpec), GROUPS_MAX, 1)
    sections: tuple[SealedSection, ...] = fields.listof(fields.record_form(SealedSection), GROUPS_MAX, 1)


def section_hash(chain_id: Hash, salt: bytes, raw: bytes) -> Hash:
    return digest(Domain.MANIFEST_SECTION, chain_id, salt, raw)


def manifest_version(section_hashes: Sequence[Hash]) -> Hash:
    """In order of the groups."""
    return merkle_root(Domain.MANIFEST_VERSION, section_hashes)


def seal_plan(
    groups: Sequence[GroupPlan],
    *,
    chain_id: Hash,
    previous: Manifest | None = None,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> Manifest:
    """Give each group's section a salt and the plan a version.

    Args:
        groups: As `photon_core.sdl.load` gives them, in order.
        chain_id: The chain that it is for: elsewhere the same sections have another version.
        previous: What this deployment was until now; unchanged sections keep their salts.
        random: Gives so many random bytes.

    Raises:
        CodecError: A section that does not keep its own bounds.
    """
    salts = {} if previous is None else {sealed.raw: sealed.salt for sealed in previous.sections}
    specs, sections = [], []
    for group in groups:
        raw = encode_section(group.section)
        # Each salt is used once, also when two groups had the same section: their names differ, so they cannot have.
        sealed = SealedSection(raw=raw, salt=salts.get(raw) or random(SALT_BYTES))
        sections.append(sealed)
        specs.append(group.spec(section_hash(chain_id, sealed.salt, raw)))
    return Manifest(
        chain_id=chain_id,
        version=manifest_version([spec.section_hash for spec in specs]),
        groups=tuple(specs),
        sections=tuple(sections),
    )


def inconsistencies(manifest: Manifest) -> tuple[str, ...]:
    """Why a manifest that was read from a file cannot be what was sealed; empty when it is."""
    if len(manifest.groups) != len(manifest.sections):
        return (f"{len(manifest.groups)} groups and {len(manifest.sections)} sections",)
    hashes = [section_hash(manifest.chain_id, sealed.salt, sealed.raw) for sealed in manifest.sections]
    found = [
        f"the section of group {spec.name} does not have the hash that stands on chain"
        for spec, actual in zip(manifest.groups, hashes, strict=True)
        if spec.section_hash != actual
    ]
    if manifest_version(hashes) != manifest.version:
        found.append("the version is not the root over its sections")
    return tuple(found)
