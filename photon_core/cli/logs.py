"""`photon logs ID [SERVICE]`: what a workload prints, straight from its provider."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photon_core.cli.frame import Session, pass_session
from photon_core.cli.frame.output import printable
from photon_core.cli.targets import parse_target
from photon_core.cli.tenancy import find_place, key_options, node_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from photon_core.tenant.client import Tenant
    from photon_core.tenant.lines import LogLine

TAIL_LINES = 1000


@click.command("logs")
@click.argument("deployment", metavar="ID")
@click.argument("service", required=False, default="")
@click.option("-f", "--follow", is_flag=True, help="Go on until the deployment is closed, or Ctrl-C.")
@click.option(
    "--tail",
    type=click.IntRange(0, 100_000),
    default=TAIL_LINES,
    show_default=True,
    metavar="N",
    help="Begin with the last N lines of each instance.",
)
@key_options
@node_options
@pass_session
def logs_command(
    session: Session,
    deployment: str,
    service: str,
    node: str | None,
    network: Path | None,
    follow: bool,
    tail: int,
    key: str | None,
    passphrase_file: Path | None,
) -> None:
    """Show what the workloads of a deployment print, of all services or of one.

    ID is a deployment, or one of its leases when it has several. Each line begins with its instance. With --output json
    a line is an object with service, ordinal and text.

    With -f it goes on, and says on stderr what happened, when a workload is started again, when the provider is away
    for a while, and when the lease moves to another provider. It ends with exit code 0 when the deployment is closed
    (or the lease, if that was named), and with 130 on Ctrl-C.

    \b
    Examples:
      photon logs 17
      photon logs 17 web -f --tail 20
      photon logs 17/1/0 db
    """
    target = parse_target(deployment)
    place = find_place(session, node, network)
    unlocked = place.unlock(key, passphrase_file)
    lines = Lines(session)

    async def follow_on(tenant: Tenant) -> None:
        from photon_core.tenant.lines import LogLine

        async with tenant.following_logs(target.deployment, service, lease=target.lease, tail_lines=tail) as told:
            async for one in told:
                if isinstance(one, LogLine):
                    lines.show([one])
                else:
                    session.progress(one.text)

    async def work(tenant: Tenant) -> None:
        from photon_core.tenant.lines import LineCutter

        wanted = target.lease or await tenant.active_lease(target.deployment, service)
        cutter = LineCutter()
        async with tenant.logs(wanted, service, follow=False, tail_lines=tail) as chunks:
            async for chunk in chunks:
                lines.show(cutter.add(chunk))
        lines.show(cutter.end())
        if tail and not lines.seen:
            session.progress(f"{service or f'deployment {deployment}'} has printed nothing yet")

    place.run_as_tenant(unlocked, follow_on if follow else work)


class Lines:
    """Shows the lines of several instances, each behind its name."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.seen = False

    def show(self, lines: Sequence[LogLine]) -> None:
        for line in lines:
            self.seen = True
            text = line.text.decode("utf-8", "replace").rstrip("\r")
            self._session.stream(
                {"service": line.service, "ordinal": line.ordinal, "text": text},
                f"{line.service}/{line.ordinal}  {printable(text, keep=chr(9))}",
            )
        sys.stdout.flush()
