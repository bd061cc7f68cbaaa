"""`photon node` and `photon validator`: make a node's folder, run it, see how it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from photon_core.api.errors import UsageError
from photon_core.cli.frame import Facts, Session, pass_session
from photon_core.cli.frame.passphrase import passphrase_option, read_passphrase

NODE_KEY, CONSENSUS_KEY, PAYEE_KEY = "node", "consensus", "payee"
_FOLDER = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group("node")
def node_group() -> None:
    """Run a full node: it follows the chain, checks every block, and answers over HTTP.

    \b
    photon node init --home ./node --genesis genesis.toml --peer KEY@ADDRESS
    photon node start --home ./node
    """


@click.group("validator")
def validator_group() -> None:
    """Run a validator: a node with a vote.

    Its consensus key is made by `init` and must never be used from two folders: who signs two different blocks for one
    height is no longer believed.

    \b
    photon validator init --home ./validator
    photon genesis create genesis.toml --validator validator/card.toml …
    photon validator start --home ./validator --genesis genesis.toml
    """


def _init_options(command: Any) -> Any:
    for option in (
        click.option("--genesis", type=_FOLDER, help="The chain's genesis file; copied into the folder."),
        click.option("--api", default=None, metavar="HOST:PORT", help="Where the HTTP API listens; port 0: any free."),
        click.option("--listen", multiple=True, metavar="ADDRESS", help="Where peers connect (repeatable)."),
        click.option(
            "--peer", "peers", multiple=True, metavar="KEY@ADDRESS", help="A node to connect to (repeatable)."
        ),
        click.option(
            "--key-cost",
            type=click.Choice(["interactive", "moderate"]),
            default="moderate",
            show_default=True,
            help="How hard the keys' passphrase is to guess, and how long each start takes.",
        ),
        passphrase_option,
    ):
        command = option(command)
    return command


@node_group.command("init")
@_init_options
@pass_session
def node_init(session: Session, /, **options: Any) -> None:
    """Make a node's folder: its key, its configuration, the genesis."""
    facts = _init(session, validator=False, **options)
    session.show(dict(facts), Facts([(name.replace("_", " "), value) for name, value in facts]))


@validator_group.command("init")
@_init_options
@pass_session
def validator_init(session: Session, /, **options: Any) -> None:
    """Make a validator's folder: consensus key and node key, configuration, and the genesis when there is one yet."""
    facts = _init(session, validator=True, **options)
    session.show(dict(facts), Facts([(name.replace("_", " "), value) for name, value in facts]))


def _init(
    session: Session,
    *,
    validator: bool,
    genesis: Path | None,
    api: str | None,
    listen: tuple[str, ...],
    peers: tuple[str, ...],
    key_cost: str,
    passphrase_file: Path | None,
) -> list[tuple[str, object]]:
    from photon_core.chain.keys import KeyPurpose
    from photon_core.chain.keystore import Cost, Keystore
    from photon_core.cli.cards import CARD_FILE, ValidatorCard, write_card
    from photon_core.cli.network import require_new_home
    from photon_core.node import config
    from photon_core.node.signer import SIGNER_FOLDER, make_signer_store

    home = session.home
    require_new_home(home, config.CONFIG_FILE)
    for peer in peers:
        config.parse_peer(peer)
    passphrase = read_passphrase(passphrase_file, of="the node's keys", confirm=True)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if genesis is not None:
        _copy_genesis(genesis, home)
    keystore = Keystore(home / "keys")
    node_key = keystore.create(NODE_KEY, KeyPurpose.NODE, passphrase, Cost(key_cost))
    facts: list[tuple[str, object]] = [("home", str(home)), ("node_key", node_key.public.hex())]
    if validator:
        consensus_key = keystore.create(CONSENSUS_KEY, KeyPurpose.CONSENSUS, passphrase, Cost(key_cost))
        make_signer_store(home / SIGNER_FOLDER, consensus_key)
        facts.append(("consensus_key", consensus_key.public.hex()))
        payee = keystore.create(PAYEE_KEY, KeyPurpose.PAYEE, passphrase, Cost(key_cost))
        card = ValidatorCard(
            name=home.absolute().name[:64],
            consensus_key=consensus_key.public,
            node_key=node_key.public,
            payee=payee.address,
            addresses=listen or config.NodeSettings().listen,
        )
        write_card(card, home / CARD_FILE)
        facts.append(("card", str(home / CARD_FILE)))
    defaults = config.NodeSettings()
    settings = config.NodeSettings(api=api or defaults.api, listen=listen or defaults.listen, peers=peers)
    config.write_config(home, "node", settings)
    return facts


