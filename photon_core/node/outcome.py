"""What a block did, besides its changes of state: as the receipts root proves it, and as the store keeps it.

Both are made of the same receipts, and each receipt is encoded once for both: they are the most that is encoded of a
block.
"""

from __future__ import annotations

from attrs import evolve, frozen

from photon_core.api import codec, fields
from photon_core.api.hashing import Domain, merkle_root
from photon_core.api.ids import Hash
from photon_core.exchange.events import EVENT, Event, Receipt

OUTCOME_BYTES_MAX = 64 * 2**20
"""Receipts of one block, read back from our own disk."""


@frozen(kw_only=True)
class BlockOutcome:
    """What the store keeps of an executed block besides its state."""

    market_ms: int = fields.uint()
    begin_events: tuple[Event, ...] = fields.listof(EVENT, 1_000_000)
    receipts: tuple[Receipt, ...] = fields.listof(fields.record_form(Receipt), 10_000)


@frozen
class EncodedOutcome:
    """`data` is what `encode_record` makes of the outcome."""

    receipts_root: Hash
    data: bytes


def encode_outcome(outcome: BlockOutcome) -> EncodedOutcome:
    """Leaves of the root: first, what fell due; then one per transaction, in order.

    In a leaf, a refusal's reason is left out: it is for people, its code counts, and to word it better must not fork a
    chain.
    """
    begin_events = codec.encode([EVENT.to_plain(event) for event in outcome.begin_events])
    receipts = [codec.encode_record(receipt) for receipt in outcome.receipts]
    leaves = [
        codec.encode_record(evolve(receipt, reason="")) if receipt.reason else data
        for receipt, data in zip(outcome.receipts, receipts, strict=True)
    ]
    return EncodedOutcome(
        merkle_root(Domain.RECEIPTS, [begin_events, *leaves]),
        codec.encode_list([codec.encode(outcome.market_ms), begin_events, codec.encode_list(receipts)]),
    )
