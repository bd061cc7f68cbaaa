"""`photon serve`: the keeper, which delivers manifests while the tenant is away."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photon_core.cli.frame import Session, pass_session
from photon_core.cli.tenancy import Place, find_place, key_options, node_options

if TYPE_CHECKING:
    import trio

    from photon_core.chain.keys import SigningKey
    from photon_core.tenant.keeper import Keeper

NODE_RETRY_S = 1.0


@click.group("serve", invoke_without_command=True)
@click.option("--resume", is_flag=True, help="Also resume groups paused for want of a manifest; needs the account key.")
@key_options
@node_options
@click.pass_context
@pass_session
def serve_group(
    session: Session,
    context: click.Context,
    node: str | None,
    network: Path | None,
    resume: bool,
    key: str | None,
    passphrase_file: Path | None,
) -> None:
    """Keep the deployments of this home: bring their manifests to whoever wins their leases, until Ctrl-C.

    It may be stopped and started at any time; what it missed it does then. It needs no passphrase: `photon deploy` lets
    it act by a delegation for its own node key, which can deliver and ask, and spend nothing. One runs per home.

    \b
    Examples:
      photon serve
      photon serve --home /srv/keeper --node http://10.0.0.5:4280
      photon serve grant                   renew the delegation, which lasts 90 days from the last deploy
    """
    if context.invoked_subcommand is not None:
        return
    place = find_place(session, node, network)
    _serve(place, place.unlock(key, passphrase_file) if resume else None)


@serve_group.command("grant")
@key_options
@node_options
@pass_session
def grant_command(
    session: Session, node: str | None, network: Path | None, key: str | None, passphrase_file: Path | None
) -> None:
    """Let the keeper of this home deliver for an account: sign its delegation anew.

    `photon deploy` does so by itself; this is for a home whose keeper outlives the last deploy by months.
    """
    from photon_core.node.client import NodeClient
    from photon_core.tenant.identity import keeper_key
    from photon_core.tenant.papers import KeptPapers

    place = find_place(session, node, network)
    unlocked = place.unlock(key, passphrase_file)

    async def chain_of(node: NodeClient) -> bytes:
        return (await node.status()).chain_id

    keeper = keeper_key(place.home).public
    paper = KeptPapers(place.home, chain_id=place.run(chain_of), caller=keeper).grant(unlocked, anew=True)
    expires_ms = paper.authorization.expires_ms
    session.show(
        {"keeper": keeper.hex(), "expires_ms": expires_ms},
        f"keeper {keeper.hex()} may deliver until {_day(expires_ms)}",
    )


def _serve(place: Place, key: SigningKey | None) -> None:
    from photon_core.chain.files import FolderLock
    from photon_core.cli.network import run_until_stopped
    from photon_core.tenant import identity

    session = place.session
    lock = FolderLock(place.home / identity.FOLDER)

    def ready(keeper: Keeper) -> None:
        kept = len(keeper.vault.deployments())
        session.stream(
            {"node": place.node_url, "home": str(place.home), "deployments": kept},
            f"keeps {kept} deployments of {place.home} at {place.node_url}",
        )
        sys.stdout.flush()

    async def service(task_status: trio.TaskStatus[Any]) -> None:
        await _keep(place, key, task_status)

    try:
        run_until_stopped(service, ready)
    finally:
        lock.release()


async def _keep(place: Place, key: SigningKey | None, task_status: trio.TaskStatus[Any]) -> None:
    """Waits for its node as long as it takes: both may be started by the same boot."""
    import trio

    from photon_core.node.client import NodeUnreachable
    from photon_core.tenant.keeper import open_keeper

    async with place.client() as node:
        told = False
        while True:
            try:
                await node.status()
                break
            except NodeUnreachable as error:
                if not told:
                    place.session.progress(f"waiting: {error.what}")
                    told = True
            await trio.sleep(NODE_RETRY_S)
        async with open_keeper(
            node, home=place.home, make_transport=place.make_transport, tell=place.session.progress, key=key
        ) as keeper:
            task_status.started(keeper)
            await keeper.run()


def _day(unix_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d")
