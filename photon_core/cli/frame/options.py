"""The options that every command has, before the verb and after it.

`add_common_options` is applied to every verb when it is loaded (also to a plugin's), so that nobody can forget them; a
command that declares one of them itself keeps its own. `photon --output json list` and `photon list --output json` are
the same; `--plugin` is collected from both places.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from photon_core.cli.frame.output import Output
from photon_core.cli.frame.session import Session

C = TypeVar("C", bound=click.Command)
Callback = Callable[[Session, Any], None]


def add_common_options(command: C) -> C:
    """Give the command, and all commands below it, the common options."""
    taken = {name for parameter in command.params for name in parameter.opts}
    command.params.extend(option for option in common_options() if not taken.intersection(option.opts))
    if isinstance(command, click.Group):
        for below in command.commands.values():
            add_common_options(below)
    return command


def common_options() -> tuple[click.Option, ...]:
    """Fresh ones for each command: click's parameters belong to one."""
    path = click.Path(path_type=Path)
    formats = click.Choice([output.value for output in Output])
    return (
        _option("--output", _set_output, type=formats, help="Tables for people, or JSON for programs."),
        _option("--plugin", _add_plugins, multiple=True, metavar="KIND_NAME", help="Use this plugin (repeatable)."),
        _option("--home", _set_home, type=path, metavar="DIR", help="Folder of keys and files (PHOTON_HOME)."),
        _option("--config", _set_config, type=path, metavar="FILE", help="TOML file with settings."),
    )


def _option(name: str, callback: Callback, **settings: Any) -> click.Option:
    def store(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value is not None and value != ():
            callback(context.ensure_object(Session), value)

    return click.Option([name], expose_value=False, callback=store, **settings)


def _set_output(session: Session, value: str) -> None:
    session.output = Output(value)


def _add_plugins(session: Session, value: tuple[str, ...]) -> None:
    session.plugins += value


def _set_home(session: Session, value: Path) -> None:
    session.home, session.home_named = value, True


def _set_config(session: Session, value: Path) -> None:
    session.config_file = value
