"""`photon validator`: make a validator's folder, join the chain that its card went into, run it, see how it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photon_core.api.errors import UsageError
from photon_core.cli.frame import Facts, Session, Table, pass_session
from photon_core.cli.frame.passphrase import passphrase_option, read_passphrase
from photon_core.cli.node_home import (
    CONSENSUS_KEY,
    NODE_KEY,
    PAYEE_KEY,
    api_option,
    key_cost_option,
    listen_option,
    node_url_option,
    peer_option,
    peers_option,
)
from photon_core.cli.recover import recover_command

if TYPE_CHECKING:
    from photon_core.chain.genesis import Genesis
    from photon_core.chain.keystore import Keystore

NAME_BYTES_MAX = 64


@click.group("validator")
def validator_group() -> None:
    """Run a validator: a node with a vote.

    Its consensus key is made by `init` and must never be used from two folders: who signs two different blocks for one
    height is no longer believed.

    \b
    photon validator init --home ./validator --name alice --advertise /dns4/alice.example/tcp/4290
    photon genesis create genesis.toml --validator alice.toml --validator bob.toml …
    photon validator join genesis.toml --home ./validator
    photon validator start --home ./validator
    """


validator_group.add_command(recover_command)


@validator_group.command("init")
@click.option("--name", metavar="TEXT", help="What others call it; the folder's name without this.")
@click.option("--payee", metavar="ADDRESS", help="Where its fees go, when that key is kept elsewhere.")
@api_option
@listen_option
@click.option(
    "--advertise", multiple=True, metavar="ADDRESS", help="What peers are told to dial, if it is another (repeatable)."
)
@key_cost_option
@passphrase_option
@pass_session
def init_command(
    session: Session,
    /,
    name: str | None,
    payee: str | None,
    api: str | None,
    listen: tuple[str, ...],
    advertise: tuple[str, ...],
    key_cost: str,
    passphrase_file: Path | None,
) -> None:
    """Make a validator's folder: keys, the signer's memory, configuration, and HOME/card.toml.

    The card is public. Send it to whoever writes the genesis.
    """
    from photon_core.api.bech32m import encode_address
    from photon_core.chain.keys import KeyPurpose
    from photon_core.chain.keystore import Cost, Keystore
    from photon_core.cli.cards import CARD_FILE, ValidatorCard, write_card
    from photon_core.cli.network import require_new_home
    from photon_core.cli.node_home import new_settings
    from photon_core.node.config import CONFIG_FILE, write_config
    from photon_core.node.signer import SIGNER_FOLDER, make_signer_store

    home = session.home
    require_new_home(home, CONFIG_FILE)
    settings = new_settings(api, listen, ())
    called = _name(home.absolute().name if name is None else name)
    payee_address = None if payee is None else _address(payee)
    passphrase = read_passphrase(passphrase_file, of="the validator's keys", confirm=True)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    keystore, cost = Keystore(home / "keys"), Cost(key_cost)
    node_key = keystore.create(NODE_KEY, KeyPurpose.NODE, passphrase, cost)
    consensus_key = keystore.create(CONSENSUS_KEY, KeyPurpose.CONSENSUS, passphrase, cost)
    make_signer_store(home / SIGNER_FOLDER, consensus_key)
    if payee_address is None:
        payee_address = keystore.create(PAYEE_KEY, KeyPurpose.PAYEE, passphrase, cost).address
    card = ValidatorCard(
        name=called,
        consensus_key=consensus_key.public,
        node_key=node_key.public,
        payee=payee_address,
        addresses=advertise or tuple(filter(_can_be_dialled, settings.listen)),
    )
    write_card(card, home / CARD_FILE)
    write_config(home, "node", settings, session.plugins)  # last: what a crash interrupted was never initialised
    facts: dict[str, Any] = {
        "home": str(home),
        "name": card.name,
        "consensus_key": card.consensus_key.hex(),
        "node_key": card.node_key.hex(),
        "payee": encode_address(card.payee),
        "reached_at": list(card.addresses),
        "card": str(home / CARD_FILE),
    }
    reached = ", ".join(card.addresses) or "nowhere: it dials, and nobody can dial it; say where with --advertise"
    session.show(
        facts, Facts([(key.replace("_", " "), value) for key, value in (facts | {"reached_at": reached}).items()])
    )


def _name(text: str) -> str:
    if not text or not text.isprintable() or len(text.encode()) > NAME_BYTES_MAX:
        raise UsageError(
            code="bad-option",
            where="--name",
            what=f"{text!r} is no name",
            expected=f"1 to {NAME_BYTES_MAX} bytes of printable text",
        )
    return text


def _address(text: str) -> bytes:
    from photon_core.api import bech32m

    try:
        return bech32m.decode_address(text)
    except ValueError as error:
        raise UsageError(
            code="bad-option",
            where="--payee",
            what=f"{text!r} is no address: {error}",
            remedy="`photon key list` shows your addresses",
        ) from None


def _can_be_dialled(address: str) -> bool:
    """A wildcard says nothing to others, nor does a port that is chosen at each start."""
    parts = address.split("/")
    return not {"0.0.0.0", "::"}.intersection(parts) and parts[-1] != "0"  # noqa: S104  # compared, not bound


# --- joining ---------------------------------------------------------------------------------------------------------


@validator_group.command("join")
@click.argument("genesis", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@peers_option
@peer_option
@pass_session
def join_command(session: Session, genesis: Path, peers_file: Path | None, peers: tuple[str, ...]) -> None:
    """Make this validator one of the chain that GENESIS begins: take the file, and where the others are reached.

    Without --peers the addresses are those of the file beside GENESIS that `photon genesis create` wrote. Run it again
    when addresses have changed.
    """
    from photon_core.chain.genesis import chain_id, load_genesis
    from photon_core.chain.keystore import Keystore
    from photon_core.cli.cards import peers_file_of, read_peers
    from photon_core.cli.node_home import copy_genesis, require_validator
    from photon_core.node import config

    home = session.home
    settings = config.node_settings(config.read_config(home), home)
    require_validator(home)
    chain, keystore = load_genesis(genesis), Keystore(home / "keys")
    _require_own_keys(chain, keystore, home)
    beside = peers_file_of(genesis)
    file = peers_file or (beside if beside.exists() else None)
    own = keystore.show(NODE_KEY).public
    named = {config.parse_peer(peer): peer for peer in (*(read_peers(file) if file else ()), *peers)}
    fresh = {key for key, _ in named}
    kept = [peer for peer in settings.peers if config.parse_peer(peer)[0] not in fresh]
    joined = (*kept, *(peer for (key, _), peer in named.items() if key != own))
    if not joined and len(chain.validators) > 1:
        raise UsageError(
            code="no-peers",
            where=str(beside),
            what=f"nothing says where the other {len(chain.validators) - 1} validators are reached",
            remedy="Put the file of `photon genesis create` beside the genesis, or name it with --peers FILE.",
        )
    copy_genesis(genesis, home)
    config.write_peers(home, joined)
    session.show(
        {"home": str(home), "chain_id": chain_id(chain).hex(), "validators": len(chain.validators), "peers": joined},
        lambda: [
            Facts(
                [
                    ("chain", chain.name),
                    ("chain id", chain_id(chain).hex()),
                    ("validators", f"{len(chain.validators)}, this one among them"),
                ]
            ),
            Table(("peer", "address"), [peer.split("@", 1) for peer in joined], "It validates alone."),
        ],
    )


def _require_own_keys(genesis: Genesis, keystore: Keystore, home: Path) -> None:
    """UsageError unless the genesis names this folder's consensus key, together with its node key."""
    consensus_key, node_key = keystore.show(CONSENSUS_KEY).public, keystore.show(NODE_KEY).public
    found = next((v for v in genesis.validators if v.key == consensus_key), None)
    if found is None:
        raise UsageError(
            code="not-a-validator",
            where=str(home),
            what="this genesis does not name the consensus key of this folder",
            expected=f"one of {[v.key.hex()[:16] for v in genesis.validators]}",
            found=consensus_key.hex()[:16],
            remedy="Send HOME/card.toml to whoever writes the genesis; a changed one is another chain.",
        )
    if found.node_key != node_key:
        raise UsageError(
            code="wrong-node-key",
            where=str(home),
            what="this genesis names this consensus key with another node key: peers would not let it in",
            expected=found.node_key.hex(),
            found=node_key.hex(),
            remedy="Put back the node key that the card was made with, or have the genesis written anew.",
        )


# --- running ---------------------------------------------------------------------------------------------------------


@validator_group.command("start")
@passphrase_option
@pass_session
def start_command(session: Session, passphrase_file: Path | None) -> None:
    """Run the validator in the foreground until Ctrl-C; where it answers is printed, and written to HOME/run.json."""
    from photon_core.cli.node_home import require_genesis, require_validator, run_from
    from photon_core.node.config import read_config

    read_config(session.home)  # says it when this is no validator's folder at all
    require_validator(session.home)
    require_genesis(session.home, "Join the chain first: photon validator join GENESIS")
    run_from(session, read_passphrase(passphrase_file, of="the validator's keys"), validator=True)


@validator_group.command("status")
@node_url_option
@pass_session
def status_command(session: Session, url: str | None) -> None:
    """Show how a running validator is: its height, who signs the certificates, what its engine says."""
    from photon_core.cli.asking import ask
    from photon_core.cli.validator_status import ask_status

    status = ask(session, url, ask_status)
    session.show(status.document(), status.human)
