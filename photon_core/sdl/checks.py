"""What has to hold between the parts of a file: every name that is used exists, and can mean one thing only."""

from __future__ import annotations

from collections.abc import Iterable

from photon_core.exchange.messages import GROUPS_MAX
from photon_core.exchange.records import UPTN_MAX
from photon_core.manifest.records import Protocol

from . import draft
from .common import PRICE_MAX
from .problems import Place, Report, quoted
from .translate import group_collateral_uptn, uses_by_placement


def check(file: draft.Draft, report: Report) -> None:
    _check_uses(file, report)
    _check_unused(file, report)
    for service in file.services.values():
        _check_exposes(service, report)
        _check_references(file, service, report)
        _check_runs_everywhere(service, report)
    _check_hostnames(file, report)
    _check_cycles(file, report)
    _check_groups(file, report)
    if file.needs_ingress:
        _check_reachable(file, report)
        report.warn(file.place, "services cannot reach the internet: connections to the outside are not supported yet")


def _unknown(report: Report, name: draft.Name, kind: str, known: Iterable[str], where: str) -> None:
    names = sorted(known)
    report.problem(
        name.place,
        f"there is no {kind} {quoted(name.value)}",
        expected=f"one of {', '.join(names[:20])}" if names else "",
        remedy=report.suggest(name.value, names) or f"define it under `{where}`, or name another",
    )


def _check_uses(file: draft.Draft, report: Report) -> None:
    if not file.uses and not report.problems:
        report.problem(
            file.place, "nothing is deployed", remedy="name a service, a placement and a profile under `deployment`"
        )
    for use in file.uses:
        placement = file.placements.get(use.placement.value)
        if use.service.value not in file.services:
            _unknown(report, use.service, "service", file.services, "services")
        if placement is None:
            _unknown(report, use.placement, "placement", file.placements, "profiles")
        elif use.profile is not None:
            if use.profile.value not in placement.compute:
                _unknown(report, use.profile, "compute profile", placement.compute, "profiles")
            if use.profile.value not in placement.prices:
                report.problem(
                    placement.name.place,
                    f"placement {placement.name.value} has no price for profile {quoted(use.profile.value)}",
                    found=f"its use at line {use.profile.place.line}",
                    remedy=f"write `{use.profile.value}:` with a price under its `pricing`",
                )


def _check_unused(file: draft.Draft, report: Report) -> None:
    services = {use.service.value for use in file.uses}
    placements = {use.placement.value for use in file.uses}
    for name, service in file.services.items():
        if name not in services:
            report.warn(service.name.place, f"service {name} is not deployed: nothing under `deployment` names it")
    for name, placement in file.placements.items():
        if name not in placements:
            report.warn(placement.name.place, f"placement {name} is not used: nothing under `deployment` names it")
    profiles = {(use.placement.value, use.profile.value) for use in file.uses if use.profile is not None}
    used = {
        there.compute[profile].place
        for name, profile in profiles
        if (there := file.placements.get(name)) is not None and profile in there.compute
    }
    for placement in file.placements.values():
        for name, compute in placement.compute.items():
            if compute.place not in used:
                report.warn(compute.place, f"compute profile {name} is not used: nothing under `deployment` names it")


def _check_runs_everywhere(service: draft.Service, report: Report) -> None:
    if not service.command and not service.args:
        report.warn(
            service.name.place,
            f"service {service.name.value} has neither command nor args: it runs only where images run (Docker, "
            "Podman), not as a process",
        )


def _check_exposes(service: draft.Service, report: Report) -> None:
    seen: dict[int, draft.Expose] = {}
    by_hostname = [e for e in service.exposes if e.is_public and e.ingress is Protocol.HTTP]
    for expose in service.exposes:
        if expose.as_port is None or expose.port is None:
            continue
        first = seen.setdefault(expose.as_port, expose)
        if first.port != expose.port:
            report.problem(
                expose.place,
                f"port {expose.as_port} of service {service.name.value} is given twice",
                found=f"port {first.port} at line {first.place.line}, port {expose.port} here",
                remedy="give each its own `as:`",
            )
    for expose in by_hostname[1:]:
        if expose.as_port != by_hostname[0].as_port:
            report.problem(
                expose.place,
                f"service {service.name.value} serves HTTP by hostname at two ports",
                found=f"the first at line {by_hostname[0].place.line}",
                remedy="make one of them plain TCP, or move it to a service of its own",
            )
    for expose in service.exposes:
        if expose.hostnames and expose not in by_hostname:
            report.warn(
                expose.hostnames[0].place,
                "`accept` has no effect: only HTTP at external port 80, open to everyone, is found by hostname",
            )


