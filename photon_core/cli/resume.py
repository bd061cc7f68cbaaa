"""`photon resume ID[/GROUP]`: order paused groups again."""

from __future__ import annotations

from pathlib import Path

import click

from photon_core.cli.frame import Session, pass_session
from photon_core.cli.tenancy import find_place, key_options, node_options


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
