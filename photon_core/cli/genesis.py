"""`photon genesis`, the verb: make the file that a chain begins with, and look at one."""

from __future__ import annotations

import time
from pathlib import Path

import click

from photon_core.api.errors import UsageError
from photon_core.cli.frame import Facts, Session, Table, pass_session


@click.group("genesis")
def genesis_group() -> None:
    """Make a chain's genesis file, or look at one.

    The file says who validates, who owns what at the start, and by which rules; its hash is the chain's id.
    Everybody who joins the network needs the same file.
    """


@genesis_group.command("create")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", default="photon", show_default=True, help="What people call this chain.")
@click.option(
    "--validator",
    "validators",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="CARD",
    help="A validator's card, which its `photon validator init` wrote (repeatable).",
)
@click.option(
    "--power",
    "powers",
    multiple=True,
    metavar="NAME=NUMBER",
    help="How much the vote of the card with this name weighs; 1 without it (repeatable).",
)
@click.option(
    "--account",
    "accounts",
    multiple=True,
    required=True,
    metavar="ADDRESS=PTN",
    help="Who owns how much at the start (repeatable). No more is ever made.",
)
@click.option("--consensus", default="pbft", show_default=True, metavar="NAME", help="How blocks are ordered.")
@click.option("--market", default="auction", show_default=True, metavar="NAME", help="How orders choose among bids.")
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another value than the default for one of the exchange's parameters (repeatable).",
)
@click.option("--development", is_flag=True, help="Quick windows and no fees, for a network on one machine.")
@pass_session
def create_command(  # one option, one parameter
    session: Session,
    file: Path,
    name: str,
    validators: tuple[Path, ...],
    powers: tuple[str, ...],
    accounts: tuple[str, ...],
    consensus: str,
    market: str,
    parameters: tuple[str, ...],
    development: bool,
) -> None:
    """Write a new genesis FILE, and beside it FILE's .peers.toml: where its validators are reached.

    Every operator needs both, for `photon validator join`. Before that, each makes sure that `photon genesis show`
    prints the same chain id for all of them.

    \b
    photon genesis create genesis.toml --development \\
        --validator alice.toml --validator bob.toml --account photon1…=1000000
    """
    from photon_core.chain.genesis import chain_id, save_genesis
    from photon_core.cli.cards import peers_file_of, read_card, validators_of, write_peers
    from photon_core.cli.network import new_genesis

    peers_file = peers_file_of(file)
    for path in (file, peers_file):
        if path.exists():
            raise UsageError(
                code="exists",
                where=str(path),
                what="this file exists already",
                remedy="Name another one: a changed genesis is another chain.",
            )
    cards = [read_card(card) for card in validators]
    genesis = new_genesis(
        name=name,
        time_ms=time.time_ns() // 1_000_000,
        validators=validators_of(cards, powers),
        accounts=accounts,
        consensus=consensus,
        market=market,
        parameters=parameters,
        development=development,
    )
    write_peers(cards, chain_id(genesis), peers_file)
    save_genesis(genesis, file)
    session.show(
        {"file": str(file), "peers": str(peers_file), "chain_id": chain_id(genesis).hex()},
        Facts([("genesis", file), ("peers", peers_file), ("chain id", chain_id(genesis).hex())]),
    )


@genesis_group.command("show")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@pass_session
def show_command(session: Session, file: Path) -> None:
    """Show what a genesis FILE says: chain id, validators, accounts, rules, parameters."""
    from photon_core.api.bech32m import encode_address
    from photon_core.api.fields import to_json
    from photon_core.chain.genesis import chain_id, load_genesis

    genesis = load_genesis(file)
    session.show(
        {"chain_id": chain_id(genesis).hex(), **to_json(genesis)},
        lambda: [
            Facts(
                [
                    ("chain", genesis.name),
                    ("chain id", chain_id(genesis).hex()),
                    ("supply", f"{genesis.supply_uptn} uptn"),
                    ("allows", ", ".join(genesis.allow) or "nothing special"),
                ]
            ),
            Table(
                ("validator", "node key", "power", "payee"),
                [(v.key.hex(), v.node_key.hex(), v.power, encode_address(v.payee)) for v in genesis.validators],
                "none",
            ),
            Table(("account", "uptn"), [(encode_address(a.address), a.balance_uptn) for a in genesis.accounts], "none"),
            Table(
                ("rules", "name", "version", "from height"),
                [(r.kind.name.lower(), r.name, r.version, r.from_height) for r in genesis.rules],
                "none",
            ),
        ],
    )
