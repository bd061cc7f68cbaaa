"""`photon exec [ID] SERVICE -- COMMAND…`: a command beside a workload, by a terminal if there is one here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from photon_core.cli.frame import Session, pass_session
from photon_core.cli.targets import Target, is_target, only_deployment, parse_instance, parse_target
from photon_core.cli.tenancy import find_place, key_options, node_options

if TYPE_CHECKING:
    from photon_core.api.runtime import ExecOutput
    from photon_core.tenant.client import Tenant

COMMAND = "photon.exec.command"
"""In the context's `meta`: what stands behind `--`, of which click must understand nothing."""
JSON_BYTES_MAX = 2**20
"""Of each stream in the document; what is more is read and left out."""


class DashedCommand(click.Command):
    """One that leaves everything behind the first `--` alone."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[COMMAND] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND..."]


@click.command("exec", cls=DashedCommand)
@click.argument("target", nargs=-1, metavar="[ID] SERVICE")
@click.option("--instance", type=click.IntRange(0), metavar="N", help="Which instance of the service, from 0.")
@click.option(
    "-t/-T",
    "--terminal/--no-terminal",
    default=None,
    help="Give the command a terminal, or pipes; default: a terminal when input and output here are terminals.",
)
@click.option("-n", "--no-input", is_flag=True, help="Leave the input here alone; the command reads the end of a file.")
@key_options
@node_options
@pass_session
@click.pass_context
def exec_command(
    ctx: click.Context,
    session: Session,
    target: tuple[str, ...],
    instance: int | None,
    terminal: bool | None,
    no_input: bool,
    node: str | None,
    network: Path | None,
    key: str | None,
    passphrase_file: Path | None,
) -> None:
    """Run COMMAND beside a workload: as its user, in its folder and network, with its environment and limits.

    ID is a deployment, or one of its leases; it may be left out when one of your deployments has the service. SERVICE
    may name an instance, as in web/1, and be left out when there is one service only. With a terminal every key goes
    to the command, Ctrl-C too, and the command follows the size of your window. It ends with the connection.

    photon exits with the command's exit code: 127 when there is no such command, 126 when it cannot be executed,
    128 + N when signal N ended it. When no command ran to its end photon says why on stderr and exits with a code of
    its own, 1 to 6 or 70; to tell the two apart use --output json, which gives one document with exit_code, stdout
    and stderr (at most 1 MiB of each), or with error.

    \b
    Examples:
      photon exec 17 web -- sh
      photon exec web/1 -- cat /etc/hosts
      photon exec 17 db --no-terminal -- pg_dump shop > shop.sql
      photon exec 17 db -- psql shop < change.sql
    """
    command = ctx.meta.get(COMMAND, ())
    if not command:
        raise click.UsageError("say what to run behind --, for example: photon exec 17 web -- sh", ctx)
    named, service, ordinal = _read_target(target, instance)
    place = find_place(session, node, network)
    unlocked = place.unlock(key, passphrase_file)
    if session.json:
        if terminal:
            raise click.UsageError("a document is not a screen: --output json goes without --terminal", ctx)
        terminal = False

    async def work(tenant: Tenant) -> int:
        from photon_core.cli.screen import converse, is_screen, screen_size, write_out

        wanted = named or await only_deployment(tenant, service)
        lease = wanted.lease or await tenant.active_lease(wanted.deployment, service)
        on_terminal = is_screen() and not no_input if terminal is None else terminal
        size = screen_size() if on_terminal else None
        collected = Collected()
        async with tenant.exec(lease, command, service=service, ordinal=ordinal, terminal=size) as remote:
            if no_input:
                await remote.end_input()
            show = collected.add if session.json else write_out
            code = await converse(remote, terminal=on_terminal, with_input=not no_input, show=show)
        if session.json:
            session.show(collected.document(code), "")
        return code

    ctx.exit(place.run_as_tenant(unlocked, work))


def _read_target(target: tuple[str, ...], instance: int | None) -> tuple[Target | None, str, int]:
    """Which deployment, if it was named, which service, if it was named, and which of its instances."""
    match target:
        case (only,) if is_target(only):
            return parse_target(only), "", instance or 0
        case (only,):
            named, (service, ordinal) = None, parse_instance(only)
        case (first, second):
            named, (service, ordinal) = parse_target(first), parse_instance(second)
        case _:
            raise click.UsageError("name a deployment, a service, or both: photon exec 17 web -- sh")
    if instance is not None and ordinal not in (None, instance):
        raise click.UsageError(f"instance {ordinal} or instance {instance}: say one of them")
    return named, service, (instance if ordinal is None else ordinal) or 0


class Collected:
    """The output for one document, each stream bounded."""

    def __init__(self) -> None:
        self._kept: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._truncated = False

    async def add(self, piece: ExecOutput) -> None:
        kept = self._kept[piece.stream.value]
        room = JSON_BYTES_MAX - len(kept)
        self._truncated = self._truncated or len(piece.data) > room
        kept += piece.data[:room]

    def document(self, exit_code: int) -> dict[str, object]:
        streams = {name: bytes(kept).decode("utf-8", "replace") for name, kept in self._kept.items()}
        return {"exit_code": exit_code, **streams, "truncated": self._truncated}
