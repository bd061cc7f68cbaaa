"""`photon up [--demo FILE]`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photon_core.api.errors import UsageError
from photon_core.cli.frame import Facts, Session, Table, pass_session

if TYPE_CHECKING:
    from photon_core.api.errors import PhotonError
    from photon_core.cli.up.children import Child
    from photon_core.cli.up.demo import DemoResult
    from photon_core.cli.up.network import Network
    from photon_core.plugins.selection import Choice
    from photon_core.sdl import Plan

IMPORTED_ONCE = (
    "photon_core.node.service",
    "photon_core.provider.agent",
    "photon_core.tenant.keeper",
    "photon_core.chain.keystore",
    "photon_core.cli.tenancy",
    "httpcore",  # which httpx imports when it is first used
)
"""What the members run: imported before they are forked, so that it is imported once."""


@click.command("up")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, writable=True),
    metavar="DIR",
    help="Keep the network in DIR: the next start goes on with it. A temporary folder otherwise.",
)
@click.option(
    "--demo",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Deploy FILE, show each step until its answer, close, show the money, stop.",
)
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another value for one of the chain's parameters (repeatable; only for a new network).",
)
@pass_session
def up_command(session: Session, data: Path | None, demo: Path | None, parameters: tuple[str, ...]) -> None:
    """Run a whole network on this machine: a validator, a node, two providers, a keeper, and a tenant with money.

    Workloads are processes of this machine, unless --plugin names another runtime. Everything stops with Ctrl-C. Other
    terminals use it with --network DIR or PHOTON_NETWORK; several networks at once do not meet.

    \b
    photon up --demo examples/web.yml      one deployment, from its file to its last uptn
    photon up --data ./net                 and in another terminal:
    photon deploy examples/web.yml --network ./net
    """
    import trio

    from photon_core.cli.up.children import fork_children
    from photon_core.cli.up.layout import MEMBERS
    from photon_core.plugins.selection import DEVELOPMENT_DEFAULTS

    plan = _plan(demo) if demo is not None else None
    if data is not None:
        _require_folder(data)
    config = _kept_plugins(data)
    choice = session.choice(defaults=DEVELOPMENT_DEFAULTS, config=config, where=str(data) if config else "")
    _import_once(choice)
    children = fork_children([member.name for member in MEMBERS])
    trio.run(_main, session, children, choice, data.absolute() if data else None, parameters, plan)


def _plan(file: Path) -> Plan:
    """Checked before anything is started."""
    from photon_core import sdl

    return sdl.load(file)


def _require_folder(data: Path) -> None:
    """Makes it; UsageError where no network can be kept."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            code="bad-folder",
            where=str(data),
            what=f"no network can be kept here: {error.strerror or error}",
            remedy="name another folder: photon up --data DIR",
        ) from None


def _kept_plugins(data: Path | None) -> dict[str, object] | None:
    """A network that is started again uses the plugins that it had, unless others are named."""
    from photon_core.cli.up.layout import MEMBERS, NetworkFolder
    from photon_core.node.config import CONFIG_FILE, read_config

    if data is None:
        return None
    home = NetworkFolder(data).home(MEMBERS[0])
    return {"plugins": read_config(home).get("plugins", [])} if (home / CONFIG_FILE).exists() else None


def _import_once(choice: Choice) -> None:
    """Also the transport, which imports its library when it is made."""
    from importlib import import_module

    from photon_core.api.transport import TransportContext
    from photon_core.plugins import PluginManager

    for name in IMPORTED_ONCE:
        import_module(name)
    plugins = PluginManager(choice)
    plugins.load()
    context = TransportContext(node_seed=bytes(32), chain_id=bytes(32), config=None)
    plugins.make("transport", choice.one("transport").name, context)


async def _main(
    session: Session,
    children: list[Child],
    choice: Choice,
    data: Path | None,
    parameters: tuple[str, ...],
    plan: Plan | None,
) -> None:
    import trio

    from photon_core.cli.up.demo import run_demo
    from photon_core.cli.up.network import open_network

    started_s = trio.current_time()
    session.progress("starting a validator, a node, two providers and a keeper")
    results: list[DemoResult] = []
    deaths: list[PhotonError] = []
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on, signals, nursery.cancel_scope)
            async with open_network(data, children, choice, parameters, session.progress) as network:
                session.progress(f"ready after {trio.current_time() - started_s:.1f} s")
                deaths = network.members.deaths
                if plan is None:
                    await _stay(session, network)
                else:
                    results.append(await run_demo(network, plan, choice, session.progress))
            nursery.cancel_scope.cancel()
    if plan is None:
        session.progress("everything has stopped")
        if deaths:
            raise deaths[0]
    elif not results:
        raise KeyboardInterrupt
    else:
        session.show(*results[0])


async def _stay(session: Session, network: Network) -> None:
    """Until it is cancelled. From now on a member that dies does not end the others."""
    import trio

    network.members.fatal = False
    session.stream(network.document(), lambda: _welcome(network))
    await trio.sleep_forever()


async def _stop_on(signals: Any, scope: Any) -> None:
    """The first asks for an end; more of them change nothing, since everything is on its way to it."""
    async for _ in signals:
        scope.cancel()


def _welcome(network: Network) -> list[str | Facts | Table]:
    document = network.document()
    members = document["members"]
    return [
        Facts(
            [
                ("network", network.folder.path),
                ("chain", f"{document['chain']} ({document['chain_id']})"),
                ("node", document["node"]),
                ("tenant", document["homes"]["tenant"]),
            ]
        ),
        Table(("member", "pid", "log"), [(name, each["pid"], each["log"]) for name, each in members.items()]),
        "\n".join(
            (
                "In another terminal:",
                f"  export PHOTON_NETWORK={network.folder.path}",
                "  photon deploy examples/web.yml",
                "Ctrl-C stops everything.",
            )
        ),
    ]
