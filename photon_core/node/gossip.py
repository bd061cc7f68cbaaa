"""What nodes tell each other unasked: transactions, and how high their chain is. Bounded, strict, never waits.

A message is `[kind, body]` in the chain's CBOR. Batches are cut to fit a frame; what does not decode costs the peer its
link (`PeerProtocolError`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any

from attrs import frozen

from photon_core.api import codec
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.ids import Hash, NodeKey
from photon_core.api.transport import FRAME_BYTES_MAX, Channel, SendResult, Transport
from photon_core.chain.transactions import Transaction, decode_transaction

BATCH_BYTES_MAX = FRAME_BYTES_MAX - 4_096
"""Room for the transport's and our own heads."""
BATCH_TRANSACTIONS_MAX = 1_000
HEIGHT_MAX = 2**63


class Kind(IntEnum):
    TRANSACTIONS = 0
    HEAD = 1


@frozen
class TransactionsMessage:
    """`raw`: as they came. Who knows one already need not read it again."""

    raw: tuple[bytes, ...]


@frozen
class HeadMessage:
    height: int


def head_frame(height: int) -> bytes:
    return codec.encode([Kind.HEAD.value, height])


def transaction_frames(transactions: Iterable[Transaction]) -> Iterator[bytes]:
    """As few frames as hold them, in order."""
    batch: list[bytes] = []
    size = 0
    for transaction in transactions:
        needed = len(transaction.raw) + 5  # CBOR's head of a byte string
        if batch and (size + needed > BATCH_BYTES_MAX or len(batch) == BATCH_TRANSACTIONS_MAX):
            yield _batch_frame(batch)
            batch, size = [], 0
        batch.append(transaction.raw)
        size += needed
    if batch:
        yield _batch_frame(batch)


def decode_transactions(raw: Iterable[bytes], chain_id: Hash) -> tuple[Transaction, ...]:
    """Form only. PeerProtocolError for what is none, or another chain's."""
    try:
        return tuple(decode_transaction(one, chain_id) for one in raw)
    except CodecError as error:
        raise PeerProtocolError(f"gossip: {error}") from None


def tell(transport: Transport, peers: Iterable[NodeKey], frames: Iterable[bytes]) -> None:
    """A full channel loses its frame and the rest: a head is followed by the next, transactions are told again.

    A frame is made when somebody has room for it: a new link costs no more than its channel takes, however much waits
    in the mempool.
    """
    left, making = list(peers), iter(frames)
    while left and (frame := next(making, None)) is not None:
        left = [peer for peer in left if transport.send(peer, Channel.GOSSIP, frame) is SendResult.QUEUED]


def _batch_frame(batch: Sequence[bytes]) -> bytes:
    return codec.encode([Kind.TRANSACTIONS.value, list(batch)])


def decode_frame(frame: bytes) -> TransactionsMessage | HeadMessage:
    """The message's form only: transactions are still to be read and their signatures verified."""
    try:
        match codec.decode(frame, max_bytes=FRAME_BYTES_MAX, where="gossip"):
            case [kind, _] if type(kind) is not int:
                pass  # False is 0 to Python, and no kind of message
            case [Kind.TRANSACTIONS, list() as batch] if len(batch) <= BATCH_TRANSACTIONS_MAX:
                return TransactionsMessage(tuple(_bytes(raw) for raw in batch))
            case [Kind.HEAD, height] if type(height) is int and 0 <= height < HEIGHT_MAX:
                return HeadMessage(height)
    except CodecError as error:
        raise PeerProtocolError(f"gossip: {error}") from None
    raise PeerProtocolError("gossip: not a message that this version knows")


def _bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise CodecError("gossip.transactions", "byte strings", type(value).__name__)
    return value
