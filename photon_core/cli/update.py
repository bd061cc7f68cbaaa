"""`photon update ID FILE`: give a deployment another manifest, and see its providers take it up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import define

from photon_core.cli.frame import Facts, Session, pass_session
from photon_core.cli.frame.errors import leading
from photon_core.cli.progress import Progress, until_signal
from photon_core.cli.tenancy import find_place, key_options, node_options

if TYPE_CHECKING:
    from photon_core.tenant.client import Tenant
    from photon_core.tenant.updating import Updated

WAIT_S = 300.0


@click.command("update")
@click.argument("deployment", type=int, metavar="ID")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Deliver, and show steps until it serves again."
)
@click.option("--timeout", type=float, default=WAIT_S, show_default=True, metavar="SECONDS", help="Wait so long.")
@key_options
@node_options
@pass_session
def update_command(
    session: Session,
    /,
    deployment: int,
    file: Path,
    node: str | None,
    network: Path | None,
    key: str | None,
    passphrase_file: Path | None,
    wait: bool,
    timeout: float,
) -> None:
    """Give a deployment what FILE says to run, bring it to its providers, and wait until they serve it.

    What runs may change: image, command, args, env, expose, dependencies. What was ordered may not: placements, counts,
    resources, prices and attributes stay as they are on chain, or the update is refused before anything is sent.

    The leases go on, at the same providers and prices. Only instances that are made of something else (image, command,
    args, env) are started anew; connections, names and ports change in place. Until a provider has the new manifest it
    runs the one before. A group that was paused because it failed is ordered again, with every provider.

    Interrupted, it is finished by running it again; or `photon serve` in the same home delivers. A file that changes
    nothing is refused.

    \b
    Examples:
      photon update 17 web.yml
      photon update 17 web.yml --timeout 60 --output json
      photon update 17 web.yml --no-wait          a running `photon serve` delivers
    """
    from photon_core import sdl

    plan = sdl.load(file)  # before a passphrase is asked for
    for warning in plan.warnings:
        session.progress(str(warning))
    place = find_place(session, node, network)
    unlocked = place.unlock(key, passphrase_file)
    progress = UpdateProgress(session=session, groups=frozenset(), waited_for="the update was seen to serve")

    async def work(tenant: Tenant) -> None:
        updated = await tenant.update(deployment, plan)
        progress.updated(updated)
        if wait and progress.groups:
            await progress.follow(tenant, tenant.following_update(updated), timeout)
        elif not wait:
            _warn(session, place.home)

    try:
        place.run_as_tenant(unlocked, lambda tenant: until_signal(work, tenant))
    except BaseException as raised:
        if progress.deployment and isinstance(leading(raised), KeyboardInterrupt):
            raise progress.interrupted() from None
        raise
    session.show(progress.document(), progress.human)


def _warn(session: Session, home: Path) -> None:
    from photon_core.tenant.identity import is_kept

    if not is_kept(home):
        session.progress(f"Warning: nothing delivers the manifest: run `photon serve --home {home}`")


@define(kw_only=True)
class UpdateProgress(Progress):
    """`of`: what the chain has now."""

    of: Updated | None = None

    def updated(self, updated: Updated) -> None:
        self.of, self.deployment, self.groups = updated, updated.deployment, frozenset(updated.changed)
        if updated.resealed:
            self.session.progress(
                "Warning: the manifest before this one is not kept in this home: all sections are delivered anew"
            )
        on_chain = "updated on chain" if updated.sent is not None else "has this version on chain already"
        groups = ", ".join(updated.changed.values()) or "nothing"
        self.begins(
            f"deployment {updated.deployment} {on_chain}: version {updated.version.hex()}; to deliver: {groups}"
        )

    def _goes_on(self) -> str:
        number = self.deployment
        return f"the chain has the update: run this again, or `photon serve`, to deliver it; `photon status {number}`"

    def document(self) -> dict[str, object]:
        assert self.of is not None
        sent = self.of.sent
        return {
            **super().document(),
            "version": self.of.version.hex(),
            "changed_groups": list(self.of.changed.values()),
            "transaction": sent.id.hex() if sent is not None else None,
            "fees_uptn": sent.receipt.fee_uptn if sent is not None else 0,
        }

    def human(self) -> Facts:
        assert self.of is not None
        facts = super().human()
        return Facts([*facts.pairs[:1], ("version", self.of.version.hex()), *facts.pairs[1:]])
