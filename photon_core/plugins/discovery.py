"""What is installed, read from the distributions' metadata alone: nothing of a plugin is imported here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, distributions

from attrs import field, frozen

from photon_core.api.errors import PhotonError, UsageError
from photon_core.plugins.kinds import KIND

GROUP_PREFIX = "photon."
SUGGESTIONS_MAX = 3


@frozen(kw_only=True)
class InstalledPlugin:
    """One entry point. `name` is without the kind; `place` is what the entry point names, a module."""

    kind: str
    name: str
    place: str
    distribution: str
    version: str
    entry_point: EntryPoint | None = field(default=None, repr=False, eq=False)

    @property
    def full_name(self) -> str:
        """How people choose it: `market_auction`."""
        return f"{self.kind}_{self.name}"

    def __str__(self) -> str:
        return f"plugin {self.full_name} ({self.distribution} {self.version})"


@frozen
class Catalog:
    """All installed plugins in order of their names, and what is wrong with entry points that are none."""

    plugins: tuple[InstalledPlugin, ...] = ()
    problems: tuple[str, ...] = ()

    def of_kind(self, kind: str) -> tuple[InstalledPlugin, ...]:
        return tuple(plugin for plugin in self.plugins if plugin.kind == kind)

    def find(self, full_name: str) -> InstalledPlugin:
        """The one plugin of this name; PhotonError when there is none, or when two distributions claim it."""
        found = [plugin for plugin in self.plugins if plugin.full_name == full_name]
        match found:
            case [plugin]:
                return plugin
            case []:
                raise self._unknown(full_name)
            case _:
                raise _duplicate(full_name, found)

    def _unknown(self, full_name: str) -> PhotonError:
        kind, _, name = full_name.partition("_")
        if kind not in KIND or not name:
            return UsageError(
                code="plugin-unknown",
                what=f"{full_name!r} is not the name of a plugin",
                expected=f"<kind>_<name> with a kind of {', '.join(KIND)}",
                remedy=self._suggest(full_name) or "See what is installed: photon plugin list",
            )
        return UsageError(
            code="plugin-unknown",
            what=f"plugin {full_name} is not installed",
            expected=f"an entry point {full_name} in the group photon.{kind}",
            found=self._installed(kind),
            remedy=self._suggest(full_name)
            or f"Install the distribution that has it beside Photon (ours: photon-{full_name.replace('_', '-')})",
        )

    def _suggest(self, full_name: str) -> str:
        close = close_matches(full_name, [plugin.full_name for plugin in self.plugins])
        return f"Did you mean {' or '.join(close)}?" if close else ""

    def _installed(self, kind: str) -> str:
        names = [plugin.full_name for plugin in self.of_kind(kind)]
        return ", ".join(dict.fromkeys(names)) or f"no {kind} plugin installed"


def close_matches(word: str, known: Iterable[str]) -> list[str]:
    """What somebody who wrote `word` may have meant."""
    return difflib.get_close_matches(word, sorted(set(known)), n=SUGGESTIONS_MAX)


def _photon_entry_points() -> Iterator[EntryPoint]:
    """Ours among the entry points of all distributions; of one installed twice, the one that Python would import."""
    seen: set[str] = set()
    for distribution in distributions():
        points = [point for point in distribution.entry_points if point.group.startswith(GROUP_PREFIX)]
        if points:  # only now: a distribution's name costs reading all its metadata
            name = re.sub(r"[-_.]+", "-", distribution.name).lower()
            if name not in seen:
                yield from points
            seen.add(name)


def discover(points: Iterable[EntryPoint] | None = None) -> Catalog:
    """Read the metadata of all installed distributions (or just these entry points)."""
    plugins: list[InstalledPlugin] = []
    problems: list[str] = []
    for point in _photon_entry_points() if points is None else points:
        if not point.group.startswith(GROUP_PREFIX):
            continue
        distribution = point.dist.name if point.dist is not None else "no distribution"
        version = point.dist.version if point.dist is not None else "0"
        kind = point.group.removeprefix(GROUP_PREFIX)
        name = point.name.removeprefix(f"{kind}_")
        if kind not in KIND:
            problems.append(f"{distribution} {version}: {point.group} is not a kind of plugin ({', '.join(KIND)})")
        elif name == point.name or not name:
            problems.append(f"{distribution} {version}: {point.name!r} in {point.group} must be named {kind}_<name>")
        else:
            plugins.append(
                InstalledPlugin(
                    kind=kind,
                    name=name,
                    place=point.value,
                    distribution=distribution,
                    version=version,
                    entry_point=point,
                )
            )
    plugins.sort(key=lambda plugin: (tuple(KIND).index(plugin.kind), plugin.name, plugin.distribution))
    return Catalog(tuple(plugins), tuple(sorted(problems)))


def _duplicate(full_name: str, found: list[InstalledPlugin]) -> PhotonError:
    owners = [f"{plugin.distribution} {plugin.version}" for plugin in found]
    return PhotonError(
        code="plugin-duplicate",
        what=f"plugin {full_name} is claimed by {len(found)} distributions",
        expected="one",
        found=" and ".join(owners),
        remedy=f"Uninstall all but one: pip uninstall {found[-1].distribution}",
    )
