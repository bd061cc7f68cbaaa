"""`photon close`, `photon deposit` and `photon resume`: what a tenant does with a deployment that lives."""

from __future__ import annotations

from pathlib import Path

import click

from photon_core.cli.amounts import amount, ptn
from photon_core.cli.frame import Session, Table, pass_session
from photon_core.cli.status import money_facts, money_json
from photon_core.cli.tenancy import find_place, key_options, node_options


@click.command("close")
@click.argument("deployment", type=int, metavar="ID")
@key_options
@node_options
@pass_session
def close_command(
    session: Session,
    deployment: int,
    node: str | None,
    network: Path | None,
    key: str | None,
    passphrase_file: Path | None,
) -> None:
    """Close a deployment for ever and show where every uptn of its deposit went.

    Billing stops in the block that takes it, and what was not earned is back on your account in the same block. The
    workload is torn down, and the manifest in the home folder deleted.

    \b
    Example:
      photon close 17
    """
    place = find_place(session, node, network)
    unlocked = place.unlock(key, passphrase_file)
    money = place.run_as_tenant(unlocked, lambda tenant: tenant.close(deployment))
    rows = [(str(each.lease), ptn(each.paid_uptn)) for each in money.leases]
    leases = Table(("lease", "paid"), rows, "it never had a lease")
    session.show(
        {"deployment": deployment, **money_json(money)},
        lambda: [f"deployment {deployment} closed", money_facts(money), leases],
    )


@click.command("deposit")
@click.argument("deployment", type=int, metavar="ID")
@click.argument("uptn", type=amount, metavar="AMOUNT")
@key_options
@node_options
@pass_session
def deposit_command(
    session: Session,
    deployment: int,
    uptn: int,
    node: str | None,
    network: Path | None,
    key: str | None,
    passphrase_file: Path | None,
) -> None:
    """Pay AMOUNT into a deployment, so that it lives longer.

    Only the owner may, unless the deployment was made with --third-party-deposits.

    \b
    Examples:
      photon deposit 17 5            5 PTN
      photon deposit 17 500000uptn
    """
    place = find_place(session, node, network)
    unlocked = place.unlock(key, passphrase_file)
    sent = place.run_as_tenant(unlocked, lambda tenant: tenant.deposit(deployment, uptn))
    document = {
        "deployment": deployment,
        "deposited_uptn": uptn,
        "fees_uptn": sent.receipt.fee_uptn,
        "transaction": sent.id.hex(),
    }
    session.show(document, f"paid {ptn(uptn)} into deployment {deployment}, fee {ptn(sent.receipt.fee_uptn)}")


@click.command("resume")
@click.argument("name", metavar="ID[/GROUP]")
@key_options
@node_options
@pass_session
def resume_command(
    session: Session, name: str, node: str | None, network: Path | None, key: str | None, passphrase_file: Path | None
) -> None:
    """Order paused groups again, with every provider: all of a deployment's, or one.

    A group is paused after it failed several times in a row; mend what `photon status` names first.

    \b
    Examples:
      photon resume 17
      photon resume 17/0
    """
    parts = name.split("/")
    if not 1 <= len(parts) <= 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise click.BadParameter(f"{name!r} names no deployment or group; they look like 17 and 17/0")
    deployment, group = int(parts[0]), int(parts[1]) if len(parts) == 2 else None
    place = find_place(session, node, network)
    unlocked = place.unlock(key, passphrase_file)
    groups = place.run_as_tenant(unlocked, lambda tenant: tenant.resume(deployment, group))
    names = [f"{deployment}/{index}" for index in groups]
    session.show({"resumed": names}, f"resumed {', '.join(names)}")
