"""`photon search FILE`: which providers could take a deployment, and why the others cannot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from photon_core.cli.amounts import per_hour
from photon_core.cli.frame import Session, Table, pass_session
from photon_core.cli.tenancy import find_place, node_options

if TYPE_CHECKING:
    from photon_core.exchange.records import Provider
    from photon_core.node.client import NodeClient
    from photon_core.tenant.search import Candidate


@click.command("search")
@click.argument("file", type=click.Path(path_type=Path))
@node_options
@pass_session
def search_command(session: Session, file: Path, node: str | None, network: Path | None) -> None:
    """Show for each placement of FILE which providers could take it, and why the others cannot. Nothing is sent.

    What is known from the chain: attributes, and whom the order allows. Whether there is room, and at which price, each
    provider says by its bid.

    \b
    Example:
      photon search web.yml
    """
    from photon_core import sdl
    from photon_core.api.bech32m import encode_address
    from photon_core.tenant.search import candidates

    plan = sdl.load(file)
    place = find_place(session, node, network)

    async def work(node: NodeClient) -> tuple[Provider, ...]:
        return await node.providers()

    providers = place.run(work)
    found: list[tuple[str, int, tuple[Candidate, ...]]] = [
        (
            group.name,
            group.max_price,
            candidates(providers, attributes=group.attributes, allowed=group.allowed_providers),
        )
        for group in plan.groups
    ]
    session.show(
        {
            "groups": [
                {
                    "name": name,
                    "max_price": max_price,
                    "providers": [
                        {
                            "provider": encode_address(each.provider.id),
                            "could": not each.reasons,
                            "reasons": list(each.reasons),
                            "attributes": dict(each.provider.attributes),
                        }
                        for each in all_of_them
                    ],
                }
                for name, max_price, all_of_them in found
            ]
        },
        lambda: [
            part
            for name, max_price, all_of_them in found
            for part in (f"{name}, at most {per_hour(max_price)}", _table(all_of_them))
        ],
    )


def _table(found: tuple[Candidate, ...]) -> Table:
    from photon_core.api.bech32m import encode_address

    rows = [
        (
            encode_address(each.provider.id),
            not each.reasons,
            "; ".join(each.reasons),
            ", ".join(f"{key}={value}" for key, value in each.provider.attributes),
        )
        for each in found
    ]
    return Table(("provider", "could", "why not", "attributes"), rows, "no provider is registered on this chain")
