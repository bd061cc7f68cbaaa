"""The plugin manager: discovery from metadata, loading by name, checks, and errors that name the culprit.

How a command uses it:

    choice = choose(flag=["runtime_process"], config=["market_posted"], defaults=DEFAULTS)
    manager = PluginManager(choice, tables={"runtime_process": {"…": 1}})
    manager.load()  # imports the chosen ones and no other; all or nothing
    runtime = manager.make("runtime", manager.choice.one("runtime").name, RuntimeContext(…, config=None))

Start with `manager.py`.
"""

from photon_core.plugins.config import read_table
from photon_core.plugins.discovery import Catalog, InstalledPlugin, discover
from photon_core.plugins.manager import LoadedPlugin, PluginManager
from photon_core.plugins.rules import Rule
from photon_core.plugins.selection import DEFAULTS, DEVELOPMENT_DEFAULTS, Choice, Chosen, Source, choose

__all__ = [
    "DEFAULTS",
    "DEVELOPMENT_DEFAULTS",
    "Catalog",
    "Choice",
    "Chosen",
    "InstalledPlugin",
    "LoadedPlugin",
    "PluginManager",
    "Rule",
    "Source",
    "choose",
    "discover",
    "read_table",
]