def _check_references(file: draft.Draft, service: draft.Service, report: Report) -> None:
    """Targets and dependencies name services; between placements they have no effect."""
    here = {use.placement.value for use in file.uses if use.service.value == service.name.value}
    targets = [target.service for expose in service.exposes for target in expose.targets if target.service is not None]
    for names, effect in ((targets, "can connect to"), (list(service.depends_on), "is ready before")):
        for name in names:
            there = {use.placement.value for use in file.uses if use.service.value == name.value}
            if name.value not in file.services:
                _unknown(report, name, "service", file.services, "services")
            elif here and there and not here & there:
                report.warn(
                    name.place,
                    f"no effect: {name.value} {effect} {service.name.value} only at one placement, and they share none",
                )


def _check_hostnames(file: draft.Draft, report: Report) -> None:
    first: dict[str, Place] = {}
    for service in file.services.values():
        for expose in service.exposes:
            for name in expose.hostnames:
                if name.value in first:
                    report.problem(
                        name.place,
                        f"the hostname {name.value} is given twice",
                        found=f"the first at line {first[name.value].line}",
                        remedy="keep it at one expose",
                    )
                first.setdefault(name.value, name.place)


def _check_cycles(file: draft.Draft, report: Report) -> None:
    """Takes away services that wait for nothing that is left: who remains is in a circle, or waits for one."""
    waits = {
        name: [d for d in service.depends_on if d.value in file.services] for name, service in file.services.items()
    }
    while ready := [name for name, needs in waits.items() if not any(need.value in waits for need in needs)]:
        for name in ready:
            del waits[name]
    while waits:
        path: list[str] = [next(iter(waits))]
        while True:
            need = next(n for n in waits[path[-1]] if n.value in waits)
            if need.value in path:
                break
            path.append(need.value)
        cycle = [*path[path.index(need.value) :], need.value]
        report.problem(
            need.place,
            "services wait for each other in a circle",
            found=" -> ".join(cycle[:20]),
            remedy="remove one of these dependencies",
        )
        for name in path:
            del waits[name]
        # Who only waited for that cycle is not in another one.
        while behind := [n for n, needs in waits.items() if not any(need.value in waits for need in needs)]:
            for name in behind:
                del waits[name]


def _check_groups(file: draft.Draft, report: Report) -> None:
    groups = uses_by_placement(file)
    if len(groups) > GROUPS_MAX:
        report.problem(
            file.place,
            "too many placements in use",
            expected=f"at most {GROUPS_MAX}",
            found=str(len(groups)),
            remedy="split the deployment into two files",
        )
    for name, uses in groups.items():
        placement = file.placements.get(name)
        if placement is None:
            continue
        wanted = dict(placement.attributes)
        total = 0
        for use in uses:
            profile = use.profile.value if use.profile is not None else ""
            price = placement.prices.get(profile)
            total += (price.amount or 0) * (use.count or 0) if price is not None else 0
            for want in placement.compute[profile].wanted if profile in placement.compute else ():
                if wanted.setdefault(want.key, want.value) != want.value:
                    report.problem(
                        want.place,
                        f"placement {name} would need two values of {want.key}",
                        expected=wanted[want.key],
                        found=want.value,
                        remedy="deploy these services at two placements",
                    )
        if total > PRICE_MAX or group_collateral_uptn(placement, uses) > UPTN_MAX:
            report.problem(
                placement.name.place,
                f"placement {name} costs more than there can be PTN",
                expected=f"at most {PRICE_MAX} millionths of a uptn per hour",
                found=str(total),
                remedy="write lower prices or counts",
            )


def _check_reachable(file: draft.Draft, report: Report) -> None:
    if (
        file.services
        and not any(e.is_public for s in file.services.values() for e in s.exposes)
        and not report.problems
    ):
        report.problem(
            file.place,
            "no service can be reached from outside",
            remedy="write `to: [{global: true}]` at one expose of one service",
        )
