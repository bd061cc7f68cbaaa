"""One pluggy manager with its holes closed (pluggy 1.6, pinned), and a typed face for its hooks.

What pluggy lets pass in silence, and what happens here instead:

| pluggy 1.6 | here | |---|---| | a misspelt hook is kept in silence, unless `check_pending` is called | refused at
once, with the hook it resembles | | a hook function without its marker is ignored | refused | | a plugin rejected
half-way stays, by name and by its earlier hooks | checked before pluggy sees it, and taken out again | | every
attribute of a plugin is read at register, which runs its properties | attributes are looked up statically | | an
`async def` hook gives a coroutine that nobody awaits | refused | | a wrapper can change what other plugins answer |
refused, and tryfirst and trylast too: hooks only collect | | `hook.x(...)` is Any to a type checker | `Hooks` has one
typed method for each hook |
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import pluggy

from photon_core import hooks
from photon_core.api.errors import PhotonError
from photon_core.plugins.discovery import InstalledPlugin, close_matches

if TYPE_CHECKING:
    import click

    from photon_core.api.consensus import ConsensusProvider
    from photon_core.api.market import MarketProvider
    from photon_core.api.observer import ObserverProvider
    from photon_core.api.pricing import PricingProvider
    from photon_core.api.runtime import RuntimeProvider
    from photon_core.api.transport import TransportProvider

RECORDS_MAX = 64
"""Records of one plugin and hook: a generator that never ends must not hang the start."""
_IMPL = f"{hooks.PROJECT}_impl"
_SPEC = f"{hooks.PROJECT}_spec"
_REFUSED_OPTIONS = ("wrapper", "hookwrapper", "tryfirst", "trylast")

HOOK_NAMES: tuple[str, ...] = tuple(sorted(name for name, value in vars(hooks).items() if hasattr(value, _SPEC)))


class _StaticPluggy(pluggy.PluginManager):
    """Finds hook functions without reading a single attribute dynamically."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        function = _static_function(plugin, name)
        return None if function is None else function.__dict__.get(_IMPL)


class Registry:
    """The plugins of one process, by full name. No state is shared between two registries."""

    def __init__(self) -> None:
        self._pluggy = _StaticPluggy(hooks.PROJECT)
        self._pluggy.add_hookspecs(hooks)
        self._owners: dict[str, InstalledPlugin] = {}

    def register(self, owner: InstalledPlugin, plugin: object) -> None:
        """Take the plugin in, or raise PhotonError and be as before. One object under two names is taken in once."""
        _check_functions(owner, plugin)
        if not self._pluggy.is_registered(plugin):
            try:
                self._pluggy.register(plugin, owner.full_name)
                self._pluggy.check_pending()
            except Exception as error:
                if self._pluggy.get_plugin(owner.full_name) is not None:
                    self._pluggy.unregister(name=owner.full_name)
                raise _bad_hook(owner, f"pluggy refuses it: {error}", "photon plugin check says more") from error
        self._owners[owner.full_name] = owner

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._owners)

    def hooks(self, owner: InstalledPlugin, plugin: object) -> Hooks:
        """The hooks of this one plugin."""
        others = [other for other in self._pluggy.get_plugins() if other is not plugin]
        return Hooks(owner, lambda name: self._pluggy.subset_hook_caller(name, others))


class Hooks:
    """What one plugin answers: a method for each hook, with its type. What the plugin raises is told with its name."""

    def __init__(self, owner: InstalledPlugin, caller: Callable[[str], Any]) -> None:
        self._owner = owner
        self._caller = caller

    def photon_register_consensus(self) -> tuple[ConsensusProvider, ...]:
        return self._collect("photon_register_consensus")

    def photon_register_market(self) -> tuple[MarketProvider, ...]:
        return self._collect("photon_register_market")

    def photon_register_transport(self) -> tuple[TransportProvider, ...]:
        return self._collect("photon_register_transport")

    def photon_register_runtime(self) -> tuple[RuntimeProvider, ...]:
        return self._collect("photon_register_runtime")

    def photon_register_pricing(self) -> tuple[PricingProvider, ...]:
        return self._collect("photon_register_pricing")

    def photon_register_observers(self) -> tuple[ObserverProvider, ...]:
        return self._collect("photon_register_observers")

    def photon_add_commands(self, group: click.Group) -> None:
        self._call("photon_add_commands", len, group=group)

    def _collect(self, hook: str) -> tuple[Any, ...]:
        def flatten(answers: list[Iterable[Any]]) -> tuple[Any, ...]:
            return tuple(islice((record for answer in answers for record in answer), RECORDS_MAX))

        records: tuple[Any, ...] = self._call(hook, flatten)
        return records

    def _call(self, hook: str, read: Callable[[list[Any]], Any], **arguments: object) -> Any:
        try:
            return read(self._caller(hook)(**arguments))
        except Exception as error:
            raise _bad_hook(
                self._owner, f"{hook} failed with {type(error).__name__}: {error}", _report_to(self._owner)
            ) from error


def _check_functions(owner: InstalledPlugin, plugin: object) -> None:
    """Everything that can be said against a plugin's hook functions before one of them runs."""
    seen: set[str] = set()
    for name in dir(plugin):
        function = _static_function(plugin, name)
        if function is None or hasattr(function, _SPEC):
            continue
        options = function.__dict__.get(_IMPL)
        if options is None:
            if name in HOOK_NAMES:
                raise _bad_hook(owner, f"{name} is not marked", "Put @hookimpl (from photon_core.hooks) above it")
            continue
        hook = options.get("specname") or name
        problem = _problem_of(hook, function, options)
        if problem:
            raise _bad_hook(owner, *problem)
        if hook in seen:
            raise _bad_hook(owner, f"{hook} is implemented twice in one plugin", "Leave one; it may yield many records")
        seen.add(hook)


def _problem_of(hook: str, function: Any, options: dict[str, Any]) -> tuple[str, str] | None:
    """What is wrong with one marked function, and the remedy."""
    if hook not in HOOK_NAMES:
        if options.get("optionalhook"):
            return None
        close = close_matches(hook, HOOK_NAMES)
        remedy = f"Did you mean {close[0]}?" if close else f"Photon's hooks are {', '.join(HOOK_NAMES)}"
        return f"there is no hook {hook}", remedy
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return f"{hook} is async", "Hooks are plain functions; what is async belongs in what the factory makes"
    refused = [option for option in _REFUSED_OPTIONS if options.get(option)]
    if refused:
        return f"{hook} is marked {refused[0]}", "Hooks only collect and their order means nothing: use plain @hookimpl"
    wanted = list(inspect.signature(getattr(hooks, hook)).parameters)
    given = [name for name in inspect.signature(function).parameters if name not in {"self", "cls"}]
    if given != wanted:
        return f"{hook} takes ({', '.join(given)})", f"Its parameters are ({', '.join(wanted)})"
    return None


def _static_function(plugin: object, name: str) -> Any:
    """The plain function behind an attribute, found without running any code of the plugin; None for anything else."""
    value = inspect.getattr_static(plugin, name, None)
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    return value if inspect.isfunction(value) else None


def _bad_hook(owner: InstalledPlugin, what: str, remedy: str) -> PhotonError:
    return PhotonError(code="plugin-hook", where=str(owner), what=what, remedy=remedy)


def _report_to(owner: InstalledPlugin) -> str:
    return f"This is a fault of {owner.distribution} {owner.version}: choose another version or another plugin"
