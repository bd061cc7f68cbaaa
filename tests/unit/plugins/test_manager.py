"""Loading by name: all or nothing, one error that names the culprit."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from attrs import evolve, frozen

from photon_core.api.consensus import CRASH_ONLY
from photon_core.api.errors import PhotonError
from photon_core.api.market import Market, MarketContext, MarketProvider
from photon_core.api.plugin import API_VERSION, PluginRecord
from photon_core.api.runtime import NETWORK_AGENT, RuntimeProvider
from photon_core.hooks import hookimpl
from photon_core.plugins import Choice, PluginManager, Rule, choose, discover


class Nothing:
    """A market that does nothing, correctly."""

    def __init__(self, context):
        self.config = context.config

    def open(self, order):
        return ()

    def on_message(self, order, event, now_ms):
        return ()

    def on_due(self, order, now_ms):
        return ()


RECORD = MarketProvider(name="fake", summary="does nothing", factory=Nothing)


def plugin(*records, hook="photon_register_market"):
    """A plugin module that offers these records by this hook."""

    def offer():
        yield from records

    module = ModuleType("fake")
    setattr(module, hook, hookimpl(offer))
    return module


def refused(manager: PluginManager, module: object, full_name: str = "market_fake") -> PhotonError:
    with pytest.raises(PhotonError) as caught:
        manager.add(full_name, module)
    assert manager.loaded == ()
    assert full_name in str(caught.value)
    assert caught.value.remedy
    return caught.value


@pytest.fixture
def manager() -> PluginManager:
    return PluginManager()


def test_a_plugin_is_found_by_kind_and_name(manager):
    manager.add("market_fake", plugin(RECORD))
    assert manager.market("fake") is RECORD
    market: Market = manager.make("market", "fake", MarketContext(config=None))
    assert isinstance(market, Nothing)


def test_two_managers_share_nothing(manager):
    manager.add("market_fake", plugin(RECORD))
    with pytest.raises(PhotonError, match="not installed"):
        PluginManager().market("fake")


def test_of_several_rules_versions_the_newest_is_used_unless_one_is_named(manager):
    older, newer = evolve(RECORD, rules_version=1), evolve(RECORD, rules_version=2)
    manager.add("market_fake", plugin(newer, older))
    assert manager.market("fake").rules_version == 2
    assert manager.market("fake", 1) is older
    with pytest.raises(PhotonError, match=r"rules version 3.*found rules version 1, 2"):
        manager.market("fake", 3)


@pytest.mark.parametrize(
    ("record", "code", "says"),
    [
        (evolve(RECORD, api_version=API_VERSION + 1), "plugin-api-version", "Upgrade Photon"),
        (evolve(RECORD, api_version=API_VERSION - 1), "plugin-api-version", "Upgrade the plugin"),
        (evolve(RECORD, name="other"), "plugin-name", "'other'"),
        (evolve(RECORD, factory=None), "plugin-record", "factory"),
        (evolve(RECORD, config_type=int), "plugin-record", "int is not an attrs class"),
        (evolve(RECORD, capabilities=frozenset({CRASH_ONLY})), "plugin-record", "means nothing to the kind market"),
        (SimpleNamespace(name="fake"), "plugin-record", "SimpleNamespace"),
    ],
)
def test_a_record_that_cannot_be_used_is_refused(manager, record, code, says):
    error = refused(manager, plugin(record))
    assert error.code == code
    assert says in str(error)


def test_a_plugin_that_offers_nothing_is_refused(manager):
    assert "offers nothing" in str(refused(manager, plugin()))


def test_two_records_of_one_rules_version_are_refused(manager):
    assert "one rules version" in str(refused(manager, plugin(RECORD, evolve(RECORD, summary="again"))))


def test_a_misspelt_capability_is_refused_with_the_right_word(manager):
    record = RuntimeProvider(name="fake", summary="", factory=Nothing, capabilities=frozenset({"network-agnet"}))
    error = refused(manager, plugin(record, hook="photon_register_runtime"), "runtime_fake")
    assert f"Did you mean {NETWORK_AGENT!r}?" in error.remedy


def test_one_bad_plugin_keeps_the_others_as_they_were(manager):
    manager.add("market_fake", plugin(RECORD))
    before = manager.loaded
    with pytest.raises(PhotonError):
        manager.add("market_other", plugin(RECORD))
    assert manager.loaded == before


@frozen(kw_only=True)
class Depth:
    levels: int
    names: tuple[str, ...] = ()


class TestConfiguration:
    RECORD = evolve(RECORD, config_type=Depth)

    def test_it_comes_from_the_table_of_the_full_name(self, manager):
        manager = PluginManager(tables={"market_fake": {"levels": 3, "names": ["a"]}})
        manager.add("market_fake", plugin(self.RECORD))
        made = manager.make("market", "fake", MarketContext(config=None))
        assert made.config == Depth(levels=3, names=("a",))

    def test_a_table_of_genesis_replaces_it(self, manager):
        manager = PluginManager(tables={"market_fake": {"levels": 3}})
        manager.add("market_fake", plugin(self.RECORD))
        assert manager.make("market", "fake", MarketContext(config=None), table={"levels": 4}).config.levels == 4

    def test_a_context_that_is_configured_stays_as_it_is(self, manager):
        manager.add("market_fake", plugin(self.RECORD))
        config = Depth(levels=9)
        assert manager.make("market", "fake", MarketContext(config=config)).config is config

    def test_all_that_is_wrong_with_it_is_told_at_once(self, manager):
        manager = PluginManager(tables={"market_fake": {"level": 3}})
        manager.add("market_fake", plugin(self.RECORD))
        with pytest.raises(PhotonError) as caught:
            manager.make("market", "fake", MarketContext(config=None))
        told = str(caught.value)
        assert "[plugin.market_fake]" in told
        assert "level: unknown key; did you mean levels?" in told
        assert "levels: missing; expected an integer" in told
        assert "levels, names (optional)" in told

    def test_a_table_of_no_installed_plugin_is_refused(self):
        manager = PluginManager(tables={"market_fake": {}})
        with pytest.raises(PhotonError, match="market_fake is not installed"):
            manager.load()


class Broken(Nothing):
    on_due = None


class Async(Nothing):
    async def on_due(self, order, now_ms):
        return ()


class OtherArguments(Nothing):
    def on_due(self, order):
        return ()


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        (Broken, "on_due is missing"),
        (Async, "on_due must be a plain def"),
        (OtherArguments, r"on_due takes \(order\), and is called as \(order, now_ms\)"),
        (lambda context: 1 // 0, "factory failed with ZeroDivisionError"),
    ],
)
def test_what_the_factory_makes_must_be_of_the_kind(manager, factory, says):
    manager.add("market_fake", plugin(evolve(RECORD, factory=factory)))
    with pytest.raises(PhotonError, match=says) as caught:
        manager.make("market", "fake", MarketContext(config=None))
    assert "plugin market_fake (given by the program 0)" in str(caught.value)


def test_a_capability_is_a_second_protocol_that_is_checked(manager):
    class NoNetworks:
        async def run(self, task_status=None): ...
        async def capacity(self): ...
        async def apply(self, desired): ...
        async def remove(self, lease): ...
        async def observe(self): ...
        def logs(self, instance, *, follow, tail_lines): ...
        async def exec(self, instance, command, *, terminal=None): ...
        def events(self): ...

    record = PluginRecord(
        name="fake", summary="", factory=lambda context: NoNetworks(), capabilities=frozenset({NETWORK_AGENT})
    )
    manager.add("runtime_fake", plugin(record, hook="photon_register_runtime"))
    context = SimpleNamespaceContext(config=None)
    with pytest.raises(PhotonError, match="is not a SandboxNetworks: namespace is missing"):
        manager.make("runtime", "fake", context)


@frozen
class SimpleNamespaceContext:
    config: object


class TestRulesOfGenesis:
    RULES = (Rule(from_height=0, name="fake", rules_version=1),)

    def test_rules_that_the_node_has_are_loaded(self, manager):
        manager.add("market_fake", plugin(RECORD))
        manager.require_rules("market", self.RULES)

    def test_another_explicit_choice_is_refused_and_says_which(self):
        manager = PluginManager(choose(flag=["market_other"], environment={}))
        with pytest.raises(PhotonError) as caught:
            manager.require_rules("market", self.RULES)
        assert caught.value.where == "--plugin"
        assert "market_fake (rules version 1) from height 0; found market_other" in str(caught.value)

    def test_a_default_gives_way(self):
        manager = PluginManager(choose(defaults=["market_other"], environment={}))
        manager.add("market_fake", plugin(RECORD))
        manager.require_rules("market", self.RULES)

    def test_a_version_that_is_missing_is_named(self, manager):
        manager.add("market_fake", plugin(RECORD))
        with pytest.raises(PhotonError, match="expected rules version 7 of market_fake; found rules version 1"):
            manager.require_rules("market", (Rule(from_height=9, name="fake", rules_version=7),))


# --- installed plugins: files on a path of their own ------------------------------------------------------------------


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Writes a distribution's metadata and module where Python finds it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = set(sys.modules)

    def write(distribution: str, full_name: str, source: str, module: str | None = None) -> str:
        module = module or distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        kind = full_name.partition("_")[0]
        (info / "entry_points.txt").write_text(f"[photon.{kind}]\n{full_name} = {module}\n")
        return module

    yield write
    for name in set(sys.modules) - modules:
        del sys.modules[name]


GOOD = """
from photon_core.api.pricing import PricingProvider
from photon_core.hooks import hookimpl

