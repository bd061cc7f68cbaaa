"""The plugin manager of one process.

Theory of operation
-------------------
`discover` reads what is installed, `choose` says what is wanted; both import
nothing. `PluginManager.load` then imports the chosen plugins and no other, checks everything that can be checked, and
keeps either all of them or none: a new set is built beside the old one and put in its place at the end. So after an
error the manager is what it was before.

What a plugin makes is made by `make`, which reads the plugin's configuration, calls the record's factory and checks the
result against the kind's Protocol, and against the second Protocols that its capabilities promise.

There is no manager at module level: two networks in one process (and two tests) do not meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import attrs
from attrs import field, frozen

from photon_core.api.errors import PhotonError, UsageError
from photon_core.plugins import protocols
from photon_core.plugins.config import read_table
from photon_core.plugins.discovery import Catalog, InstalledPlugin, discover
from photon_core.plugins.kinds import KIND, capability_words, look_up
from photon_core.plugins.records import AnyRecord, check_records
from photon_core.plugins.registry import Hooks, Registry
from photon_core.plugins.rules import Rule, check_choice, refuse_version
from photon_core.plugins.selection import Choice

if TYPE_CHECKING:
    import click

    from photon_core.api.consensus import ConsensusProvider, Engine, EngineContext
    from photon_core.api.market import Market, MarketContext, MarketProvider
    from photon_core.api.observer import Observer, ObserverContext, ObserverProvider
    from photon_core.api.pricing import Pricing, PricingContext, PricingProvider
    from photon_core.api.runtime import Runtime, RuntimeContext, RuntimeProvider
    from photon_core.api.transport import Transport, TransportContext, TransportProvider

Tables = Mapping[str, Mapping[str, object]]
"""Configuration by full name: the tables `[plugin.<kind>_<name>]` of a TOML file."""


@frozen(kw_only=True)
class LoadedPlugin:
    """`records` is empty for the kind `commands`, and oldest rules first otherwise."""

    installed: InstalledPlugin
    module: object = field(repr=False)
    hooks: Hooks = field(repr=False)
    records: tuple[AnyRecord, ...]


class PluginManager:
    """The plugins of one process. Nothing is imported before `load`, or before a plugin is asked for by name."""

    def __init__(
        self, choice: Choice | None = None, *, tables: Tables | None = None, catalog: Catalog | None = None
    ) -> None:
        self.choice = choice if choice is not None else Choice()
        self._tables = tables if tables is not None else {}
        self._catalog = catalog
        self._loaded: dict[str, LoadedPlugin] = {}

    @property
    def catalog(self) -> Catalog:
        if self._catalog is None:
            self._catalog = discover()
        return self._catalog

    @property
    def loaded(self) -> tuple[LoadedPlugin, ...]:
        return tuple(self._loaded.values())

    def load(self, *kinds: str) -> None:
        """Import what was chosen (of these kinds; of all without one), and check that every table is somebody's."""
        for full_name in self._tables:
            self.catalog.find(full_name)
        self.select(chosen.full_name for chosen in self.choice.chosen if not kinds or chosen.kind in kinds)

    def select(self, full_names: Iterable[str]) -> None:
        """Import these plugins besides those that are loaded: all of them, or PhotonError and none."""
        wanted = [self.catalog.find(name) for name in dict.fromkeys(full_names) if name not in self._loaded]
        self._take(self._loaded, [(installed, None) for installed in wanted])

    def add(self, full_name: str, plugin: object) -> None:
        """Take in an object instead of an installed module, with the same checks: for tests and embedding programs."""
        kind, _, name = full_name.partition("_")
        if full_name in self._loaded:
            raise UsageError(
                code="plugin-duplicate", what=f"plugin {full_name} is already loaded", remedy="Add it once."
            )
        installed = InstalledPlugin(
            kind=kind, name=name, place=repr(plugin), distribution="given by the program", version="0"
        )
        self._take(self._loaded, [(installed, plugin)])

    def _take(self, before: Mapping[str, LoadedPlugin], more: Sequence[tuple[InstalledPlugin, object | None]]) -> None:
        registry = Registry()
        modules = [(plugin.installed, plugin.module) for plugin in before.values()]
        modules += [(installed, _import(installed) if module is None else module) for installed, module in more]
        for installed, module in modules:
            registry.register(installed, module)
        self._loaded = {installed.full_name: _load(registry, installed, module) for installed, module in modules}

    # --- records ---------------------------------------------------------------------------------------------------

    def record(self, kind: str, name: str, rules_version: int | None = None) -> AnyRecord:
        """The record of a plugin, loaded if need be; of several rules versions the newest, or the one named."""
        full_name = f"{kind}_{name}"
        if full_name not in self._loaded:
            self.select([full_name])
        plugin = self._loaded[full_name]
        if rules_version is None:
            return plugin.records[-1]
        for record in plugin.records:
            if record.rules_version == rules_version:
                return record
        raise refuse_version(plugin.installed, [record.rules_version for record in plugin.records], rules_version)

    def consensus(self, name: str, rules_version: int | None = None) -> ConsensusProvider:
        return self.record("consensus", name, rules_version)

    def market(self, name: str, rules_version: int | None = None) -> MarketProvider:
        return self.record("market", name, rules_version)

    def transport(self, name: str) -> TransportProvider:
        return self.record("transport", name)

    def runtime(self, name: str) -> RuntimeProvider:
        return self.record("runtime", name)

    def pricing(self, name: str) -> PricingProvider:
        return self.record("pricing", name)

    def observer(self, name: str) -> ObserverProvider:
        return self.record("observers", name)

    # --- making ----------------------------------------------------------------------------------------------------

    @overload
    def make(
        self,
        kind: Literal["consensus"],
        name: str,
        context: EngineContext,
        *,
        table: Mapping[str, object] | None = None,
        rules_version: int | None = None,
    ) -> Engine: ...
    @overload
    def make(
        self,
        kind: Literal["market"],
        name: str,
        context: MarketContext,
        *,
        table: Mapping[str, object] | None = None,
        rules_version: int | None = None,
    ) -> Market: ...
    @overload
    def make(
        self,
        kind: Literal["transport"],
        name: str,
        context: TransportContext,
        *,
        table: Mapping[str, object] | None = None,
    ) -> Transport: ...
    @overload
    def make(
        self, kind: Literal["runtime"], name: str, context: RuntimeContext, *, table: Mapping[str, object] | None = None
    ) -> Runtime: ...
    @overload
    def make(
        self, kind: Literal["pricing"], name: str, context: PricingContext, *, table: Mapping[str, object] | None = None
    ) -> Pricing: ...
    @overload
    def make(
        self,
        kind: Literal["observers"],
        name: str,
        context: ObserverContext,
        *,
        table: Mapping[str, object] | None = None,
    ) -> Observer: ...
    def make(
        self,
        kind: str,
        name: str,
        context: Any,
        *,
        table: Mapping[str, object] | None = None,
        rules_version: int | None = None,
    ) -> object:
        """Read the plugin's configuration, call its factory, check what it made.

        The context's `config` is filled in here: from `table` (what genesis says) or else from the manager's own
        table of the plugin. A context that already holds an instance of the record's config type keeps it.
        """
        record = self.record(kind, name, rules_version)
        installed = self._loaded[f"{kind}_{name}"].installed
        if table is not None or not isinstance(context.config, record.config_type):
            context = attrs.evolve(context, config=self.config(kind, name, table=table, rules_version=rules_version))
        try:
            made: object = record.factory(context)
        except PhotonError:
            raise
        except Exception as error:
            raise _broken(installed, "factory", f"its factory failed with {type(error).__name__}: {error}") from error
        for protocol in _promised(kind, record):
            problems = protocols.faults(protocol, made)
            if problems:
                raise _broken(
                    installed,
                    "protocol",
                    f"what it made ({type(made).__name__}) is not a {protocol.__name__}: " + "; ".join(problems),
                )
        return made

    def config(
        self, kind: str, name: str, *, table: Mapping[str, object] | None = None, rules_version: int | None = None
    ) -> object:
        """The plugin's configuration as an instance of its config type; UsageError lists all that is wrong with it."""
        record = self.record(kind, name, rules_version)
        full_name = f"{kind}_{name}"
        values = self._tables.get(full_name, {}) if table is None else table
        return read_table(record.config_type, values, f"[plugin.{full_name}], for {self._loaded[full_name].installed}")

    # --- rules and commands -----------------------------------------------------------------------------------------

    def require_rules(self, kind: str, rules: Sequence[Rule]) -> None:
        """Load all that genesis demands of one kind, at their versions; refuse if somebody chose another by name.

        PhotonError says which rule this node lacks. A choice that is only a default gives way to genesis in silence.
        """
        check_choice(kind, rules, self.choice)
        self.select(f"{kind}_{rule.name}" for rule in rules)
        for rule in rules:
            self.record(kind, rule.name, rule.rules_version)

    def add_commands(self, group: click.Group, taken: Iterable[str] = ()) -> None:
        """Let each loaded plugin add its commands to `group`; one that is there, or is `taken`, is refused."""
        import click  # noqa: PLC0415  # a node has no commands

        names = {*taken, *group.commands}
        for plugin in self._loaded.values():
            offered = click.Group()
            plugin.hooks.photon_add_commands(offered)
            for name, command in offered.commands.items():
                if name in names:
                    raise _broken(plugin.installed, "hook", f"it adds the command {name!r}, which is already there")
                names.add(name)
                group.add_command(command, name)


