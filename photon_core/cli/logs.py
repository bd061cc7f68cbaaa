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
    from photon_core.peers.methods import LogChunk
    from photon_core.tenant.client import Tenant

TAIL_LINES = 1000


@click.command("logs")
@click.argument("deployment", metavar="ID")
@click.argument("service", required=False, default="")
@click.option("-f", "--follow", is_flag=True, help="Go on as more is printed, until Ctrl-C.")
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

    async def work(tenant: Tenant) -> None:
        wanted = target.lease or await tenant.active_lease(target.deployment, service)
        async with tenant.logs(wanted, service, follow=follow, tail_lines=tail) as chunks:
            async for chunk in chunks:
                lines.add(chunk)
        lines.end()
        if tail and not lines.seen:
            session.progress(f"{service or f'deployment {deployment}'} has printed nothing yet")

    place.run_as_tenant(unlocked, work)


class Lines:
    """Cuts the chunks of several instances into whole lines."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rest: dict[tuple[str, int], bytes] = {}
        self.seen = False

    def add(self, chunk: LogChunk) -> None:
        key = chunk.service, chunk.ordinal
        self.seen = self.seen or bool(chunk.data)
        *whole, rest = (self._rest.get(key, b"") + chunk.data).split(b"\n")
        self._rest[key] = rest
        for line in whole:
            self._show(key, line)
        sys.stdout.flush()

    def end(self) -> None:
        """What did not end in a newline."""
        for key, rest in self._rest.items():
            if rest:
                self._show(key, rest)

    def _show(self, key: tuple[str, int], line: bytes) -> None:
        service, ordinal = key
        text = line.decode("utf-8", "replace").rstrip("\r")
        self._session.stream(
            {"service": service, "ordinal": ordinal, "text": text},
            f"{service}/{ordinal}  {printable(text, keep=chr(9))}",
        )
