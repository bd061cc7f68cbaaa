"""What `photon node` and `photon validator` share: a node's folder, its process, and what is shown of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photon_core.api.errors import UsageError
from photon_core.cli.frame import Session

if TYPE_CHECKING:
    from photon_core.chain.genesis import Genesis
    from photon_core.node.config import NodeSettings
    from photon_core.node.views import NodeStatus

NODE_KEY, CONSENSUS_KEY, PAYEE_KEY = "node", "consensus", "payee"
EXISTING_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)

api_option = click.option(
    "--api", default=None, metavar="HOST:PORT", help="Where the HTTP API listens; port 0: any free."
)
listen_option = click.option("--listen", multiple=True, metavar="ADDRESS", help="Where peers connect (repeatable).")
peer_option = click.option(
    "--peer", "peers", multiple=True, metavar="KEY@ADDRESS", help="A node to connect to (repeatable)."
)
peers_option = click.option(
    "--peers",
    "peers_file",
    type=EXISTING_FILE,
    help="Where the validators are reached: the file that `photon genesis create` wrote beside the genesis.",
)
key_cost_option = click.option(
    "--key-cost",
    type=click.Choice(["interactive", "moderate"]),
    default="moderate",
    show_default=True,
    help="How hard the keys' passphrase is to guess, and how long each start takes.",
)
node_url_option = click.option(
    "--node", "url", metavar="URL", help="Which one to ask; the one that runs from --home otherwise."
)


def new_settings(api: str | None, listen: tuple[str, ...], peers: tuple[str, ...]) -> NodeSettings:
    """What was given, and the defaults for the rest. UsageError for a peer that is none."""
    from photon_core.node import config

    for peer in peers:
        config.parse_peer(peer)
    defaults = config.NodeSettings()
    return config.NodeSettings(api=api or defaults.api, listen=listen or defaults.listen, peers=peers)


def copy_genesis(file: Path, home: Path) -> None:
    """Into a folder that is there. UsageError when it belongs to another chain."""
    from photon_core.chain.genesis import chain_id, load_genesis, save_genesis
    from photon_core.node.config import GENESIS_FILE

    genesis, own = load_genesis(file), home / GENESIS_FILE
    if own.exists() and chain_id(kept := load_genesis(own)) != chain_id(genesis):
        raise UsageError(
            code="wrong-chain",
            where=str(own),
            what=f"this folder belongs to another chain than {file}",
            expected=_chain(kept),
            found=_chain(genesis),
            remedy="Name another folder with --home.",
        )
    save_genesis(genesis, own)


def _chain(genesis: Genesis) -> str:
    """As `photon genesis show` has it."""
    from photon_core.chain.genesis import chain_id

    return f"chain {genesis.name}, chain id {chain_id(genesis).hex()}"


def run_from(session: Session, passphrase: str, *, validator: bool) -> None:
    """In the foreground until Ctrl-C; where it answers is printed."""
    from functools import partial

    from photon_core.chain.genesis import load_genesis
    from photon_core.chain.keystore import Keystore
    from photon_core.cli.network import run_until_stopped
    from photon_core.node import config
    from photon_core.node.process import settle_process
    from photon_core.node.service import NodeSetup, run_node
    from photon_core.plugins.selection import DEFAULTS

    home = session.home
    document = config.read_config(home)
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
        settle_process()
        session.stream(
            {"pid": info.pid, "api": info.api, "node_key": info.node_key, "addresses": list(info.addresses)},
            f"answers at {info.api}; peers: " + ", ".join(f"{info.node_key}@{a}" for a in info.addresses),
        )

    run_until_stopped(partial(_serve, run_node, setup), ready)


async def _serve(run: Any, setup: Any, task_status: Any) -> None:
    await run(setup, task_status=task_status)


def require_genesis(home: Path, remedy: str) -> None:
    """UsageError with this remedy when there is none."""
    from photon_core.node import config

    if not (home / config.GENESIS_FILE).exists():
        raise UsageError(
            code="no-genesis", where=str(home), what="there is no genesis file in this folder", remedy=remedy
        )


def require_validator(home: Path) -> None:
    """UsageError for a folder without a consensus key. Nobody is told to create one: the chain would not know it."""
    from photon_core.node.signer import SIGNER_FOLDER

    key = home / "keys" / f"{CONSENSUS_KEY}.json"
    if key.exists():
        return
    if (home / SIGNER_FOLDER).exists():
        raise UsageError(
            code="no-consensus-key",
            where=str(key),
            what="the consensus key of this validator is gone",
            remedy="Put it back from your backup. A new key is another validator, which this chain does not know.",
        )
    raise UsageError(
        code="no-validator",
        where=str(home),
        what="this is a full node's folder, not a validator's: it has no consensus key",
        remedy=f"Run it with `photon node start --home {home}`, or make a validator in another folder: "
        "`photon validator init --home FOLDER`.",
    )


def status_facts(status: NodeStatus) -> list[tuple[str, object]]:
    return [
        ("chain", f"{status.chain_name} ({status.chain_id.hex()})"),
        ("height", f"{status.height} of {status.best_height}"),
        ("block", status.block_hash.hex()),
        ("state root", status.state_root.hex()),
        ("peers", status.peers),
        ("role", "validator" if status.validator else "full node"),
        ("halted", status.halted),
        *[("reached at", f"{status.node_key.hex()}@{address}") for address in status.addresses],
    ]
