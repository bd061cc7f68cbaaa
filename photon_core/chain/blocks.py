"""Blocks: their hash, how one is put together, and what makes its form right.

A block is judged by form and by its transactions' signatures, never by what it does: that is the finality statement's.
So every check here needs the parent's header and the validators, and no state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from photon_core.api.chain import TRANSACTIONS_PER_BLOCK_MAX, Block, Header, Proposal, ValidatorSet
from photon_core.api.codec import decode_record, encode_record
from photon_core.api.errors import CodecError
from photon_core.api.finality import block_hash, validators_hash
from photon_core.api.hashing import Domain, merkle_root
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain.transactions import Transaction, decode_transaction

BLOCK_TRANSACTIONS_BYTES_MAX: Final = 4 * 2**20
"""A block's transactions together: 10 000 of the usual 400 bytes, and half a second on a link of 10 MB/s."""
BLOCK_BYTES_MAX: Final = BLOCK_TRANSACTIONS_BYTES_MAX + 5 * TRANSACTIONS_PER_BLOCK_MAX + 1024
"""Its encoding: at most 5 bytes of CBOR around each transaction, and the header."""


def transactions_root(ids: Sequence[Hash]) -> Hash:
    return merkle_root(Domain.TRANSACTIONS, ids)


@frozen(kw_only=True)
class ProposedBlock:
    """A block and the name under which an engine orders it."""

    block: Block
    proposal: Proposal


def make_proposal(header: Header, transactions: Sequence[Transaction]) -> Proposal:
    """What an engine is handed: the header, which must name these transactions' root, and their ids."""
    ids = tuple(t.id for t in transactions)
    return Proposal(header=header, transaction_ids=ids, block_hash=block_hash(header))


def make_block(
    *,
    parent: Header,
    time_ms: int,
    proposer: ConsensusKey,
    validators: ValidatorSet,
    transactions: Sequence[Transaction],
) -> ProposedBlock:
    """The block after `parent`. `validators` are those of its own height."""
    header = Header(
        height=parent.height + 1,
        time_ms=max(time_ms, parent.time_ms + 1),  # block time always moves, even when a clock does not
        parent=block_hash(parent),
        transactions_root=transactions_root([t.id for t in transactions]),
        validators_hash=validators_hash(validators),
        proposer=proposer,
    )
    block = Block(header=header, transactions=tuple(t.raw for t in transactions))
    return ProposedBlock(block=block, proposal=make_proposal(header, transactions))


def encode_block(block: Block) -> bytes:
    return encode_record(block)


def decode_block(data: bytes) -> Block:
    """Right in its types and sizes; `check_block_form` says whether it fits the chain."""
    return decode_record(Block, data, BLOCK_BYTES_MAX)


def check_header(header: Header, parent: Header, validators: ValidatorSet) -> None:
    """CodecError unless `header` can stand after `parent`, under the `validators` of its height."""
    _equal("header.height", parent.height + 1, header.height)
    _equal("header.parent", block_hash(parent).hex(), header.parent.hex())
    if header.time_ms <= parent.time_ms:
        raise CodecError("header.time_ms", f"later than the parent's {parent.time_ms}", str(header.time_ms))
    _equal("header.validators_hash", validators_hash(validators).hex(), header.validators_hash.hex())
    if not validators.power_of(header.proposer):
        raise CodecError("header.proposer", "a validator of this height", header.proposer.hex())


def check_proposal(proposal: Proposal, parent: Header, validators: ValidatorSet) -> None:
    """CodecError unless the proposal's header fits, and hash and root are those of what it names."""
    check_header(proposal.header, parent, validators)
    _equal("proposal.block_hash", block_hash(proposal.header).hex(), proposal.block_hash.hex())
    check_ids(proposal.transaction_ids, proposal.header)


def check_block_form(block: Block, parent: Header, validators: ValidatorSet, chain_id: Hash) -> tuple[Transaction, ...]:
    """The block's transactions, form checked; CodecError unless all of it fits after `parent`.

    Signatures are not checked here: the node remembers which it has seen (`transactions.claim_of`).
    """
    check_header(block.header, parent, validators)
    check_size(block.transactions)  # before anything is read of them
    transactions = tuple(decode_transaction(raw, chain_id) for raw in block.transactions)
    check_ids([t.id for t in transactions], block.header)
    return transactions


def check_content(header: Header, transactions: Sequence[Transaction]) -> None:
    """CodecError unless these are, in this order, the transactions that `header` names, and may stand in one block."""
    check_size([t.raw for t in transactions])
    check_ids([t.id for t in transactions], header)


def check_size(transactions: Sequence[bytes]) -> None:
    """CodecError when they are too many or too large for one block."""
    size = sum(map(len, transactions))
    if len(transactions) > TRANSACTIONS_PER_BLOCK_MAX or size > BLOCK_TRANSACTIONS_BYTES_MAX:
        raise CodecError(
            "block.transactions",
            f"at most {TRANSACTIONS_PER_BLOCK_MAX} with {BLOCK_TRANSACTIONS_BYTES_MAX} bytes together",
            f"{len(transactions)} with {size} bytes",
        )


def check_ids(ids: Sequence[Hash], header: Header) -> None:
    """CodecError unless these are the transactions that `header` names."""
    if len(set(ids)) != len(ids):
        raise CodecError("block.transactions", "each transaction once", "one of them twice")
    _equal("header.transactions_root", transactions_root(ids).hex(), header.transactions_root.hex())


def _equal(where: str, expected: object, found: object) -> None:
    if expected != found:
        raise CodecError(where, str(expected), str(found))
