"""Engines by name, through the plugin manager: core and its simulator know none."""

from __future__ import annotations

from collections.abc import Mapping

from photon_core.api.consensus import Engine, EngineContext
from photon_core.plugins import PluginManager

from .node import MakeEngine

SOLO = "solo"


def engine_named(name: str, table: Mapping[str, object] | None = None) -> MakeEngine:
    """The factory of the installed plugin `consensus_<name>`, configured; PhotonError when it is not there."""
    manager = PluginManager()
    manager.consensus(name)

    def make(context: EngineContext) -> Engine:
        return manager.make("consensus", name, context, table=table)

    return make
