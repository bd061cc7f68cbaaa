"""`photon deploy FILE` (alias create): from a file to a running workload, each step as it happens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photon_core.cli.amounts import amount
from photon_core.cli.frame import Session, pass_session
from photon_core.cli.frame.errors import leading
from photon_core.cli.progress import Progress, until_signal
from photon_core.cli.tenancy import find_place, key_options, node_options

if TYPE_CHECKING:
    from photon_core.tenant.client import Tenant

WAIT_S = 300.0


@click.command("deploy")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--deposit", type=amount, metavar="AMOUNT", help="PTN, or 5000000uptn; default: 24 hours at the highest price."
)
@click.option(
    "--persist/--no-persist",
    default=True,
    show_default=True,
    help="Order again when a provider fails; otherwise close then.",
)
@click.option("--third-party-deposits", is_flag=True, help="Let other accounts pay into it.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Deliver, and show steps until it serves.")
@click.option("--timeout", type=float, default=WAIT_S, show_default=True, metavar="SECONDS", help="Wait so long.")
@key_options
@node_options
@pass_session
def deploy_command(
    session: Session,
    /,
    file: Path,
    node: str | None,
    network: Path | None,
    key: str | None,
    passphrase_file: Path | None,
    wait: bool,
    timeout: float,
    **terms: Any,
) -> None:
    """Create a deployment from FILE, bring its manifest to the winner, and wait until it serves.

    The deposit pays for it by the millisecond; what is not used comes back when it is closed. The manifest stays in the
    home folder: whoever runs `photon serve` there brings it to the next provider, should this one fail.

    \b
    Examples:
      photon deploy web.yml
      photon deploy web.yml --deposit 5 --no-persist --timeout 60
      photon deploy web.yml --no-wait          a running `photon serve` delivers
    """
    from photon_core import sdl

    plan = sdl.load(file)  # before a passphrase is asked for
    for warning in plan.warnings:
        session.progress(str(warning))
    place = find_place(session, node, network)
    unlocked = place.unlock(key, passphrase_file)
    progress = Progress(session=session, groups=frozenset(range(len(plan.groups))))

    async def work(tenant: Tenant) -> None:
        progress.deployment = await tenant.deploy(
            plan,
            deposit_uptn=terms["deposit"],
            persist=terms["persist"],
            third_party_deposits=terms["third_party_deposits"],
        )
        progress.begins(f"deployment {progress.deployment} created")
        _warn(session, place.home, persist=terms["persist"], wait=wait)
        if wait:
            await progress.follow(tenant, tenant.following(progress.deployment), timeout)

    try:
        place.run_as_tenant(unlocked, lambda tenant: until_signal(work, tenant))
    except BaseException as raised:
        if progress.deployment and isinstance(leading(raised), KeyboardInterrupt):
            raise progress.interrupted() from None
        raise
    session.show(progress.document(), progress.human)


def _warn(session: Session, home: Path, *, persist: bool, wait: bool) -> None:
    from photon_core.tenant.identity import is_kept

    if is_kept(home):
        return
    serve = f"run `photon serve --home {home}`"
    if not wait:
        session.progress(f"Warning: nothing delivers the manifest: {serve}")
    elif persist:
        session.progress(f"Warning: should its provider fail, nobody brings the manifest to the next: {serve}")
