"""Records of the ledger that cross a seam: headers, proposals, blocks, finality statements, certificates.

A header carries order only. What a block *does* (state root, receipts root) is not known before it is executed, so it
stands in the finality statement that each validator signs after execution; a quorum of those, by stake, is the block's
certificate, whatever the consensus plugin (design, "Blocks and certificates").
"""

from __future__ import annotations

from attrs import frozen

from . import fields
from .ids import ConsensusKey, Hash

VALIDATORS_MAX = 128
"""More would make certificates and view changes larger than a frame."""
TRANSACTIONS_PER_BLOCK_MAX = 10_000
SIGNATURE_BYTES = 64


@frozen(kw_only=True)
class Validator:
    key: ConsensusKey = fields.blob(32)
    power: int = fields.uint(2**53, 1)


@frozen(kw_only=True)
class ValidatorSet:
    """In order of their keys, which `photon_core.chain.certificates` checks. A quorum holds more than 2/3 of the
    power.
    """

    validators: tuple[Validator, ...] = fields.listof(fields.record_form(Validator), VALIDATORS_MAX, 1)

    @property
    def total_power(self) -> int:
        return sum(v.power for v in self.validators)

    @property
    def quorum_power(self) -> int:
        return self.total_power * 2 // 3 + 1

    def power_of(self, key: ConsensusKey) -> int:
        return next((v.power for v in self.validators if v.key == key), 0)


@frozen(kw_only=True)
class Header:
    height: int = fields.uint()
    time_ms: int = fields.uint()
    parent: Hash = fields.hash32()
    transactions_root: Hash = fields.hash32()
    validators_hash: Hash = fields.hash32()
    proposer: ConsensusKey = fields.blob(32)


@frozen(kw_only=True)
class Proposal:
    """What an engine orders: a header and the names of its transactions. Bodies travel apart and belong to core."""

    header: Header = fields.record(Header)
    transaction_ids: tuple[Hash, ...] = fields.listof(fields.blob_form(32), TRANSACTIONS_PER_BLOCK_MAX)
    block_hash: Hash = fields.hash32()


@frozen(kw_only=True)
class Block:
    """A header with the transactions' bytes as they were received, never re-encoded."""

    header: Header = fields.record(Header)
    transactions: tuple[bytes, ...] = fields.listof(fields.blob_form(maximum=65_536), TRANSACTIONS_PER_BLOCK_MAX)


@frozen(kw_only=True)
class FinalityStatement:
    """What a validator signs once a block is committed, on disk and executed."""

    chain_id: Hash = fields.hash32()
    height: int = fields.uint()
    block_hash: Hash = fields.hash32()
    state_root: Hash = fields.hash32()
    receipts_root: Hash = fields.hash32()
    next_validators_hash: Hash = fields.hash32()


@frozen(kw_only=True)
class StatementSignature:
    validator: ConsensusKey = fields.blob(32)
    signature: bytes = fields.blob(SIGNATURE_BYTES)


@frozen(kw_only=True)
class Certificate:
    """A statement signed by a quorum of the validators that the header names. Signatures in order of their keys."""

    statement: FinalityStatement = fields.record(FinalityStatement)
    signatures: tuple[StatementSignature, ...] = fields.listof(
        fields.record_form(StatementSignature), VALIDATORS_MAX, 1
    )