def _import(installed: InstalledPlugin) -> object:
    assert installed.entry_point is not None
    try:
        return installed.entry_point.load()
    except (Exception, SystemExit) as error:  # a module that calls sys.exit must not take the node with it
        raise PhotonError(
            code="plugin-import",
            where=str(installed),
            what=f"importing {installed.place} failed with {type(error).__name__}: {error}",
            remedy="Install what it needs, or install it anew: "
            f"pip install --force-reinstall {installed.distribution}; PHOTON_DEBUG=1 shows where it failed",
        ) from error


def _load(registry: Registry, installed: InstalledPlugin, module: object) -> LoadedPlugin:
    hooks = registry.hooks(installed, module)
    kind = KIND[installed.kind]
    records = check_records(installed, kind, getattr(hooks, kind.hook)()) if kind.protocol else ()
    return LoadedPlugin(installed=installed, module=module, hooks=hooks, records=records)


def _promised(kind: str, record: AnyRecord) -> tuple[type, ...]:
    """The Protocols that what the factory made must be: the kind's own, and one for each capability that has one."""
    words = capability_words(KIND[kind])
    places = [KIND[kind].protocol, *(words[word] for word in sorted(record.capabilities) if words[word])]
    return tuple(look_up(place) for place in places)


def _broken(installed: InstalledPlugin, code: str, what: str) -> PhotonError:
    return PhotonError(
        code=f"plugin-{code}",
        where=str(installed),
        what=what,
        remedy=f"This is a fault of {installed.distribution} {installed.version}: choose another version or another "
        "plugin; PHOTON_DEBUG=1 shows where it failed",
    )
