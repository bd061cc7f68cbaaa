"""Each hole of pluggy 1.6 that the registry closes, shown open in pluggy itself and closed here."""

import inspect
from types import ModuleType

import pluggy
import pytest

from photon_core import hooks
from photon_core.api.errors import PhotonError
from photon_core.hooks import hookimpl
from photon_core.plugins.discovery import InstalledPlugin
from photon_core.plugins.registry import HOOK_NAMES, RECORDS_MAX, Hooks, Registry

OWNER = InstalledPlugin(kind="market", name="fake", place="fake", distribution="photon-market-fake", version="1.2")


def module(**functions):
    made = ModuleType("fake")
    for name, function in functions.items():
        setattr(made, name, function)
    return made


def bare_pluggy() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    return manager


def refused(plugin: object) -> PhotonError:
    registry = Registry()
    with pytest.raises(PhotonError) as caught:
        registry.register(OWNER, plugin)
    assert registry.names == ()
    assert "plugin market_fake (photon-market-fake 1.2)" in str(caught.value)
    return caught.value


def test_a_misspelt_hook_is_refused_with_the_right_name():
    @hookimpl
    def photon_register_markets():
        return ()

    plugin = module(photon_register_markets=photon_register_markets)
    assert bare_pluggy().register(plugin)  # pluggy says nothing
    error = refused(plugin)
    assert error.remedy == "Did you mean photon_register_market?"


def test_a_hook_of_a_newer_photon_may_be_optional():
    @hookimpl(optionalhook=True)
    def photon_register_weather():
        return ()

    registry = Registry()
    registry.register(OWNER, module(photon_register_weather=photon_register_weather))
    assert registry.names == ("market_fake",)


def test_a_hook_without_its_marker_is_refused():
    def photon_register_market():
        return ()

    plugin = module(photon_register_market=photon_register_market)
    manager = bare_pluggy()
    manager.register(plugin)
    assert manager.hook.photon_register_market() == []  # pluggy does not see it
    assert "@hookimpl" in refused(plugin).remedy


def test_a_rejected_plugin_leaves_nothing_behind():
    @hookimpl
    def photon_add_commands(group):
        raise AssertionError("must not be called")

    @hookimpl
    def photon_register_market(surplus):
        return ()

    plugin = module(photon_add_commands=photon_add_commands, photon_register_market=photon_register_market)
    manager = bare_pluggy()
    with pytest.raises(pluggy.PluginValidationError):
        manager.register(plugin)
    assert manager.is_registered(plugin)  # pluggy keeps half of it
    assert "takes (surplus)" in str(refused(plugin))


def test_properties_are_not_evaluated():
    class Plugin:
        @property
        def expensive(self):
            raise RuntimeError("evaluated")

        @hookimpl
        def photon_register_market(self):
            return ()

    with pytest.raises(RuntimeError):
        bare_pluggy().register(Plugin())
    registry = Registry()
    registry.register(OWNER, Plugin())
    assert registry.names == ("market_fake",)


def test_async_hooks_are_refused():
    @hookimpl
    async def photon_register_market():
        return ()

    plugin = module(photon_register_market=photon_register_market)
    manager = bare_pluggy()
    manager.register(plugin)
    [answer] = manager.hook.photon_register_market()
    assert inspect.iscoroutine(answer)  # nobody would await it
    answer.close()
    assert "is async" in str(refused(plugin))


def test_async_generators_are_refused_too():
    @hookimpl
    async def photon_register_market():
        yield None

    assert "is async" in str(refused(module(photon_register_market=photon_register_market)))


@pytest.mark.parametrize("option", ["wrapper", "hookwrapper", "tryfirst", "trylast"])
def test_nobody_comes_first_or_wraps_the_others(option):
    @hookimpl(**{option: True})
    def photon_register_market():
        yield

    assert f"is marked {option}" in str(refused(module(photon_register_market=photon_register_market)))


def test_a_hook_is_implemented_once():
    @hookimpl
    def photon_register_market():
        return ()

    @hookimpl(specname="photon_register_market")
    def again():
        return ()

    assert "implemented twice" in str(refused(module(photon_register_market=photon_register_market, again=again)))


def test_hooks_are_called_for_one_plugin_only():
    def offering(value):
        @hookimpl
        def photon_register_market():
            return [value]

        return module(photon_register_market=photon_register_market)

    registry = Registry()
    first, second = offering(1), offering(2)
    other = InstalledPlugin(kind="market", name="other", place="other", distribution="other", version="1")
    registry.register(OWNER, first)
    registry.register(other, second)
    assert registry.hooks(OWNER, first).photon_register_market() == (1,)
    assert registry.hooks(other, second).photon_register_market() == (2,)


def test_what_a_hook_raises_is_told_with_its_plugin():
    @hookimpl
    def photon_register_market():
        yield 1 // 0

    plugin = module(photon_register_market=photon_register_market)
    registry = Registry()
    registry.register(OWNER, plugin)
    with pytest.raises(PhotonError, match=r"market_fake.*photon_register_market failed with ZeroDivisionError"):
        registry.hooks(OWNER, plugin).photon_register_market()


def test_an_endless_hook_is_cut_off():
    @hookimpl
    def photon_register_market():
        while True:
            yield 1

    plugin = module(photon_register_market=photon_register_market)
    registry = Registry()
    registry.register(OWNER, plugin)
    assert len(registry.hooks(OWNER, plugin).photon_register_market()) == RECORDS_MAX


def test_every_hook_has_a_typed_method():
    for name in HOOK_NAMES:
        spec, method = inspect.signature(getattr(hooks, name)), inspect.signature(getattr(Hooks, name))
        assert list(method.parameters)[1:] == list(spec.parameters), name
        wanted = spec.return_annotation.removeprefix("Iterable[").removesuffix("]")
        assert wanted in method.return_annotation, name
