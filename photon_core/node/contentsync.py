"""Transactions of blocks that are not final yet, from and for validators: the request `consensus.content`.

`[block hash, null]` asks for all of a block in order, `[block hash, ids]` for those that a proposal named and that are
missing here. The answer is a list of transactions' bytes; of those named, as many as the other has, in the order in
which they were named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from photon_core.api.chain import TRANSACTIONS_PER_BLOCK_MAX
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.fields import HASH_BYTES, Plain
from photon_core.api.ids import Hash
from photon_core.chain.blocks import BLOCK_BYTES_MAX
from photon_core.chain.transactions import Transaction
from photon_core.peers.errors import Refusal

from .recent import RecentBytes
from .steps import FetchContent
from .verifier import Verifier

METHOD: Final = "consensus.content"
PARAMS_BYTES_MAX: Final = TRANSACTIONS_PER_BLOCK_MAX * (HASH_BYTES + 2) + 64
"""The ids of the largest block, each with its head."""
ANSWER_BYTES_MAX: Final = BLOCK_BYTES_MAX
"""All of the largest block."""
TIMEOUT_S: Final = 10.0
"""Others are asked meanwhile, so this holds nothing up; but an answer that comes late on a loaded machine still counts.
Given up early, it would be asked for again and again, and make the load that it fails by."""

ReadContent = Callable[[Hash, tuple[Hash, ...] | None], tuple[bytes, ...] | None]


def params(asked: FetchContent) -> Plain:
    ids = asked.transaction_ids
    return [asked.block_hash, None if ids is None else list(ids)]


def answer(plain: Any, read: ReadContent) -> list[bytes]:
    """CodecError for a question that is none; Refusal when nothing of it is here."""
    match plain:
        case [bytes() as name, None] if len(name) == HASH_BYTES:
            found = read(name, None)
        case [bytes() as name, list() as ids] if len(name) == HASH_BYTES and _are_ids(ids):
            found = read(name, tuple(ids))
        case _:
            raise CodecError("params", "[block hash, null or ids of its transactions]", repr(plain)[:80])
    if found is None:
        raise Refusal("unknown-content", f"nothing of block {name.hex()[:16]} is here")
    return list(found)


async def check(plain: Any, asked: FetchContent, recent: RecentBytes, verifier: Verifier) -> tuple[Transaction, ...]:
    """The transactions of an answer, form and signatures verified. PeerProtocolError for what was not asked for.

    Whether they are the block's, if no ids were known, core sees by the root that the header names.
    """
    limit = TRANSACTIONS_PER_BLOCK_MAX if asked.transaction_ids is None else len(asked.transaction_ids)
    if type(plain) is not list or len(plain) > limit:
        raise PeerProtocolError(f"{METHOD}: expected a list of at most {limit} transactions")
    try:
        transactions = tuple(_read(raw, recent) for raw in plain)
    except CodecError as error:
        raise PeerProtocolError(f"{METHOD}: {error}") from None
    if asked.transaction_ids is not None and not _in_order([t.id for t in transactions], asked.transaction_ids):
        raise PeerProtocolError(f"{METHOD}: other transactions than were asked for, or in another order")
    if not all(await verifier.transactions(transactions)):
        raise PeerProtocolError(f"{METHOD}: a transaction with a bad signature")
    return transactions


def _are_ids(ids: list[Any]) -> bool:
    return 0 < len(ids) <= TRANSACTIONS_PER_BLOCK_MAX and all(
        type(one) is bytes and len(one) == HASH_BYTES for one in ids
    )


def _in_order(found: Iterable[Hash], asked: Iterable[Hash]) -> bool:
    """Whether `found` is `asked` with some left out."""
    rest = iter(asked)
    return all(one in rest for one in found)


def _read(raw: Any, recent: RecentBytes) -> Transaction:
    if type(raw) is not bytes:
        raise CodecError("transaction", "a byte string", type(raw).__name__)
    return recent.read(raw)
