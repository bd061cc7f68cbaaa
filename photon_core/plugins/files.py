"""TOML files of people: read with errors that name file and line, and the two keys in them that are the plugins' own.

plugins = ["runtime_process", "transport_libp2p"]

[plugin.transport_libp2p]
port = 7000
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from photon_core.api.errors import UsageError
from photon_core.plugins.config import read_table

CONFIG_BYTES_MAX = 2**20
"""A config is written by hand; a larger file is the wrong file."""
PLUGINS_KEY = "plugins"
TABLES_KEY = "plugin"


@frozen
class PluginSettings:
    """What a config file says about plugins."""

    plugins: tuple[str, ...] = ()
    plugin: dict[str, dict[str, object]] = field(factory=dict)


def read_toml(path: Path) -> dict[str, object]:
    """The document in `path`; UsageError if it cannot be read or is not TOML."""
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(
            code="config", where=str(path), what=f"it cannot be read: {error.strerror}", remedy="Check the path."
        ) from error
    if len(raw) > CONFIG_BYTES_MAX:
        raise UsageError(
            code="config",
            where=str(path),
            what="it is too large for a config file",
            expected=f"at most {CONFIG_BYTES_MAX} bytes",
            remedy="Check the path.",
        )
    try:
        return tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            code="config", where=str(path), what=f"it is not TOML: {error}", remedy="See https://toml.io/en/v1.0.0"
        ) from error


def plugin_settings(document: Mapping[str, object], where: str) -> PluginSettings:
    """The keys `plugins` and `plugin` of a document whose other keys are somebody else's."""
    ours = {key: value for key, value in document.items() if key in {PLUGINS_KEY, TABLES_KEY}}
    return read_table(PluginSettings, ours, where)