@hookimpl
def photon_register_pricing():
    return [PricingProvider(name="{name}", summary="for tests", factory=lambda context: None)]
"""


def test_installed_plugins_are_listed_without_importing_them(install):
    module = install("photon-pricing-x1", "pricing_x1", "raise RuntimeError('imported')")
    assert "pricing_x1" in [plugin.full_name for plugin in discover().plugins]
    assert module not in sys.modules


def test_selected_plugins_are_imported_and_no_others(install, tmp_path):
    install("photon-pricing-x1", "pricing_x1", GOOD.format(name="x1"))
    install("photon-pricing-x2", "pricing_x2", GOOD.format(name="x2"))
    script = (
        "import sys\n"
        "from photon_core.plugins import PluginManager\n"
        "manager = PluginManager(); manager.select(['pricing_x2'])\n"
        "mine = [name for name in sys.modules if name.startswith('photon_') and name.split('.')[0] != 'photon_core']\n"
        "print(*mine, *('trio' for _ in [1] if 'trio' in sys.modules))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["photon_pricing_x2"]


def test_an_import_that_fails_names_plugin_distribution_and_version(install):
    install("photon-pricing-x1", "pricing_x1", "import there_is_no_such_module")
    manager = PluginManager()
    with pytest.raises(PhotonError) as caught:
        manager.select(["pricing_x1"])
    told = str(caught.value)
    assert "plugin pricing_x1 (photon-pricing-x1 1.2)" in told
    assert "No module named 'there_is_no_such_module'" in told
    assert manager.loaded == ()


def test_an_import_that_exits_does_not_take_the_process_with_it(install):
    install("photon-pricing-x1", "pricing_x1", "raise SystemExit(3)")
    with pytest.raises(PhotonError, match="SystemExit"):
        PluginManager().select(["pricing_x1"])


def test_all_are_loaded_or_none(install):
    install("photon-pricing-x1", "pricing_x1", GOOD.format(name="x1"))
    install("photon-pricing-x2", "pricing_x2", GOOD.format(name="wrong"))
    manager = PluginManager()
    with pytest.raises(PhotonError, match="pricing_x2"):
        manager.select(["pricing_x1", "pricing_x2"])
    assert manager.loaded == ()


def test_two_distributions_of_one_name_are_both_named(install):
    install("photon-pricing-x1", "pricing_x1", GOOD.format(name="x1"))
    install("somebody-elses", "pricing_x1", GOOD.format(name="x1"))
    with pytest.raises(PhotonError, match=r"photon-pricing-x1 1\.2 and somebody-elses 1\.2"):
        PluginManager().select(["pricing_x1"])


def test_an_unknown_plugin_is_told_with_what_is_like_it(install):
    install("photon-pricing-scalar", "pricing_scalar", GOOD.format(name="scalar"))
    with pytest.raises(PhotonError, match="Did you mean pricing_scalar") as caught:
        PluginManager(Choice()).select(["pricing_scalr"])
    assert "pricing_scalar" in caught.value.found
