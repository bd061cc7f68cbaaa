"""What a node keeps of blocks besides the state, read back: blocks, certificates, events, receipts. Blocking."""

from __future__ import annotations

from attrs import define

from photon_core.api import codec
from photon_core.api.chain import Block, Certificate
from photon_core.api.finality import block_hash
from photon_core.api.ids import Hash
from photon_core.chain import blocks
from photon_core.chain.block_log import BlockLog
from photon_core.chain.state_view import StateView
from photon_core.chain.transactions import Transaction, decode_transaction
from photon_core.exchange.events import Receipt

from .blocksync import CERTIFICATE_BYTES_MAX
from .outcome import OUTCOME_BYTES_MAX, BlockOutcome
from .views import BlockDetail, BlockEvents, all_events


@define
class Archive:
    """Safe beside the threads that write."""

    log: BlockLog
    view: StateView
    chain_id: Hash

    def block(self, height: int) -> Block:
        """One that the log is known to have."""
        raw = self.log.read(height)
        assert raw is not None, f"the block log said that it has {height}"
        return blocks.decode_block(raw)

    def certificate(self, height: int) -> Certificate:
        """One that the log is known to have."""
        raw = self.log.read_certificate(height)
        assert raw is not None, f"the block log said that it has a certificate for {height}"
        return codec.decode_record(Certificate, raw, CERTIFICATE_BYTES_MAX)

    def transactions(self, block: Block) -> tuple[Transaction, ...]:
        """Verified before they were written."""
        return tuple(decode_transaction(raw, self.chain_id) for raw in block.transactions)

    def uncertified(self) -> tuple[tuple[Block, tuple[Transaction, ...]], ...]:
        """All of the log above the newest certificate, in order."""
        found = []
        for height in range(self.log.certified_height + 1, self.log.height + 1):
            block = self.block(height)
            found.append((block, self.transactions(block)))
        return tuple(found)

    def certified_bytes(self, height: int) -> tuple[bytes, bytes] | None:
        block, certificate = self.log.read(height), self.log.read_certificate(height)
        return None if block is None or certificate is None else (block, certificate)

    def outcome_of(self, height: int) -> BlockOutcome | None:
        raw = self.view.receipts(height)
        return codec.decode_record(BlockOutcome, raw, OUTCOME_BYTES_MAX) if raw else None

    def outcome(self, transaction_id: Hash) -> tuple[int, Receipt] | None:
        """Where a transaction is and what it did."""
        place = self.view.find_transaction(transaction_id)
        if place is None:
            return None
        outcome = self.outcome_of(place.height)
        assert outcome is not None, "a block whose transactions are indexed has receipts"
        return place.height, outcome.receipts[place.index]

    def block_detail(self, height: int) -> BlockDetail | None:
        raw = self.log.read(height)
        if raw is None:
            return None
        block = blocks.decode_block(raw)
        certificate = self.log.read_certificate(height)
        return BlockDetail(
            header=block.header,
            block_hash=block_hash(block.header),
            transaction_ids=tuple(t.id for t in self.transactions(block)),
            certificate=None
            if certificate is None
            else codec.decode_record(Certificate, certificate, CERTIFICATE_BYTES_MAX),
        )

    def block_events(self, height: int) -> BlockEvents | None:
        raw, outcome = self.log.read(height), self.outcome_of(height)
        if raw is None or outcome is None:
            return None
        header = blocks.decode_block(raw).header
        return BlockEvents(
            height=height,
            block_hash=block_hash(header),
            time_ms=header.time_ms,
            market_ms=outcome.market_ms,
            events=all_events(outcome.begin_events, outcome.receipts),
        )
