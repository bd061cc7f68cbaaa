"""`photon version`."""

from __future__ import annotations

import platform

import click

import photon_core
from photon_core.api.plugin import API_VERSION
from photon_core.cli.frame import Facts, Session, Table, pass_session
from photon_core.plugins import discover


@click.command("version")
@pass_session
def version_command(session: Session) -> None:
    """Show the versions of Photon, its plugins, and what they run on: put it into every report of a bug."""
    versions = {plugin.distribution: plugin.version for plugin in discover().plugins}
    document = {
        "photon": photon_core.__version__,
        "plugin_api": API_VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "plugins": versions,
    }
    facts = Facts([(name, value) for name, value in document.items() if name != "plugins"])
    session.show(document, [facts, Table(("distribution", "version"), list(versions.items()), "no plugin installed")])
