"""From a draft without holes to groups: what goes on chain, and what goes to each provider.

The same deployment gives the same groups in every version of the format, and in whatever order it is written: groups
are in order of their placements' names, services and units in order of the services' names.
"""

from __future__ import annotations

from photon_core.api.pricing import PRICE_PER_UPTN
from photon_core.api.resources import Resources, ResourceUnit
from photon_core.manifest.plan import GroupPlan
from photon_core.manifest.records import Expose, Protocol, Section, Service, Target

from . import draft


def uses_by_placement(file: draft.Draft) -> dict[str, list[draft.Use]]:
    """In order of the placements' names, each in order of the services'."""
    groups: dict[str, list[draft.Use]] = {}
    for use in sorted(file.uses, key=lambda use: (use.placement.value, use.service.value)):
        groups.setdefault(use.placement.value, []).append(use)
    return groups


def group_collateral_uptn(placement: draft.Placement, uses: list[draft.Use]) -> int:
    """What is stated for each instance, one hour of the price where nothing is, rounded down to whole uptn."""
    stated, hourly = 0, 0
    for use in uses:
        price = placement.prices.get(use.profile.value) if use.profile is not None else None
        if price is None or price.amount is None or use.count is None:
            continue
        if price.collateral_uptn is None:
            hourly += price.amount * use.count
        else:
            stated += price.collateral_uptn * use.count
    return stated + hourly // PRICE_PER_UPTN


def translate(file: draft.Draft) -> tuple[GroupPlan, ...]:
    return tuple(_group(file, file.placements[name], uses) for name, uses in uses_by_placement(file).items())


def _group(file: draft.Draft, placement: draft.Placement, uses: list[draft.Use]) -> GroupPlan:
    here = {use.service.value for use in uses}
    attributes = dict(placement.attributes)
    for use in uses:
        attributes.update((want.key, want.value) for want in placement.compute[_profile(use)].wanted)
    return GroupPlan(
        section=Section(
            group=placement.name.value,
            services=tuple(_service(file.services[use.service.value], use, placement, here) for use in uses),
        ),
        units=_units(placement, uses, merge=file.merge_units),
        attributes=tuple(sorted(attributes.items())),
        collateral_uptn=group_collateral_uptn(placement, uses),
    )


def _profile(use: draft.Use) -> str:
    assert use.profile is not None, "checked before"
    return use.profile.value


def _resources(placement: draft.Placement, use: draft.Use) -> Resources:
    resources = placement.compute[_profile(use)].resources
    assert resources is not None, "checked before"
    return resources


def _units(placement: draft.Placement, uses: list[draft.Use], *, merge: bool) -> tuple[ResourceUnit, ...]:
    """One unit per service; merged, one per profile, at the place of its first service."""
    counts: dict[str, tuple[draft.Use, int]] = {}
    for use in uses:
        key = _profile(use) if merge else use.service.value
        first, count = counts.get(key, (use, 0))
        counts[key] = (first, count + (use.count or 0))
    units = []
    for first, count in counts.values():
        price = placement.prices[_profile(first)].amount
        assert price is not None, "checked before"
        units.append(ResourceUnit(resources=_resources(placement, first), count=count, max_price=price))
    return tuple(units)


def _service(service: draft.Service, use: draft.Use, placement: draft.Placement, here: set[str]) -> Service:
    assert service.image is not None, "checked before"
    assert use.count is not None, "checked before"
    return Service(
        name=service.name.value,
        image=service.image,
        command=service.command,
        args=service.args,
        env=service.env,
        count=use.count,
        resources=_resources(placement, use),
        expose=_exposes(service, here),
        depends_on=tuple(dict.fromkeys(name.value for name in service.depends_on if name.value in here)),
    )


def _exposes(service: draft.Service, here: set[str]) -> tuple[Expose, ...]:
    """One per port that others see: entries for the same port are one entry. Services elsewhere cannot connect."""
    by_port: dict[int, list[draft.Expose]] = {}
    for expose in service.exposes:
        assert expose.as_port is not None, "checked before"
        by_port.setdefault(expose.as_port, []).append(expose)
    merged = []
    for as_port, entries in sorted(by_port.items()):
        port = entries[0].port
        assert port is not None, "checked before"
        public = [entry for entry in entries if entry.is_public]
        protocol = public[0].ingress if public else Protocol.TCP
        callers = sorted({t.service.value for e in entries for t in e.targets if t.service is not None} & here)
        hostnames = tuple(name.value for entry in public for name in entry.hostnames)
        merged.append(
            Expose(
                port=port,
                as_port=as_port,
                protocol=protocol,
                hostnames=hostnames if protocol is Protocol.HTTP else (),
                targets=(*((Target(),) if public else ()), *(Target(service=name) for name in callers)),
            )
        )
    return tuple(merged)
