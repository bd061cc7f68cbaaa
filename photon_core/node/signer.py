"""The signer: the only part of a node that has the consensus key.

Theory of operation
-------------------
A slot is an ordered tuple of integers, its height first; everything that is ever signed has one. The signer remembers
slot → digest of what it signed there and never signs two things for one slot, whatever it is asked and however
often the node restarts: the memory is synced to disk before a signature leaves. Asked again for the same thing it
answers the same.

The memory is bounded by a low-water mark: a certificate for a height proves that nothing below can matter any more, so
slots at or below it are refused and forgotten. Only a verified certificate may raise the mark.

Slots of finality statements are (height, FINALITY); an engine's slot (h, …) becomes (h, ENGINE, …), so that core and
engines never share one.
"""

from __future__ import annotations

import threading
from pathlib import Path

from attrs import frozen

from photon_core.api import codec, fields
from photon_core.api.chain import FinalityStatement, StatementSignature
from photon_core.api.consensus import Slot
from photon_core.api.errors import CodecError, PhotonError
from photon_core.api.finality import statement_message
from photon_core.api.hashing import digest
from photon_core.chain.certificates import sign_statement
from photon_core.chain.keys import KeyPurpose, SigningKey
from photon_core.chain.wal import WriteAheadLog

FINALITY, ENGINE = 0, 1
SLOT_PARTS_MAX = 8
FORGET_EVERY_HEIGHTS = 64
"""The log may keep slots a little longer than memory does; forgetting each alone would double its writes."""
_RECORD_BYTES_MAX = 512
_DIGEST_DOMAIN = "photon/signed/1"


class SlotTaken(PhotonError):
    """Something else was signed in this slot, or the slot lies at or below the mark."""


@frozen(kw_only=True)
class SignedSlot:
    slot: tuple[int, ...] = fields.listof(fields.uint_form(), SLOT_PARTS_MAX, 2)
    digest: bytes = fields.hash32()


class Signer:
    """Blocking: `sign` syncs the disk. Any thread may call. One process per folder, which the log's lock sees to."""

    def __init__(self, key: SigningKey, folder: Path) -> None:
        if key.purpose is not KeyPurpose.CONSENSUS:
            raise PhotonError(
                code="wrong-key-purpose",
                what="a validator signs with a consensus key only",
                where=str(folder),
                expected=str(KeyPurpose.CONSENSUS),
                found=str(key.purpose),
                remedy="Make the key with `photon validator init`: one key, one purpose.",
            )
        self._key = key
        self._turn = threading.Lock()
        self._log = WriteAheadLog(folder)
        try:
            records = [codec.decode_record(SignedSlot, raw, _RECORD_BYTES_MAX) for raw in self._log.read_all()]
        except CodecError as error:
            self._log.close()
            raise PhotonError(
                code="corrupt-folder",
                what=f"this is no signer's memory: {error}",
                where=str(folder),
                remedy="Never go on with a part of it; make a new key with `photon validator init`.",
            ) from None
        self._signed: dict[Slot, bytes] = {record.slot: record.digest for record in records}
        self._mark = max(self._log.below - 1, 0)

    @property
    def public(self) -> bytes:
        return self._key.public

    def close(self) -> None:
        self._log.close()

    def sign_statement(self, statement: FinalityStatement) -> StatementSignature:
        self._take((statement.height, FINALITY), statement_message(statement))
        return sign_statement(self._key, statement)

    def sign(self, slot: Slot, message: bytes) -> bytes:
        """For an engine; `message` begins with its domain and the chain id."""
        self._take((slot[0], ENGINE, *slot[1:]), message)
        return self._key.sign_message(message)

    def raise_mark(self, height: int) -> None:
        """A certificate for `height` was verified."""
        with self._turn:
            if height <= self._mark:
                return
            self._mark = height
            for slot in [slot for slot in self._signed if slot[0] <= height]:
                del self._signed[slot]
            if height % FORGET_EVERY_HEIGHTS == 0:
                self._log.forget(height + 1)

    def _take(self, slot: Slot, message: bytes) -> None:
        with self._turn:
            self._take_alone(slot, message)

    def _take_alone(self, slot: Slot, message: bytes) -> None:
        wanted = digest(_DIGEST_DOMAIN, message)
        found = self._signed.get(slot)
        if found == wanted:
            return
        if found is not None or slot[0] <= self._mark:
            raise SlotTaken(
                code="slot-taken",
                what=f"slot {slot} was signed before, and for something else",
                expected=found.hex() if found else f"a slot above height {self._mark}",
                found=wanted.hex(),
                remedy="never copy or restore a validator's folder; make a new key with `photon validator init`",
            )
        self._log.append([codec.encode_record(SignedSlot(slot=slot, digest=wanted))], height=slot[0])
        self._signed[slot] = wanted
