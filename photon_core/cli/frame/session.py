"""What every command of one run shares: the home folder, the way of output, the config file and the chosen plugins."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photon_core.cli.frame import output
from photon_core.cli.frame.output import Human, Output

if TYPE_CHECKING:
    from photon_core.plugins import Choice, PluginManager

HOME = "PHOTON_HOME"
OUTPUT = "PHOTON_OUTPUT"
PLUGINS = "PHOTON_PLUGINS"
CONFIG_NAME = "config.toml"


class Session:
    """Commands get it by `@pass_session`. Options before and after the verb fill it in as they are parsed."""

    def __init__(self) -> None:
        self.home = Path(os.environ.get(HOME) or Path.home() / ".photon")
        self.home_named = bool(os.environ.get(HOME))  # by somebody: nothing else may choose another
        self.output = Output.JSON if os.environ.get(OUTPUT) == Output.JSON else Output.TABLE
        self.config_file: Path | None = None
        self.plugins: tuple[str, ...] = ()

    # --- output ----------------------------------------------------------------------------------------------------

    @property
    def json(self) -> bool:
        return self.output is Output.JSON

    def show(self, document: object, human: Human | Callable[[], Human]) -> None:
        """The command's result: `document` with `--output json`, `human` otherwise (a function is called only then)."""
        if self.json:
            output.show_json(document)
        else:
            output.show_human(human)

    def stream(self, document: object, human: Human | Callable[[], Human]) -> None:
        """One of many results as they come: a line of JSON each, or text."""
        if self.json:
            output.show_json_line(document)
        else:
            output.show_human(human)

    def progress(self, text: str) -> None:
        """What is going on, on stderr: for everything that takes over a second."""
        output.progress(text)

    # --- configuration and plugins ---------------------------------------------------------------------------------

    @property
    def chooses_plugins(self) -> bool:
        """Whether anybody said anything about plugins; quick, for the commands that need none."""
        return bool(self.plugins or os.environ.get(PLUGINS) or self.config)

    @cached_property
    def config(self) -> Mapping[str, object]:
        """The TOML document of `--config`, or of `config.toml` in the home folder if there is one."""
        path = self.config_file or self.home / CONFIG_NAME
        if self.config_file is None and not path.is_file():
            return {}
        from photon_core.plugins.files import read_toml

        return read_toml(path)

    def choice(
        self, *, defaults: Iterable[str] = (), config: Mapping[str, object] | None = None, where: str = ""
    ) -> Choice:
        """The plugins that were chosen; `config` is a document to use instead of the session's (a node's own file)."""
        from photon_core.plugins import choose
        from photon_core.plugins.files import plugin_settings

        settings = plugin_settings(self.config if config is None else config, where or self._config_name)
        return choose(flag=self.plugins, config=settings.plugins, defaults=defaults)

    def plugin_manager(
        self, *, defaults: Iterable[str] = (), config: Mapping[str, object] | None = None, where: str = ""
    ) -> PluginManager:
        """A manager of the chosen plugins, with their tables of the config; nothing is loaded yet."""
        from photon_core.plugins import PluginManager

        tables = self.plugin_tables(config=config, where=where)
        return PluginManager(self.choice(defaults=defaults, config=config, where=where), tables=tables)

    def plugin_tables(
        self, *, config: Mapping[str, object] | None = None, where: str = ""
    ) -> Mapping[str, Mapping[str, object]]:
        """The tables `[plugin.<kind>_<name>]` of the config, by full name."""
        from photon_core.plugins.files import plugin_settings

        return plugin_settings(self.config if config is None else config, where or self._config_name).plugin

    @property
    def _config_name(self) -> str:
        return str(self.config_file or self.home / CONFIG_NAME)


pass_session = click.make_pass_decorator(Session, ensure=True)