def _copy_genesis(file: Path, home: Path) -> None:
    from photon_core.chain.genesis import chain_id, load_genesis, save_genesis
    from photon_core.node.config import GENESIS_FILE

    genesis, own = load_genesis(file), home / GENESIS_FILE
    if own.exists() and chain_id(load_genesis(own)) != chain_id(genesis):
        raise UsageError(
            code="wrong-chain",
            where=str(own),
            what="this folder belongs to another chain",
            remedy="Name another folder with --home.",
        )
    save_genesis(genesis, own)


@node_group.command("start")
@click.option("--genesis", type=_FOLDER, help="The chain's genesis file, if `init` did not have it yet.")
@passphrase_option
@pass_session
def node_start(session: Session, genesis: Path | None, passphrase_file: Path | None) -> None:
    """Run the node in the foreground until Ctrl-C; where it answers is printed, and written to HOME/run.json."""
    _start(session, genesis, passphrase_file, validator=False)


@validator_group.command("start")
@click.option("--genesis", type=_FOLDER, help="The chain's genesis file, if `init` did not have it yet.")
@passphrase_option
@pass_session
def validator_start(session: Session, genesis: Path | None, passphrase_file: Path | None) -> None:
    """Run the validator in the foreground until Ctrl-C; where it answers is printed, and written to HOME/run.json."""
    _start(session, genesis, passphrase_file, validator=True)


def _start(session: Session, genesis_file: Path | None, passphrase_file: Path | None, *, validator: bool) -> None:
    from functools import partial

    from photon_core.chain.genesis import load_genesis
    from photon_core.chain.keystore import Keystore
    from photon_core.cli.network import run_until_stopped
    from photon_core.node import config
    from photon_core.node.service import NodeSetup, run_node
    from photon_core.plugins.selection import DEFAULTS

    home = session.home
    document = config.read_config(home)
    if genesis_file is not None:
        _copy_genesis(genesis_file, home)
    if not (home / config.GENESIS_FILE).exists():
        raise UsageError(
            code="no-genesis",
            where=str(home),
            what="there is no genesis file in this folder",
            remedy="Name the network's file: --genesis FILE",
        )
    passphrase = read_passphrase(passphrase_file, of="the node's keys")
    keystore = Keystore(home / "keys")
    setup = NodeSetup(
        home=home,
        genesis=load_genesis(home / config.GENESIS_FILE),
        settings=config.node_settings(document, home),
        plugins=session.plugin_manager(defaults=DEFAULTS, config=document, where=str(home / config.CONFIG_FILE)),
        node_key=keystore.unlock(NODE_KEY, passphrase),
        consensus_key=keystore.unlock(CONSENSUS_KEY, passphrase) if validator else None,
    )

    def ready(info: config.RunInfo) -> None:
        session.stream(
            {"pid": info.pid, "api": info.api, "node_key": info.node_key, "addresses": list(info.addresses)},
            f"answers at {info.api}; peers: " + ", ".join(f"{info.node_key}@{a}" for a in info.addresses),
        )

    run_until_stopped(partial(_serve, run_node, setup), ready)


async def _serve(run: Any, setup: Any, task_status: Any) -> None:
    await run(setup, task_status=task_status)


@node_group.command("status")
@click.option("--node", "url", metavar="URL", help="The node to ask; the one that runs from --home otherwise.")
@pass_session
def node_status(session: Session, url: str | None) -> None:
    """Show how a running node is: height, peers, whether it has caught up, the line by which peers reach it."""
    _status(session, url)


@validator_group.command("status")
@click.option("--node", "url", metavar="URL", help="The validator to ask; the one that runs from --home otherwise.")
@pass_session
def validator_status(session: Session, url: str | None) -> None:
    """Show how a running validator is."""
    _status(session, url)


def _status(session: Session, url: str | None) -> None:
    import trio

    from photon_core.api.fields import to_json
    from photon_core.node.client import NodeClient
    from photon_core.node.config import DEFAULT_API, read_run_info

    running = read_run_info(session.home)
    target = url or (running.api if running else f"http://{DEFAULT_API}")

    async def ask() -> Any:
        async with NodeClient(target) as node:
            return await node.status()

    status = trio.run(ask)
    session.show(
        to_json(status),
        Facts(
            [
                ("chain", f"{status.chain_name} ({status.chain_id.hex()})"),
                ("height", f"{status.height} of {status.best_height}"),
                ("block", status.block_hash.hex()),
                ("state root", status.state_root.hex()),
                ("peers", status.peers),
                ("role", "validator" if status.validator else "full node"),
                ("halted", status.halted),
                *[("reached at", f"{status.node_key.hex()}@{address}") for address in status.addresses],
            ]
        ),
    )
