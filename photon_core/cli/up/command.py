"""`photon up [--demo FILE]`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photon_core.api.errors import UsageError
from photon_core.cli.frame import Facts, Session, Table, pass_session
from photon_core.cli.up.layout import VALIDATORS_DEFAULT, VALIDATORS_MAX, NetworkFolder, members_with

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
    "--validators",
    type=click.IntRange(1, VALIDATORS_MAX),
    help=f"How many validators a new network has.  [default: {VALIDATORS_DEFAULT}, or 1 with consensus_solo]",
)
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another value for one of the chain's parameters (repeatable; only for a new network).",
)
@pass_session
def up_command(
    session: Session, data: Path | None, demo: Path | None, validators: int | None, parameters: tuple[str, ...]
) -> None:
    """Run a whole network on this machine: validators, a node, two providers, a keeper, and a tenant with money.

    Workloads are processes of this machine, unless --plugin names another runtime. Everything stops with Ctrl-C. Other
    terminals use it with --network DIR or PHOTON_NETWORK; several networks at once do not meet.

    \b
    photon up --demo examples/web.yml      one deployment, from its file to its last uptn
    photon up --data ./net                 and in another terminal:
    photon deploy examples/web.yml --network ./net
    """
    import trio

    from photon_core.cli.up.children import fork_children
    from photon_core.plugins.selection import DEVELOPMENT_DEFAULTS

    plan = _plan(demo) if demo is not None else None
    if data is not None:
        _require_folder(data)
    config = _kept_plugins(data)
    choice = session.choice(defaults=DEVELOPMENT_DEFAULTS, config=config, where=str(data) if config else "")
    count = how_many(validators, data, choice)
    _import_once(choice)
    children = fork_children([member.name for member in members_with(count)])
    trio.run(_main, session, children, count, choice, data.absolute() if data else None, parameters, plan)


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
    from photon_core.node.config import CONFIG_FILE, read_config

    if data is None:
        return None
    home = data / "node"
    return {"plugins": read_config(home).get("plugins", [])} if (home / CONFIG_FILE).exists() else None


def how_many(asked: int | None, data: Path | None, choice: Choice) -> int:
    """How many validators there are, or are to be made. UsageError for a number that cannot be."""
    from photon_core.cli.network import SOLO

    folder = NetworkFolder(data) if data is not None else None
    if folder is not None and folder.genesis.exists():
        if asked not in {None, folder.validators}:
            raise UsageError(
                code="validators-fixed",
                where=str(folder.genesis),
                what="a chain's validators are named when it begins",
                expected=f"--validators {folder.validators}",
                found=f"--validators {asked}",
                remedy="Leave --validators out, or name a new folder.",
            )
        return folder.validators
    alone = choice.one("consensus").name == SOLO
    if alone and (asked or 1) > 1:
        raise UsageError(
            code="bad-option",
            where="--validators",
            what=f"consensus_{SOLO} is for one validator",
            found=str(asked),
            remedy="Leave --validators out, or choose another consensus plugin.",
        )
    return asked or (1 if alone else VALIDATORS_DEFAULT)


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
    validators: int,
    choice: Choice,
    data: Path | None,
    parameters: tuple[str, ...],
    plan: Plan | None,
) -> None:
    import trio

    from photon_core.cli.up.demo import run_demo
    from photon_core.cli.up.network import open_network

    started_s = trio.current_time()
    chain = "a validator" if validators == 1 else f"{validators} validators"
    session.progress(f"starting {chain}, a node, two providers and a keeper")
    results: list[DemoResult] = []
    deaths: list[PhotonError] = []
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on, signals, nursery.cancel_scope)
            async with open_network(data, validators, children, choice, parameters, session.progress) as network:
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
        Table(
            ("member", "pid", "api", "log"),
            [(name, each["pid"], each.get("api", ""), each["log"]) for name, each in members.items()],
        ),
        "\n".join(
            (
                "In another terminal:",
                f"  export PHOTON_NETWORK={network.folder.path}",
                "  photon deploy examples/web.yml",
                "Ctrl-C stops everything.",
            )
        ),
    ]
