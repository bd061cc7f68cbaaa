"""What a consensus engine must find again after a crash: its records, and the blocks that they speak of, with bodies.

One synced append for all that is asked for together: after a crash all of it is there, or none of what was not yet
answered. Every entry carries the height until which it is of use; the file is written anew once most of it is of none.

Blocking; one thread at a time. Only validators have one.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Final

from attrs import frozen

from photon_core.api import codec, fields
from photon_core.api.chain import Block
from photon_core.api.errors import CodecError, PhotonError
from photon_core.api.finality import block_hash
from photon_core.api.ids import Hash
from photon_core.chain import blocks
from photon_core.chain.transactions import Transaction, decode_transaction
from photon_core.chain.wal import APPEND_BYTES_MAX, RECORDS_MAX, WriteAheadLog

from .steps import PersistRecords

COMPACT_BYTES_MIN: Final = 32 * 2**20
"""Blocks of a busy second or two: writing the few live ones anew more often would cost more than it saves."""
_ENTRY_OVERHEAD_BYTES: Final = 32


class _Kind(IntEnum):
    RECORD = 0
    BLOCK = 1


@frozen(kw_only=True)
class _Entry:
    kind: _Kind = fields.choice(_Kind)
    height: int = fields.uint()
    payload: bytes = fields.blob(maximum=APPEND_BYTES_MAX)


class EngineLog:
    """Opens or makes the log in `folder`, for this process alone."""

    def __init__(self, folder: Path, *, compact_bytes_min: int = COMPACT_BYTES_MIN) -> None:
        self.folder = folder
        self._log = WriteAheadLog(folder, compact_bytes_min=compact_bytes_min)
        self.note = self._log.note

    def close(self) -> None:
        self._log.close()

    @property
    def is_begun(self) -> bool:
        """False for a log that was made just now: the engine is a new one, or its log was lost."""
        return not self._log.is_new

    def begin(self) -> None:
        """On disk when this returns: from here on an empty log is a lost one."""
        self._log.append([])

    def persist(self, asked: Sequence[PersistRecords]) -> None:
        """On disk when this returns, each of them whole, in order."""
        batch: list[bytes] = []
        size = height = 0
        for one in asked:
            entries = _entries(one)
            needed = sum(len(entry) + _ENTRY_OVERHEAD_BYTES for entry in entries)
            if batch and (size + needed > APPEND_BYTES_MAX or len(batch) + len(entries) > RECORDS_MAX):
                self._log.append(batch, height=height)
                batch, size, height = [], 0, 0
            batch += entries
            size += needed
            height = max(height, one.height)
        if batch:
            self._log.append(batch, height=height)

    def forget(self, below_height: int) -> None:
        self._log.forget(below_height)

    def read(self, chain_id: Hash) -> tuple[tuple[bytes, ...], tuple[tuple[Block, tuple[Transaction, ...]], ...]]:
        """(records, blocks) that were persisted and not forgotten, oldest first, each block once.

        Transactions were verified before they were written.
        """
        records: list[bytes] = []
        found: dict[Hash, tuple[Block, tuple[Transaction, ...]]] = {}
        try:
            for raw in self._log.read_all():
                entry = codec.decode_record(_Entry, raw, APPEND_BYTES_MAX)
                if entry.height < self._log.below:  # kept on disk by what it was written together with
                    continue
                if entry.kind is _Kind.RECORD:
                    records.append(entry.payload)
                else:
                    block = blocks.decode_block(entry.payload)
                    transactions = tuple(decode_transaction(one, chain_id) for one in block.transactions)
                    found[block_hash(block.header)] = (block, transactions)
        except CodecError as error:
            raise PhotonError(
                code="corrupt-folder",
                what=f"this is no consensus engine's log of this chain: {error}",
                where=str(self.folder),
                remedy="Never go on with a part of it; make a new validator with a new key.",
            ) from None
        return tuple(records), tuple(found.values())


def _entries(asked: PersistRecords) -> list[bytes]:
    parts = [(_Kind.RECORD, record) for record in asked.records]
    parts += [(_Kind.BLOCK, blocks.encode_block(block)) for block in asked.blocks]
    return [codec.encode_record(_Entry(kind=kind, height=asked.height, payload=payload)) for kind, payload in parts]
