"""`photon plugin`: what is installed, what one plugin is, whether it keeps its contract, and a start for a new one."""

from __future__ import annotations

from pathlib import Path

import attrs
import click

from photon_core.api.errors import ExitCode, UsageError
from photon_core.api.plugin import KINDS, SEAMS
from photon_core.cli.frame import Facts, Session, Table, pass_session
from photon_core.plugins import Catalog, PluginManager, discover


@click.group("plugin")
def plugin_group() -> None:
    """List, explain, check and write plugins.

    A plugin is named by its kind and its name: market_auction. Choose plugins by --plugin (repeatable), by
    plugins = ["market_auction"] in the config file, or by PHOTON_PLUGINS; the first of these that names a plugin of a
    kind decides.
    """


@plugin_group.command("list")
@click.option("--kind", type=click.Choice(KINDS), help="Only plugins of this kind.")
@pass_session
def list_command(session: Session, kind: str | None) -> None:
    """List the installed plugins. Reads metadata only: nothing of a plugin is imported."""
    catalog = discover()
    plugins = catalog.plugins if kind is None else catalog.of_kind(kind)
    chosen = {chosen.full_name: chosen.source.value for chosen in session.choice().chosen}
    rows = [(p.full_name, p.distribution, p.version, chosen.get(p.full_name, "")) for p in plugins]
    for problem in catalog.problems:
        session.progress(f"Warning: {problem}")
    session.show(
        {
            "plugins": [
                {"name": name, "distribution": distribution, "version": version, "chosen_by": by or None}
                for name, distribution, version, by in rows
            ],
            "problems": list(catalog.problems),
        },
        Table(("plugin", "distribution", "version", "chosen by"), rows, "no plugin is installed"),
    )


@plugin_group.command("info")
@click.argument("name", metavar="KIND_NAME")
@pass_session
def info_command(session: Session, name: str) -> None:
    """Import one plugin and tell all about it: where it is from, what it can do, how it is configured."""
    catalog = discover()
    installed = catalog.find(name)
    manager = _manager_of(session, name, catalog)
    facts: list[tuple[str, object]] = [
        ("plugin", name),
        ("distribution", f"{installed.distribution} {installed.version}"),
        ("module", installed.place),
    ]
    document: dict[str, object] = {
        "name": name,
        "kind": installed.kind,
        "distribution": installed.distribution,
        "version": installed.version,
        "module": installed.place,
    }
    keys: list[tuple[str, str, object]] = []
    if manager.loaded[0].records:
        record = manager.record(installed.kind, installed.name)
        versions = [each.rules_version for each in manager.loaded[0].records]
        keys = _keys(record.config_type)
        facts += [
            ("summary", record.summary),
            ("plugin API", record.api_version),
            ("rules versions", ", ".join(map(str, versions))),
            ("capabilities", ", ".join(sorted(record.capabilities))),
        ]
        document |= {
            "summary": record.summary,
            "api_version": record.api_version,
            "rules_versions": versions,
            "capabilities": sorted(record.capabilities),
            "config": [{"key": key, "type": kind, "default": default} for key, kind, default in keys],
        }
    table = Table(("key", "type", "default"), keys, "It has nothing to configure.")
    session.show(document, [Facts(facts), f"Configuration, in [plugin.{name}]:", table])


@plugin_group.command("check")
@click.argument("name", metavar="KIND_NAME")
@pass_session
def check_command(session: Session, name: str) -> None:
    """Put a plugin to every clause of its kind's contract: the same checks that Photon's own plugins must pass.

    The plugin's table of the config file is used. Exit code 1 if a clause is broken.
    """
    from photon_core.testing.checks.plugin import check_plugin

    manager = _manager_of(session, name, discover())
    verdicts = check_plugin(manager, name, before=lambda clause: session.progress(f"{clause.id}: {clause.sentence}"))
    broken = [verdict for verdict in verdicts if verdict.verdict == "broken"]
    session.show(
        {"plugin": name, "kept": not broken, "clauses": [attrs.asdict(verdict) for verdict in verdicts]},
        Table(("clause", "verdict", "detail"), [(v.clause, v.verdict, v.detail) for v in verdicts]),
    )
    if broken:
        raise click.exceptions.Exit(ExitCode.FAILED)


@plugin_group.command("new")
@click.argument("kind", type=click.Choice(SEAMS))
@click.argument("name")
@click.argument("directory", type=click.Path(path_type=Path))
@pass_session
def new_command(session: Session, kind: str, name: str, directory: Path) -> None:
    """Write a distribution with a plugin that works and its tests to DIRECTORY, which must not exist or be empty."""
    from photon_core.testing.skeleton import write_skeleton

    taken = next((each for each in discover().plugins if each.full_name == f"{kind}_{name}"), None)
    if taken is not None:
        raise UsageError(
            code="plugin-name",
            what=f"{taken.full_name} is installed already, from {taken.distribution} {taken.version}",
            remedy="choose another name: two plugins of one name exclude each other",
        )
    files = write_skeleton(kind, name, directory)
    session.show(
        {"plugin": f"{kind}_{name}", "directory": directory, "files": files},
        "\n".join(
            [
                f"Wrote {len(files)} files to {directory}. Then:",
                f"  pip install -e {directory} photon-conformance",
                f"  pytest {directory}",
                f"  photon plugin info {kind}_{name}",
            ]
        ),
    )


def _manager_of(session: Session, name: str, catalog: Catalog) -> PluginManager:
    """A manager with this one plugin loaded, and its table of the config file."""
    tables = session.plugin_tables()
    manager = PluginManager(tables={key: table for key, table in tables.items() if key == name}, catalog=catalog)
    manager.select([name])
    return manager


def _keys(config_type: type) -> list[tuple[str, str, object]]:
    """(key, type, default) of what a plugin's table may hold."""
    keys: list[tuple[str, str, object]] = []
    for attribute in attrs.fields(config_type):
        kind = str(attribute.type if isinstance(attribute.type, str) else getattr(attribute.type, "__name__", ""))
        default = "(required)" if attribute.default is attrs.NOTHING else repr(attribute.default)
        keys.append((attribute.alias or attribute.name, kind, default))
    return keys
