"""`photon node`: make a full node's folder, run it, see how it is."""

from __future__ import annotations

from pathlib import Path

import click

from photon_core.cli.frame import Facts, Session, pass_session
from photon_core.cli.frame.passphrase import passphrase_option, read_passphrase
from photon_core.cli.node_home import (
    EXISTING_FILE,
    api_option,
    key_cost_option,
    listen_option,
    node_url_option,
    peer_option,
    peers_option,
)


@click.group("node")
def node_group() -> None:
    """Run a full node: it follows the chain, checks every block, and answers over HTTP.

    \b
    photon node init --home ./node --genesis genesis.toml --peers genesis.peers.toml
    photon node start --home ./node
    """


@node_group.command("init")
@click.option("--genesis", type=EXISTING_FILE, help="The chain's genesis file; copied into the folder.")
@peers_option
@peer_option
@api_option
@listen_option
@key_cost_option
@passphrase_option
@pass_session
def init_command(
    session: Session,
    genesis: Path | None,
    peers_file: Path | None,
    peers: tuple[str, ...],
    api: str | None,
    listen: tuple[str, ...],
    key_cost: str,
    passphrase_file: Path | None,
) -> None:
    """Make a node's folder: its key, its configuration, the genesis."""
    from photon_core.chain.keys import KeyPurpose
    from photon_core.chain.keystore import Cost, Keystore
    from photon_core.cli.cards import read_peers
    from photon_core.cli.network import require_new_home
    from photon_core.cli.node_home import NODE_KEY, copy_genesis, new_settings
    from photon_core.node.config import CONFIG_FILE, write_config

    home = session.home
    require_new_home(home, CONFIG_FILE)
    settings = new_settings(api, listen, (*peers, *(read_peers(peers_file) if peers_file else ())))
    passphrase = read_passphrase(passphrase_file, of="the node's keys", confirm=True)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if genesis is not None:
        copy_genesis(genesis, home)
    node_key = Keystore(home / "keys").create(NODE_KEY, KeyPurpose.NODE, passphrase, Cost(key_cost))
    write_config(home, "node", settings, session.plugins)  # last: what a crash interrupted was never initialised
    facts = {"home": str(home), "node_key": node_key.public.hex()}
    session.show(facts, Facts([(name.replace("_", " "), value) for name, value in facts.items()]))


@node_group.command("start")
@click.option("--genesis", type=EXISTING_FILE, help="The chain's genesis file, if `init` did not have it yet.")
@passphrase_option
@pass_session
def start_command(session: Session, genesis: Path | None, passphrase_file: Path | None) -> None:
    """Run the node in the foreground until Ctrl-C; where it answers is printed, and written to HOME/run.json."""
    from photon_core.cli.node_home import copy_genesis, require_genesis, run_from
    from photon_core.node.config import read_config

    read_config(session.home)  # says it when this is no node's folder at all
    if genesis is not None:
        copy_genesis(genesis, session.home)
    require_genesis(session.home, "Name the network's file: --genesis FILE")
    run_from(session, read_passphrase(passphrase_file, of="the node's keys"), validator=False)


@node_group.command("status")
@node_url_option
@pass_session
def status_command(session: Session, url: str | None) -> None:
    """Show how a running node is: height, peers, whether it has caught up, the line by which peers reach it."""
    from photon_core.api.fields import to_json
    from photon_core.cli.asking import ask
    from photon_core.cli.node_home import status_facts

    status = ask(session, url, lambda node: node.status())
    session.show(to_json(status), Facts(status_facts(status)))
