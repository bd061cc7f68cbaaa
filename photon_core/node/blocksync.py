"""Certified blocks from and for peers: the request `chain.blocks`, and the checks before core may see an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from photon_core.api import codec
from photon_core.api.chain import Certificate, ValidatorSet
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.finality import block_hash, validators_hash
from photon_core.api.ids import Hash
from photon_core.chain import blocks
from photon_core.chain.transactions import decode_transaction

from .steps import CertifiedBlock, FetchBlocks
from .sync import FETCH_BLOCKS_MAX
from .verifier import Verifier

METHOD = "chain.blocks"
ANSWER_BYTES_MAX = 8 * 2**20
ANSWER_FILL_BYTES = 3 * 2**20
"""No further block is added to an answer that has reached this; one alone is always sent."""
CERTIFICATE_BYTES_MAX = 32 * 2**10

ReadCertified = Callable[[int], Awaitable[tuple[bytes, bytes] | None]]


async def answer(params: Any, read: ReadCertified) -> list[list[bytes]]:
    """`[from_height, count]` → list of `[block, certificate]`, consecutive, as many as there are and fit."""
    match params:
        case [int() as first, int() as count] if 0 < first < 2**63 and 0 < count <= FETCH_BLOCKS_MAX:
            pass
        case _:
            raise CodecError("params", f"[from height, count up to {FETCH_BLOCKS_MAX}]", repr(params)[:80])
    found: list[list[bytes]] = []
    size = 0
    for height in range(first, first + count):
        pair = await read(height)
        if pair is None or size > ANSWER_FILL_BYTES:
            break
        found.append(list(pair))
        size += sum(map(len, pair))
    return found


async def check(
    plain: Any, asked: FetchBlocks, validators: ValidatorSet, chain_id: Hash, verifier: Verifier
) -> tuple[CertifiedBlock, ...]:
    """The blocks of an answer: those asked for, each right by its certificate. PeerProtocolError otherwise.

    All that has to be verified goes to the verifier at once: a node that is behind has many blocks before it, and
    waits for one turn of each sort of signature, not for one of each block.
    """
    if type(plain) is not list or len(plain) > asked.count:
        raise PeerProtocolError(f"chain.blocks: expected a list of at most {asked.count} blocks")
    found: list[CertifiedBlock] = []
    for height, pair in enumerate(plain, asked.from_height):
        found.append(_read(pair, height, validators, chain_id))
        await trio.lowlevel.checkpoint()  # reading a full block takes some milliseconds
    certificates = await verifier.certificates([one.certificate for one in found], validators, chain_id)
    for one, why in zip(found, certificates, strict=True):
        if why:
            raise PeerProtocolError(
                f"chain.blocks: the certificate of block {one.block.header.height} does not hold: {why}"
            )
    if not all(await verifier.transactions([transaction for one in found for transaction in one.transactions])):
        raise PeerProtocolError(f"chain.blocks: a block from {asked.from_height} on has a transaction badly signed")
    return tuple(found)


def _read(pair: Any, height: int, validators: ValidatorSet, chain_id: Hash) -> CertifiedBlock:
    """In form the block of this height, with its certificate; no signature is verified."""
    try:
        match pair:
            case [bytes() as block_bytes, bytes() as certificate_bytes]:
                block = blocks.decode_block(block_bytes)
                certificate = codec.decode_record(Certificate, certificate_bytes, CERTIFICATE_BYTES_MAX)
                transactions = tuple(decode_transaction(raw, chain_id) for raw in block.transactions)
            case _:
                raise CodecError("chain.blocks", "[block, certificate]", type(pair).__name__)
    except CodecError as error:
        raise PeerProtocolError(f"chain.blocks: {error}") from None
    header, statement = block.header, certificate.statement
    if header.height != height:
        raise PeerProtocolError(f"chain.blocks: block {header.height} in the place of {height}")
    if (statement.height, statement.block_hash) != (header.height, block_hash(header)):
        raise PeerProtocolError(f"chain.blocks: block {header.height} came with the certificate of another")
    if header.transactions_root != blocks.transactions_root([t.id for t in transactions]):
        raise PeerProtocolError(f"chain.blocks: block {header.height} came with other transactions than it names")
    if header.validators_hash != validators_hash(validators):
        raise PeerProtocolError(f"chain.blocks: block {header.height} names validators that are not this chain's")
    return CertifiedBlock(block=block, transactions=transactions, certificate=certificate)
