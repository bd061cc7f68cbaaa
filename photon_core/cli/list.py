"""`photon list`: the tenant's deployments, one line each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from photon_core.cli.amounts import ptn
from photon_core.cli.frame import Session, Table, pass_session
from photon_core.cli.steps import word
from photon_core.cli.tenancy import find_place, node_options

if TYPE_CHECKING:
    from photon_core.node.client import NodeClient
    from photon_core.node.views import DeploymentDetail


@click.command("list")
@click.option("--all", "closed_too", is_flag=True, help="Closed ones as well.")
@click.option("--key", metavar="NAME", help="The account's key; not needed when the home has one only.")
@node_options
@pass_session
def list_command(session: Session, node: str | None, network: Path | None, key: str | None, closed_too: bool) -> None:
    """List your deployments. Needs no passphrase.

    \b
    Examples:
      photon list
      photon list --all --output json
    """
    from photon_core.api.fields import to_json
    from photon_core.exchange.records import DeploymentState
    from photon_core.tenant.money import summarize

    place = find_place(session, node, network)
    owner = place.address(key)

    async def work(node: NodeClient) -> tuple[DeploymentDetail, ...]:
        return await node.deployments(owner)

    found = [
        detail for detail in place.run(work) if closed_too or detail.deployment.state is not DeploymentState.CLOSED
    ]
    rows = [
        (
            detail.deployment.id,
            word(detail.deployment.state),
            ", ".join(f"{g.group.spec.name}: {word(g.group.state)}" for g in detail.groups),
            ptn(summarize(detail, ()).held_uptn),
            ptn(detail.earned_uptn),
        )
        for detail in found
    ]
    session.show(
        {"deployments": [to_json(detail) for detail in found]},
        Table(("id", "state", "groups", "left", "spent"), rows, "no deployment; make one: photon deploy FILE"),
    )
