"""`photon validator recover`: a new store for a consensus key whose signer's store is lost, damaged or old."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photon_core.api.errors import UsageError
from photon_core.cli.frame import Facts, Session, pass_session
from photon_core.cli.node_home import CONSENSUS_KEY

if TYPE_CHECKING:
    from photon_core.node.signer.recovery import Recovered

PREFIX_DIGITS_MIN = 8
"""Of the key: enough that nobody types it by habit."""
RISK = """\
What this key has signed is not known for sure. If another validator holds a signature of it at a height where it votes
again, and it votes for something else there, it contradicts itself: it is shown to have lied, and where validators with
a third of the power do so, the chain can fork.
"""


@click.command("recover")
@click.option(
    "--node",
    "url",
    metavar="URL",
    help="The chain goes on without this validator: ask this node for its height, and stay silent well beyond it.",
)
@click.option(
    "--above",
    type=click.IntRange(0, 2**53),
    metavar="HEIGHT",
    help="The chain stands still until this validator votes: vote from above this height, the last certified one.",
)
@click.option(
    "--i-know-the-risk",
    "prefix",
    metavar="DIGITS",
    help=f"At least {PREFIX_DIGITS_MIN} digits that the consensus key begins with, instead of being asked for them.",
)
@pass_session
def recover_command(session: Session, url: str | None, above: int | None, prefix: str | None) -> None:
    """Make a new store for the consensus key of a stopped validator whose store is lost, damaged or old.

    Read "A signer in doubt" in docs/operations.md first. If you can, make a new validator instead.
    """
    from photon_core.chain.files import FolderLock
    from photon_core.chain.keystore import Keystore
    from photon_core.node import config
    from photon_core.node.signer.recovery import recover_store, renew_engine_log

    home = session.home
    config.read_config(home)  # says it when this is no validator's folder
    key = Keystore(home / "keys").show(CONSENSUS_KEY).public
    lock = FolderLock(home / "chain")
    try:
        chain = _own_chain(home)
        abstains_until = _abstains_until(home, url, above)
        _confirm(key.hex(), abstains_until, prefix)
        recovered = recover_store(home, key, abstains_until=abstains_until)
        old_engine = renew_engine_log(home, chain)
    finally:
        lock.release()
    _show(session, key.hex(), recovered, old_engine)


def _show(session: Session, key: str, recovered: Recovered, old_engine: Path | None) -> None:
    facts = {
        "consensus_key": key,
        "signs_above": recovered.abstains_until,
        "slots_kept": recovered.slots_kept,
        "old_store": str(recovered.replaced or ""),
        "old_engine": str(old_engine or ""),
    }
    session.show(facts, Facts([(name.replace("_", " "), str(value)) for name, value in facts.items()]))


def _abstains_until(home: Path, url: str | None, above: int | None) -> int:
    from photon_core.api.consensus import IN_FLIGHT_MAX

    if above is not None and url is None:
        _require_certified(home, above)
        return above
    if url is not None and above is None:
        return max(_height_of(home, url), _certified_height(home)) + 2 * IN_FLIGHT_MAX
    raise UsageError(
        code="bad-option",
        where="--node, --above",
        what="it must be known from which height on the key may vote again",
        expected="one of the two",
        found="both" if above is not None else "none",
        remedy="Does the chain go on without this validator? Then --node URL of a node that you trust; else --above "
        "with the highest height that any validator has a certificate for.",
    )


def _require_certified(home: Path, above: int) -> None:
    certified = _certified_height(home)
    if above < certified:
        raise UsageError(
            code="height-too-low",
            where="--above",
            what="this folder's own chain is certified beyond this height",
            expected=f"{certified} or more",
            found=str(above),
            remedy="Name the highest height that any validator has a certificate for; nothing was changed.",
        )


def _certified_height(home: Path) -> int:
    """0 before the first start. PhotonError when the blocks are damaged: then they are to be mended first."""
    from photon_core.chain.block_log import BlockLog

    folder = home / "chain" / "blocks"
    if not folder.exists():
        return 0
    with BlockLog(folder) as log:
        return log.certified_height


def _own_chain(home: Path) -> bytes:
    """Empty before it has joined one."""
    from photon_core.chain.genesis import chain_id, load_genesis
    from photon_core.node.config import GENESIS_FILE

    path = home / GENESIS_FILE
    return chain_id(load_genesis(path)) if path.exists() else b""


def _height_of(home: Path, url: str) -> int:
    import trio

    from photon_core.cli.node_home import require_genesis
    from photon_core.node.client import NodeClient

    require_genesis(home, "Join the chain first: photon validator join GENESIS")
    own = _own_chain(home)

    async def ask() -> tuple[bytes, int]:
        async with NodeClient(url) as node:
            status = await node.status()
            return status.chain_id, status.height

    found, height = trio.run(ask)
    if found != own:
        raise UsageError(
            code="wrong-chain",
            where=url,
            what="this node is of another chain than the validator",
            expected=own.hex(),
            found=found.hex(),
            remedy="Name a node of the same chain.",
        )
    return height


def _confirm(key: str, abstains_until: int, prefix: str | None) -> None:
    if prefix is None:
        if not sys.stdin.isatty():
            raise UsageError(
                code="not-confirmed",
                what="there is no terminal to ask at whether the risk is known",
                remedy=f"--i-know-the-risk with at least {PREFIX_DIGITS_MIN} digits that the consensus key begins with",
            )
        click.echo(f"{RISK}\nThe consensus key is {key}.\nIt will vote above height {abstains_until}.\n", err=True)
        prefix = click.prompt("Type its first digits to go on", err=True)
    if len(prefix) < PREFIX_DIGITS_MIN or not key.startswith(prefix.lower()):
        raise UsageError(
            code="not-confirmed",
            where="--i-know-the-risk",
            what="the consensus key of this folder does not begin so",
            expected=f"at least {PREFIX_DIGITS_MIN} of the digits {key}",
            found=prefix[:80],
            remedy="Look whether this is the validator that you mean; nothing was changed.",
        )
