"""The way of a file: read and merged, held against its version's tables, drafted, checked, translated."""

from __future__ import annotations

from collections.abc import Mapping as MappingLike
from fractions import Fraction
from pathlib import Path

from attrs import frozen

from photon_core.api.errors import CodecError
from photon_core.manifest.plan import GroupPlan
from photon_core.manifest.records import SECTION_BYTES_MAX, Section
from photon_core.manifest.sections import encode_section

from . import draft, v01, v2
from .checks import check
from .files import read_merged
from .problems import Notice, Place, Report, quoted
from .translate import translate
from .tree import Mapping, Scalar, kind_of

VERSIONS = (v01.VERSION, v2.UNMERGED, v2.MERGED)
RATES: MappingLike[str, Fraction] = {"uptn": Fraction(1), "uakt": Fraction(1), "uact": Fraction(1)}
"""How many uptn one of a denom is worth, for files that were written for another network."""


@frozen(kw_only=True)
class Plan:
    """What a file asks for. `groups` in order of their placements' names; `warnings` in order of their places."""

    version: str
    groups: tuple[GroupPlan, ...]
    warnings: tuple[Notice, ...] = ()

    @property
    def sections(self) -> tuple[Section, ...]:
        return tuple(group.section for group in self.groups)

    @property
    def max_price(self) -> int:
        """The most the deployment may cost: 10⁻⁶ uptn per hour."""
        return sum(group.max_price for group in self.groups)


def load(path: Path, *, rates: MappingLike[str, Fraction] = RATES) -> Plan:
    """Read a deployment file.

    Args:
        path: The file; what it includes is found relative to it. It is named in errors as it is given here.
        rates: uptn per denom, for the prices of 2.x files. Other denoms are refused.

    Raises:
        SdlErrors: Everything that is wrong with it.
    """
    report = Report()
    root = read_merged(Path(path), report)
    file = _draft(root, rates, report)
    if file is not None:
        check(file, report)
    report.raise_if_any()
    assert file is not None, "a file without a draft has a problem"
    groups = translate(file)
    _check_sizes(file, groups, report)
    report.raise_if_any()
    warnings = sorted(report.warnings.values(), key=lambda w: w.place)
    return Plan(version=file.version, groups=groups, warnings=tuple(warnings))


def _draft(root: Mapping, rates: MappingLike[str, Fraction], report: Report) -> draft.Draft | None:
    entry = root.entries.get("version")
    listed = ", ".join(f'"{version}"' for version in VERSIONS)
    version = entry.value.text if entry is not None and isinstance(entry.value, Scalar) else None
    match version:
        case v01.VERSION:
            return v01.read(root, report)
        case v2.UNMERGED | v2.MERGED:
            return v2.read(version, rates, root, report)
    remedy = 'write `version: "2.0"` as the first line'
    if entry is None:
        report.problem(root.place, "version is missing", expected=f"one of {listed}", remedy=remedy)
    else:
        found = quoted(version) if version is not None else kind_of(entry.value)
        report.problem(
            entry.value.place, "this version is not known", expected=f"one of {listed}", found=found, remedy=remedy
        )
    return None


def _check_sizes(file: draft.Draft, groups: tuple[GroupPlan, ...], report: Report) -> None:
    """A section has a limit that only its whole can show."""
    for group in groups:
        place: Place = file.placements[group.name].name.place
        try:
            encode_section(group.section)
        except CodecError as error:
            report.problem(
                place,
                f"placement {group.name} does not fit into a manifest section of {SECTION_BYTES_MAX} bytes",
                found=str(error)[:200],
                remedy="put data into the image instead of env and args",
            )
