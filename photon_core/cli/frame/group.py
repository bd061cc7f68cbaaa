"""The group `photon`: verbs out of a table, imported when they are used, and the commands of chosen plugins."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any, NoReturn

import click

from photon_core.cli.frame import errors
from photon_core.cli.frame.options import add_common_options
from photon_core.cli.frame.session import Session
from photon_core.cli.verbs import ALIASES, SECTIONS, VERBS, Verb

COMMANDS_KIND = "commands"


class PhotonGroup(click.Group):
    """Looks verbs up in `photon_core.cli.verbs`, then among the commands of the chosen plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS, *ALIASES, *self._of_plugins(ctx, ())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._find(ctx, cmd_name, ())

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, rest = args[0], args[1:]
        command = self._find(ctx, name, rest)
        if command is None and not ctx.resilient_parsing:
            if name.startswith("-"):
                self.parse_args(ctx, args)
            self._fail_unknown(ctx, name)
        return (name if command else None), command, rest

    def _find(self, ctx: click.Context, name: str, rest: Sequence[str]) -> click.Command | None:
        verb = VERBS.get(name) or ALIASES.get(name)
        if verb is not None:
            return add_common_options(_import(verb))
        command = self._of_plugins(ctx, rest).get(name)
        return None if command is None else add_common_options(command)

    def _of_plugins(self, ctx: click.Context, rest: Sequence[str]) -> Mapping[str, click.Command]:
        """Commands of the chosen plugins, also of those named after the verb, which is not parsed yet."""
        session = ctx.ensure_object(Session)
        before = session.plugins
        session.plugins += tuple(_plugins_among(rest))
        try:
            if not session.chooses_plugins or not session.choice().of(COMMANDS_KIND):
                return {}
            manager = session.plugin_manager()
            manager.load(COMMANDS_KIND)
        finally:
            session.plugins = before
        group = click.Group()
        manager.add_commands(group, taken=(*VERBS, *ALIASES))
        return group.commands

    def _fail_unknown(self, ctx: click.Context, name: str) -> NoReturn:
        close = difflib.get_close_matches(name, [*VERBS, *ALIASES])
        ctx.fail(f"There is no command {name!r}." + (f" Did you mean {' or '.join(close)}?" if close else ""))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in SECTIONS:
            if section.verbs:
                with formatter.section(section.title):
                    formatter.write_dl([(", ".join((v.name, *v.aliases)), v.summary) for v in section.verbs])
        of_plugins = self._of_plugins(ctx, ())
        if of_plugins:
            with formatter.section("From plugins"):
                formatter.write_dl([(name, command.get_short_help_str(80)) for name, command in of_plugins.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb. click itself answers EPIPE, from whatever socket, with a silent exit 1: take it before."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise errors.of_broken_pipe(error) from error

    def main(  # type: ignore[override]  # one signature instead of click's two overloads
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **settings: Any
    ) -> Any:
        """Run one command line; ends in SystemExit with one of `ExitCode`, unless `standalone_mode=False`."""
        arguments = sys.argv[1:] if args is None else list(args)
        standalone = settings.pop("standalone_mode", True)

        def call() -> object:
            return click.Group.main(self, arguments, prog_name or "photon", standalone_mode=False, **settings)

        if not standalone:
            return call()
        sys.exit(errors.guard(call, as_json=errors.wants_json(arguments)))


def _import(verb: Verb) -> click.Command:
    module, _, name = verb.place.partition(":")
    command = getattr(import_module(module), name)
    assert isinstance(command, click.Command), f"{verb.place} is not a click command"
    return command


def _plugins_among(arguments: Sequence[str]) -> list[str]:
    """The values of `--plugin` in arguments that are not parsed yet."""
    found = [b for a, b in pairwise(arguments) if a == "--plugin"]
    return found + [a.removeprefix("--plugin=") for a in arguments if a.startswith("--plugin=")]
