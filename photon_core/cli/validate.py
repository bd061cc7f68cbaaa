"""`photon validate FILE`: what a deployment file means, and the most that it can cost. Nothing is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from photon_core.cli.frame import Facts, Human, Session, Table, pass_session

if TYPE_CHECKING:
    from photon_core.manifest.plan import GroupPlan
    from photon_core.manifest.records import Expose
    from photon_core.sdl import Plan

PRICE_PER_PTN = 10**12
"""A price counts 10⁻⁶ uptn, a PTN has 10⁶ uptn."""
HOURS = {"hour": 1, "day": 24, "month": 720}
"""A month has 30 days here."""
_SIZES = (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))


@click.command("validate")
@click.argument("file", type=click.Path(path_type=Path))
@pass_session
def validate_command(session: Session, file: Path) -> None:
    """Check a deployment file and show what it means.

    Shows each placement with its resources, who may connect to which service, and the most that it can cost; providers
    bid below that. Whatever is wrong is told at once, with line, column and what to write; the exit code is then 2.

    \b
    Example:
      photon validate examples/web.yml
    """
    from photon_core.sdl import load

    plan = load(file)
    session.show(plan_json(plan), lambda: plan_text(plan, file))


def plan_json(plan: Plan) -> dict[str, object]:
    """The plan for programs. Prices are integers of 10⁻⁶ uptn per hour, as on chain; `max_ptn` is for people."""
    from photon_core.api.fields import to_json

    return {
        "version": plan.version,
        "groups": [
            {
                "name": group.name,
                "attributes": dict(group.attributes),
                "units": [to_json(unit) for unit in group.units],
                "max_price": group.max_price,
                "collateral_uptn": group.collateral_uptn,
                "services": [
                    {
                        "name": service.name,
                        "image": service.image,
                        "count": service.count,
                        "resources": to_json(service.resources),
                        "expose": [to_json(expose) for expose in service.expose],
                        "depends_on": list(service.depends_on),
                    }
                    for service in group.section.services
                ],
            }
            for group in plan.groups
        ],
        "max_price": plan.max_price,
        "max_ptn": {name: ptn(plan.max_price * hours) for name, hours in HOURS.items()},
        "warnings": [warning.as_json() for warning in plan.warnings],
    }


def plan_text(plan: Plan, file: Path) -> Human:
    parts: list[str | Table | Facts] = [f"{file} is valid (version {plan.version})"]
    for group in plan.groups:
        parts += [_group_facts(group), _services(group), _connections(group)]
    most = ((f"at most per {name}", f"{ptn(plan.max_price * hours)} PTN") for name, hours in HOURS.items())
    parts.append(Facts(tuple(most)))
    parts += ["\n".join(map(str, plan.warnings))] if plan.warnings else []
    return parts


def ptn(price: int) -> str:
    """An amount of 10⁻⁶ uptn in PTN, exact, without zeros at its end."""
    whole, rest = divmod(price, PRICE_PER_PTN)
    return f"{whole}.{rest:012}".rstrip("0").rstrip(".")


def _group_facts(group: GroupPlan) -> Facts:
    from photon_core.exchange.records import UPTN_PER_PTN

    attributes = ", ".join(f"{key}={value}" for key, value in group.attributes) or "any provider"
    return Facts(
        (
            ("placement", group.name),
            ("needs", attributes),
            ("at most", f"{ptn(group.max_price)} PTN per hour"),
            ("collateral", f"{ptn(group.collateral_uptn * PRICE_PER_PTN // UPTN_PER_PTN)} PTN"),
        )
    )


def _services(group: GroupPlan) -> Table:
    rows = [
        (
            service.name,
            service.count,
            _cores(service.resources.cpu_milli),
            _size(service.resources.memory_bytes),
            _size(service.resources.storage_bytes),
            service.image,
        )
        for service in group.section.services
    ]
    return Table(("service", "count", "cpu", "memory", "storage", "image"), rows)


def _connections(group: GroupPlan) -> Table:
    rows = [
        (target.service or "everyone", f"{service.name}:{expose.as_port}", _way(expose, public=target.service is None))
        for service in group.section.services
        for expose in service.expose
        for target in expose.targets
    ]
    return Table(("who", "may connect to", "how"), rows, empty="nobody may connect to anything here")


def _way(expose: Expose, *, public: bool) -> str:
    from photon_core.manifest.records import Protocol

    if not public:
        return "tcp, by name"
    if expose.protocol is Protocol.HTTP:
        return f"http, at {', '.join(expose.hostnames)}" if expose.hostnames else "http, at a hostname of the provider"
    return "tcp, at a port of the provider"


def _size(count: int) -> str:
    """In the largest unit that says it exactly."""
    return next((f"{count // unit}{name}" for name, unit in _SIZES if count % unit == 0), str(count))


def _cores(milli: int) -> str:
    return f"{milli}m" if milli % 1000 else str(milli // 1000)
