"""`photon close ID`: end a deployment, and show where every uptn of its deposit went."""

from __future__ import annotations

from pathlib import Path

import click

from photon_core.cli.amounts import ptn
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
