"""`photon status ID`: what a deployment does or waits for, and where its money is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from photon_core.cli.amounts import per_hour, ptn
from photon_core.cli.frame import Facts, Human, Session, Table, pass_session
from photon_core.cli.steps import endpoint_text, word
from photon_core.cli.tenancy import Place, find_place, key_options, node_options

if TYPE_CHECKING:
    from photon_core.exchange.records import Lease
    from photon_core.node.client import NodeClient
    from photon_core.peers.methods import RefusedAttempt
    from photon_core.tenant.money import MoneySummary
    from photon_core.tenant.status import DeploymentStatus, GroupStatus


@click.command("status")
@click.argument("deployment", type=int, metavar="ID")
@click.option("--chain-only", is_flag=True, help="Do not ask the providers; needs no key.")
@key_options
@node_options
@pass_session
def status_command(
    session: Session,
    deployment: int,
    node: str | None,
    network: Path | None,
    chain_only: bool,
    key: str | None,
    passphrase_file: Path | None,
) -> None:
    """Show how a deployment is: what the chain knows, what its providers say, and what it waits for.

    Providers answer the owner only, so the key is needed; --chain-only leaves them out.

    \b
    Examples:
      photon status 17
      photon status 17 --chain-only --output json
    """
    place = find_place(session, node, network)
    status = _look(place, deployment, None if chain_only else key or "", passphrase_file)
    session.show(status_json(status), lambda: status_text(status))


def _look(place: Place, deployment: int, key: str | None, passphrase_file: Path | None) -> DeploymentStatus:
    """`key` None: without the providers' answers. Asks for no passphrase when there is nobody to ask."""
    from photon_core.tenant.lookup import deployment_status

    async def chain_view(node: NodeClient) -> DeploymentStatus:
        return await deployment_status(node, deployment, None)

    status = place.run(chain_view)
    if key is None:
        return status
    if not any(group.lease for group in status.groups):
        return _with_reasons(place, status)
    unlocked = place.unlock(key or None, passphrase_file)
    return place.run_as_tenant(unlocked, lambda tenant: tenant.status(deployment))


def _with_reasons(place: Place, status: DeploymentStatus) -> DeploymentStatus:
    """Of a deployment that nobody bid on: why not, as the providers themselves say. That is no secret: no key."""
    from photon_core.tenant.lookup import deployment_status
    from photon_core.tenant.status import unbid_order

    if not any(unbid_order(group.detail) for group in status.groups):
        return status

    async def asked(node: NodeClient) -> DeploymentStatus:
        async with place.links(node) as links:
            return await deployment_status(node, status.detail.deployment.id, None, links)

    return place.run(asked)


# --- showing ---------------------------------------------------------------------------------------------------------


def status_json(status: DeploymentStatus) -> dict[str, object]:
    """`detail` is what the chain has, as `photon query deployment` shows it."""
    from photon_core.api.bech32m import encode_address
    from photon_core.api.fields import to_json

    return {
        "detail": to_json(status.detail),
        "groups": [
            {
                "name": group.detail.group.spec.name,
                "standing": group.standing,
                "says": group.says,
                "lease": str(group.lease.id) if group.lease else None,
                "awaits_update": group.awaits_update,
                "report": to_json(group.report) if group.report else None,
                "no_report": group.no_report or None,
                "past": [to_json(lease) for lease in group.past],
                "why_no_bid": [
                    {
                        "provider": encode_address(answer.provider),
                        "says": answer.says,
                        "decision": to_json(answer.decision) if answer.decision else None,
                    }
                    for answer in group.answers
                ],
            }
            for group in status.groups
        ],
        "money": money_json(status.money),
    }


def status_text(status: DeploymentStatus) -> Human:
    from photon_core.api.bech32m import encode_address

    deployment = status.detail.deployment
    parts: list[str | Table | Facts] = [
        Facts(
            [
                ("deployment", deployment.id),
                ("state", word(deployment.state)),
                ("owner", encode_address(deployment.owner)),
                ("version", deployment.version.hex()),
                ("persist", deployment.persist),
            ]
        )
    ]
    for group in status.groups:
        parts += _group_parts(group)
    return [*parts, money_facts(status.money)]


def _group_parts(group: GroupStatus) -> list[str | Table | Facts]:
    from photon_core.api.bech32m import encode_address

    lease, report = group.lease, group.report
    facts: list[tuple[str, object]] = [("group", group.detail.group.spec.name), ("is", group.says)]
    if lease is not None:
        facts += [
            ("lease", lease.id),
            ("provider", encode_address(lease.provider)),
            ("price", per_hour(lease.price)),
            ("on chain", word(lease.status)),
        ]
    if group.no_report:
        facts.append(("provider says", group.no_report))
    if report is not None:
        facts += [("reached at", endpoint_text(endpoint)) for endpoint in report.endpoints]
        facts += [("refused", _refused_text(attempt)) for attempt in report.refused]
        facts += [("note", note) for note in report.notes]
    parts: list[str | Table | Facts] = [Facts(facts)]
    if report is not None:
        rows = [
            (
                f"{service.name}/{instance.ordinal}",
                word(instance.phase),
                instance.restarts,
                "" if instance.exit_code is None else instance.exit_code,
                instance.reason,
            )
            for service in report.services
            for instance in service.instances
        ]
        parts.append(Table(("instance", "phase", "restarts", "exit code", "reason"), rows, "no instance yet"))
    if group.past:
        parts.append(
            Table(
                ("earlier lease", "provider", "ended", "paid", "collateral received"), list(map(_past_row, group.past))
            )
        )
    return parts


def _refused_text(attempt: RefusedAttempt) -> str:
    often = "once" if attempt.count == 1 else f"{attempt.count} times"
    return f"{attempt.service} → {attempt.name or attempt.address}:{attempt.port}, {often}"


def _past_row(lease: Lease) -> tuple[object, ...]:
    from photon_core.api.bech32m import encode_address

    return (
        lease.id,
        encode_address(lease.provider),
        f"{word(lease.close_reason)}{': ' + lease.status_reason if lease.status_reason else ''}",
        ptn(lease.paid_uptn),
        ptn(lease.collateral_forfeited_uptn),
    )


def money_json(money: MoneySummary) -> dict[str, object]:
    from photon_core.api.bech32m import encode_address

    names = ("deposited", "paid", "owed", "bidders", "refunded", "held", "collateral_received", "fees", "unaccounted")
    amounts: dict[str, object] = {f"{name}_uptn": getattr(money, f"{name}_uptn") for name in names}
    return amounts | {
        "leases": [
            {
                "lease": str(each.lease),
                "provider": encode_address(each.provider),
                "paid_uptn": each.paid_uptn,
                "collateral_received_uptn": each.collateral_received_uptn,
            }
            for each in money.leases
        ]
    }


def money_facts(money: MoneySummary) -> Facts:
    """Every uptn of the deposit; parts that are nothing are left out."""
    rows = (
        ("deposited", money.deposited_uptn),
        ("paid to providers", money.paid_uptn),
        ("owed to providers", money.owed_uptn),
        ("to bidders, for ordering again", money.bidders_uptn),
        ("came back", money.refunded_uptn),
        ("still held", money.held_uptn),
        ("collateral received", money.collateral_received_uptn),
        ("fees", money.fees_uptn),
        ("unaccounted", money.unaccounted_uptn),
    )
    return Facts([(name, f"{ptn(uptn)} ({uptn} uptn)" if uptn else "") for name, uptn in rows])
