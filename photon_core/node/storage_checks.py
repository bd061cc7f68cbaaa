"""Whether a chain's folder is whole, and this chain's: before anything of it is believed."""

from __future__ import annotations

from pathlib import Path

from photon_core.api.errors import CodecError, PhotonError
from photon_core.api.finality import block_hash
from photon_core.chain import blocks
from photon_core.chain.block_log import BlockLog
from photon_core.chain.genesis import Genesis, chain_id, genesis_header
from photon_core.chain.state_store import BlockResult
from photon_core.chain.state_tree import StateTree
from photon_core.chain.state_view import StateView
from photon_core.exchange.genesis import initial_changes

from .archive import Archive


def check_chain(log: BlockLog, genesis: Genesis, folder: Path) -> None:
    """The state store says itself whose it is; but it may have been removed, as its own errors advise."""
    raw = log.read(1)
    if raw is None:
        return
    expected, found = block_hash(genesis_header(genesis)), blocks.decode_block(raw).header.parent
    if found != expected:
        raise PhotonError(
            code="wrong-chain",
            where=str(folder),
            what="this folder holds the blocks of another chain",
            expected=f"blocks of chain {genesis.name}, chain id {chain_id(genesis).hex()}",
            found=f"a first block on the genesis block {found.hex()}, not {expected.hex()}",
            remedy="Name another folder, or start with the genesis file that this one was made with.",
        )


def check_state(archive: Archive, stored: int, tree: StateTree, folder: Path) -> None:
    """What the store says of its height is what was certified; before anybody reads a record of it."""
    certified = archive.log.certified_height
    if stored > certified:
        raise PhotonError(
            code="corrupt-folder",
            where=str(folder),
            what="the block log is shorter than the state made from it",
            expected=f"blocks up to {stored}",
            found=f"certified blocks up to {certified}",
            remedy=f"Put the lost files back into {folder / 'blocks'}, or move that and {folder / 'state'} away and "
            f"sync anew (never {folder / 'engine'}: it has what a validator promised).",
        )
    if stored and tree.root != (expected := archive.certificate(stored).statement.state_root):
        raise PhotonError(
            code="corrupt-folder",
            where=str(folder / "state"),
            what=f"the state of block {stored} is damaged",
            expected=f"state root {expected.hex()}",
            found=tree.root.hex(),
            remedy=f"Remove {folder / 'state'} (not the blocks beside it) and start again: it is made anew.",
        )


def begin_state(view: StateView, genesis: Genesis) -> None:
    """The state that a chain begins with, put into the view; final as it is."""
    try:
        changes = initial_changes(genesis)
    except CodecError as error:
        raise PhotonError(
            code="bad-genesis",
            what="this genesis cannot be begun with",
            where=error.where,
            expected=error.expected,
            found=error.found,
            remedy="Use a version of Photon that knows it, or mend the file (that makes another chain).",
        ) from None
    view.apply(BlockResult(height=0, changes=changes))
    view.finish(0)
