"""`photon deposit ID AMOUNT`: pay into a deployment, so that it lives longer."""

from __future__ import annotations

from pathlib import Path

import click

from photon_core.cli.amounts import amount, ptn
from photon_core.cli.frame import Session, pass_session
from photon_core.cli.tenancy import find_place, key_options, node_options


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
