"""Versions 2.0 and 2.1, as users of the Akash Network write them today. They differ in how services become units."""

from __future__ import annotations

from collections.abc import Mapping as MappingLike
from fractions import Fraction

from photon_core.api.pricing import PRICE_PER_UPTN
from photon_core.api.resources import Resources
from photon_core.manifest.records import Protocol

from . import draft, quantities, v2_tables
from .common import (
    HTTP_PORT,
    PRICE_MAX,
    draft_depends_on,
    draft_expose,
    draft_service,
    draft_targets,
    draft_uses,
    named,
)
from .problems import Report
from .schema import Leaf, Record
from .tree import Mapping

UNMERGED = "2.0"
MERGED = "2.1"


def read(version: str, rates: MappingLike[str, Fraction], root: Mapping, report: Report) -> draft.Draft:
    record: Record = v2_tables.top(rates).read(root, report, "") or Record(root.place)
    profiles: Record = record.get("profiles") or Record(record.place)
    placements: Record = profiles.get("placement") or Record(profiles.place)
    compute: Record = profiles.get("compute") or Record(profiles.place)
    _check_one_denom(placements, report)
    return draft.Draft(
        place=root.place,
        version=version,
        services=_services(record.get("services"), report),
        placements=_placements(placements, compute, rates, report),
        uses=draft_uses(record.get("deployment") or Record(record.place)),
        merge_units=version == MERGED,
        needs_ingress=True,
    )


def _services(services: Record | None, report: Report) -> dict[str, draft.Service]:
    if services is None:
        return {}
    return {
        name: draft_service(
            named(name, services),
            record,
            tuple(_expose(e, report) for e in record.items("expose")),
            draft_depends_on(record, "dependencies"),
            report,
        )
        for name, record in services.fields.items()
    }


def _expose(record: Record, report: Report) -> draft.Expose:
    listed = record.get("to")
    if not record.has("to") or (listed is not None and not listed.items):
        report.warn(record.place, "this port is opened to nobody: `to` names neither a service nor `global: true`")
    outside = record.value("as", record.value("port"))
    return draft_expose(record, Protocol.HTTP if outside == HTTP_PORT else Protocol.TCP, draft_targets(record, report))


def _check_one_denom(placements: Record, report: Report) -> None:
    """One denom in a file: prices that cannot be added up have no maximum."""
    denoms: list[Leaf[str]] = [
        price.get("denom")
        for placement in placements.fields.values()
        for price in (placement.get("pricing") or Record(placement.place)).fields.values()
        if price.get("denom") is not None
    ]
    for leaf in denoms[1:]:
        if leaf.value != denoms[0].value:
            report.problem(
                leaf.place,
                "two denoms in one file",
                expected=f"{denoms[0].value}, as at line {denoms[0].place.line}",
                found=leaf.value,
                remedy="write all prices in one denom",
            )
    for leaf in denoms[:1]:
        if leaf.value != "uptn":
            report.warn(leaf.place, f"{leaf.value} is read as uptn by the table of rates; Photon's own denom is uptn")


def _resources(profile: Record, report: Report) -> Resources | None:
    resources: Record = profile.get("resources") or Record(profile.place)
    cpu: Record = resources.get("cpu") or Record(profile.place)
    memory: Record = resources.get("memory") or Record(profile.place)
    volumes: tuple[Record, ...] = resources.items("storage")
    names: dict[str, Record] = {}
    for volume in volumes:
        name = volume.value("name", "default")
        if name is not None and names.setdefault(name, volume) is not volume:
            report.problem(
                volume.place_of("name"),
                f"two volumes are named {name}",
                found=f"the first at line {names[name].place.line}",
                remedy="give each volume its own `name`",
            )
    if resources.has("storage") and resources.get("storage") is not None and not volumes:
        report.problem(resources.place_of("storage"), "storage is empty", remedy="write `size:`, such as 1Gi")
    sizes = [volume.value("size") for volume in volumes]
    units, size = cpu.value("units"), memory.value("size")
    if None in {units, size, *sizes}:
        return None
    return Resources(cpu_milli=units, memory_bytes=size, storage_bytes=sum(sizes))


def _hardware(profile: Record) -> tuple[draft.Wanted, ...]:
    """Attributes of cpu and memory become attributes that the provider must have: `cpu/arch: amd64`."""
    resources: Record = profile.get("resources") or Record(profile.place)
    wanted = []
    for part in ("cpu", "memory"):
        record: Record = resources.get(part) or Record(profile.place)
        attributes: Record = record.get("attributes") or Record(record.place)
        for key, leaf in attributes.fields.items():
            wanted.append(draft.Wanted(place=leaf.place, key=f"{part}/{key}", value=leaf.value))
    return tuple(wanted)


def _placements(
    placements: Record, compute: Record, rates: MappingLike[str, Fraction], report: Report
) -> dict[str, draft.Placement]:
    shared = {
        name: draft.Compute(place=compute.keys[name], resources=_resources(profile, report), wanted=_hardware(profile))
        for name, profile in compute.fields.items()
    }
    drafts = {}
    for name, placement in placements.fields.items():
        attributes: Record = placement.get("attributes") or Record(placement.place)
        pricing: Record = placement.get("pricing") or Record(placement.place)
        drafts[name] = draft.Placement(
            name=named(name, placements),
            attributes=tuple(sorted((key, leaf.value) for key, leaf in attributes.fields.items())),
            compute=shared,
            prices={profile: _price(price, rates, report) for profile, price in pricing.fields.items()},
        )
    return drafts


def _price(record: Record, rates: MappingLike[str, Fraction], report: Report) -> draft.Price:
    """What is finer than 10⁻⁶ uptn per hour is rounded down: it is the most that the tenant pays."""
    amount_leaf: Leaf[Fraction] | None = record.get("amount")
    place = amount_leaf.place if amount_leaf is not None else record.place
    denom, per_block = record.value("denom"), record.value("amount")
    if denom is None or per_block is None:
        return draft.Price(place=place, amount=None)
    exact = per_block * rates[denom] * quantities.BLOCKS_PER_HOUR * PRICE_PER_UPTN
    amount = int(exact)
    if not 0 < amount <= PRICE_MAX:
        report.problem(
            place,
            "the price is out of range",
            expected="a decimal number above 0",
            found=f"{amount} millionths of a uptn per hour",
            remedy="write the most that one instance may cost per block of 6 seconds",
        )
    elif amount != exact:
        report.warn(place, f"the price is rounded down to {amount} millionths of a uptn per hour")
    return draft.Price(place=place, amount=amount)
