"""Which plugins a process uses, and who said so.

Four places can say it, each stronger than the next: `--plugin`, the config file's `plugins`, `PHOTON_PLUGINS`, and
the command's defaults. Strength works kind by kind: `--plugin runtime_podman` changes the runtime and leaves the
market that the config names. Nothing is imported here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

from attrs import frozen

from photon_core.api.errors import UsageError
from photon_core.plugins.kinds import KIND

ENVIRONMENT = "PHOTON_PLUGINS"

DEFAULTS = ("consensus_pbft", "market_auction", "transport_libp2p", "pricing_scale")
"""What a command uses when nobody says otherwise. No runtime: a provider never falls back to one by itself."""
DEVELOPMENT_DEFAULTS = (*DEFAULTS, "runtime_process")
"""What `photon up` uses: workloads are processes of this machine, for development."""


class Source(StrEnum):
    """Who chose a plugin, strongest first; the value is how messages call it."""

    FLAG = "--plugin"
    CONFIG = "the config file"
    ENVIRONMENT = "PHOTON_PLUGINS"
    DEFAULT = "the default"


@frozen
class Chosen:
    """`full_name` is `<kind>_<name>`."""

    full_name: str
    source: Source

    @property
    def kind(self) -> str:
        return self.full_name.partition("_")[0]

    @property
    def name(self) -> str:
        return self.full_name.partition("_")[2]

    @property
    def explicit(self) -> bool:
        """Somebody asked for it, so it may not be replaced without a word."""
        return self.source is not Source.DEFAULT


@frozen
class Choice:
    """At most one plugin of each exclusive kind, any number of the others; in order of kind, then as they were
    named.
    """

    chosen: tuple[Chosen, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(chosen.full_name for chosen in self.chosen)

    def of(self, kind: str) -> tuple[Chosen, ...]:
        return tuple(chosen for chosen in self.chosen if chosen.kind == kind)

    def one(self, kind: str) -> Chosen:
        """The plugin of an exclusive kind; UsageError if nobody chose one."""
        match self.of(kind):
            case [chosen]:
                return chosen
            case _:
                raise UsageError(
                    code="plugin-missing",
                    what=f"no {kind} plugin is chosen",
                    expected=f"one plugin of the kind {kind}",
                    remedy=f'Say which: --plugin {kind}_<name>, or plugins = ["{kind}_<name>"] in the config file; '
                    f"photon plugin list --kind {kind} shows what is installed",
                )


def choose(
    *,
    flag: Iterable[str] = (),
    config: Iterable[str] = (),
    environment: Mapping[str, str] = os.environ,
    defaults: Iterable[str] = (),
) -> Choice:
    """Put together what the four places say.

    UsageError for a malformed name, or for two plugins of an exclusive kind in one place.
    """
    said = {
        Source.FLAG: tuple(flag),
        Source.CONFIG: tuple(config),
        Source.ENVIRONMENT: tuple(re.split(r"[,\s]+", environment.get(ENVIRONMENT, "").strip(", \t\n"))),
        Source.DEFAULT: tuple(defaults),
    }
    by_kind: dict[str, tuple[Chosen, ...]] = {}
    for source, names in said.items():
        for kind, chosen in _one_place(source, [name for name in names if name]).items():
            by_kind.setdefault(kind, chosen)  # strongest first: a weaker place adds only kinds that are still open
    return Choice(tuple(chosen for kind in KIND for chosen in by_kind.get(kind, ())))


def _one_place(source: Source, names: Iterable[str]) -> dict[str, tuple[Chosen, ...]]:
    found: dict[str, tuple[Chosen, ...]] = {}
    for full_name in dict.fromkeys(names):
        chosen = Chosen(full_name, source)
        if chosen.kind not in KIND or not chosen.name:
            raise UsageError(
                code="plugin-unknown",
                where=source.value,
                what=f"{full_name!r} is not the name of a plugin",
                expected=f"<kind>_<name> with a kind of {', '.join(KIND)}",
                remedy="See what is installed: photon plugin list",
            )
        before = found.get(chosen.kind, ())
        if before and KIND[chosen.kind].exclusive:
            raise UsageError(
                code="plugin-conflict",
                where=source.value,
                what=f"two plugins of the kind {chosen.kind}",
                expected="one",
                found=f"{before[0].full_name} and {full_name}",
                remedy="Leave one out.",
            )
        found[chosen.kind] = (*before, chosen)
    return found
