"""What a deployment asks for before it is sealed: one plan per group, from a file or made by a program."""

from __future__ import annotations

from attrs import frozen

from photon_core.api.ids import Address, Hash
from photon_core.api.resources import ResourceUnit, max_price
from photon_core.exchange.records import GroupSpec

from .records import Section


@frozen(kw_only=True)
class GroupPlan:
    """One placement: what goes on chain (all but the section's hash), and the section that goes to the provider.

    `units` are in order; a section's services use them up exactly (`sections.mismatches`). `attributes` are
    (key, value) pairs in order of their keys.
    """

    section: Section
    units: tuple[ResourceUnit, ...]
    attributes: tuple[tuple[str, str], ...] = ()
    collateral_uptn: int
    allowed_providers: tuple[Address, ...] = ()

    @property
    def name(self) -> str:
        return self.section.group

    @property
    def max_price(self) -> int:
        """The most the group may cost: 10⁻⁶ uptn per hour."""
        return max_price(self.units)

    def spec(self, section_hash: Hash) -> GroupSpec:
        return GroupSpec(
            name=self.name,
            units=self.units,
            attributes=self.attributes,
            collateral_uptn=self.collateral_uptn,
            section_hash=section_hash,
            allowed_providers=self.allowed_providers,
        )
