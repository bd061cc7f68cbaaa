"""Version 0.1, the form of 2018, in both layouts: profiles apart from the deployment, or inside its datacenters."""

from __future__ import annotations

from photon_core.api.pricing import PRICE_PER_UPTN
from photon_core.api.resources import Resources
from photon_core.exchange.records import UPTN_MAX
from photon_core.manifest.records import Protocol

from . import draft, v01_tables
from .common import HTTP_PORT, draft_depends_on, draft_expose, draft_service, draft_targets, draft_uses, named
from .problems import Report
from .schema import Record, Shape
from .tree import Mapping

VERSION = "0.1"
_HTTPS_PORT = 443


def read(root: Mapping, report: Report) -> draft.Draft:
    deployment = root.entries.get("deployment")
    is_older = (
        "profiles" not in root.entries
        and deployment is not None
        and isinstance(deployment.value, Mapping)
        and "datacenters" in deployment.value.entries
    )
    shape: Shape = v01_tables.OLDER if is_older else v01_tables.TODAY
    record: Record = shape.read(root, report, "") or Record(root.place)
    inner: Record = record.get("deployment") or Record(record.place_of("deployment"))
    if is_older:
        placements = _older_placements(inner.get("datacenters"), report)
        uses = draft_uses(inner.get("services") or Record(inner.place), "nodes")
    else:
        placements = _placements(record, report)
        uses = draft_uses(inner)
    return draft.Draft(
        place=root.place,
        version=VERSION,
        services=_services(record.get("services"), report),
        placements=placements,
        uses=uses,
    )


def _services(services: Record | None, report: Report) -> dict[str, draft.Service]:
    if services is None:
        return {}
    return {
        name: draft_service(
            named(name, services),
            record,
            tuple(_expose(e, report) for e in record.items("expose")),
            draft_depends_on(record, "depends-on"),
            report,
        )
        for name, record in services.fields.items()
    }


def _expose(record: Record, report: Report) -> draft.Expose:
    listed = record.get("to")
    if not record.has("to"):
        targets: tuple[draft.Target, ...] = (draft.Target(place=record.place, service=None),)
    else:
        targets = draft_targets(record, report)
        if listed is not None and not listed.items:
            report.problem(
                listed.place,
                "an empty `to` could mean nobody or everyone",
                remedy="remove `to` to let everyone connect, or remove the whole expose to let nobody",
            )
    outside = record.value("as", record.value("port"))
    by_port = {HTTP_PORT: "http", _HTTPS_PORT: "https"}.get(outside or 0, "tcp")
    protocol = record.value("proto", by_port)
    is_http = protocol in {"http", "https"} or outside == HTTP_PORT
    expose = draft_expose(record, Protocol.HTTP if is_http else Protocol.TCP, targets)
    if protocol == "https" and expose.is_public:
        report.warn(
            record.place_of("proto"),
            "https is served by hostname as http is: in plain text, the provider holds no certificate",
        )
    return expose


def _compute(record: Record) -> draft.Compute:
    cpu, memory, disk = (record.value(name) for name in ("cpu", "memory", "disk"))
    whole = None not in {cpu, memory, disk}
    resources = Resources(cpu_milli=cpu, memory_bytes=memory, storage_bytes=disk) if whole else None
    return draft.Compute(place=record.place, resources=resources)


def _price(record: Record, report: Report) -> draft.Price:
    amount: int | None = record.value("max-price")
    stated = record.value("collateral")
    collateral = None
    if stated is not None and amount is not None:
        kind, number = stated
        collateral = int(number * amount / PRICE_PER_UPTN if kind == "hours" else number)
        if collateral > UPTN_MAX:
            report.problem(
                record.place_of("collateral"),
                "more collateral than there can be PTN",
                expected=f"at most {UPTN_MAX} uptn",
                remedy="write a smaller amount or a shorter time",
            )
    return draft.Price(place=record.place, amount=amount, collateral_uptn=collateral)


def _attributes(record: Record, report: Report) -> tuple[tuple[str, str], ...]:
    """`region` is the attribute of that name."""
    stated: Record = record.get("attributes") or Record(record.place)
    pairs = {key: leaf.value for key, leaf in stated.fields.items()}
    region = record.value("region")
    if region is not None and pairs.setdefault("region", region) != region:
        report.problem(
            record.place_of("region"),
            "two regions for one placement",
            expected=pairs["region"],
            found=region,
            remedy="keep `region` or `attributes.region`",
        )
    return tuple(sorted(pairs.items()))


def _placements(record: Record, report: Report) -> dict[str, draft.Placement]:
    profiles: Record = record.get("profiles") or Record(record.place)
    compute: Record = profiles.get("compute") or Record(profiles.place)
    shared = {name: _compute(profile) for name, profile in compute.fields.items()}
    if profiles.has("infrastructure") and profiles.has("placement"):
        report.problem(
            profiles.keys["placement"],
            "`placement` and `infrastructure` are the same",
            remedy="move everything under one of them",
        )
    if record.has("profiles") and not profiles.has("infrastructure") and not profiles.has("placement"):
        report.problem(
            profiles.place,
            "profiles.infrastructure is missing",
            remedy="write `infrastructure:` with pricing per placement",
        )
    placements: Record = profiles.get("infrastructure") or profiles.get("placement") or Record(profiles.place)
    return {
        name: draft.Placement(
            name=named(name, placements),
            attributes=_attributes(placement, report),
            compute=shared,
            prices=_prices(placement, report),
        )
        for name, placement in placements.fields.items()
    }


def _prices(placement: Record, report: Report) -> dict[str, draft.Price]:
    pricing: Record = placement.get("pricing") or Record(placement.place)
    return {profile: _price(price, report) for profile, price in pricing.fields.items()}


def _older_placements(datacenters: Record | None, report: Report) -> dict[str, draft.Placement]:
    if datacenters is None:
        return {}
    placements = {}
    for name, datacenter in datacenters.fields.items():
        profiles: Record = datacenter.get("profiles") or Record(datacenter.place)
        items = profiles.fields.items()
        placements[name] = draft.Placement(
            name=named(name, datacenters),
            attributes=_attributes(datacenter, report),
            compute={key: _compute(p.get("compute") or Record(p.place)) for key, p in items},
            prices={key: _price(p.get("pricing") or Record(p.place), report) for key, p in items},
        )
    return placements
