"""What a signer remembers, and where: records that are on disk before a signature leaves.

A memory is a list of two kinds of records. `SignedSlot` says what was signed in one slot. `Standing` says all that
holds for every slot; the newest counts. A record is kept until its height is given up, so a `Standing` is written anew
before anything is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from attrs import evolve, frozen

from photon_core.api import codec, fields
from photon_core.api.consensus import Slot
from photon_core.api.errors import CodecError
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain.wal import RECORDS_MAX, WriteAheadLog

SLOT_PARTS_MAX: Final = 8
"""The height, FINALITY or ENGINE, the round, and what else an engine tells its statements apart by."""
APPEND_RECORDS_MAX: Final = RECORDS_MAX
_RECORD_BYTES_MAX: Final = 512


@frozen(kw_only=True)
class SignedSlot:
    """`round_floor` is that of the signer once this was signed: with one append both are on disk, or neither is."""

    slot: Slot = fields.listof(fields.uint_form(), SLOT_PARTS_MAX, 2)
    digest: Hash = fields.hash32()
    round_floor: int = fields.uint()


@frozen(kw_only=True)
class Standing:
    """`mark`: a certificate of this height was seen. `abstains_until`: nothing is signed up to this height, since the
    memory does not know what was signed there. `doubts_until`: signatures that this memory does not know may exist up
    to this height, and that is no news.
    """

    key: ConsensusKey = fields.blob(32)
    mark: int = fields.uint(default=0)
    round_floor: int = fields.uint(default=0)
    abstains_until: int = fields.uint(default=0)
    doubts_until: int = fields.uint(default=0)

    @property
    def doubt(self) -> str:
        """For people: why nothing is signed up to `abstains_until`.

        An operator's recovery doubts further than it abstains; the start-up rule, exactly as far.
        """
        if self.doubts_until > self.abstains_until:
            return (
                "this signer's store was made anew by `photon validator recover`, and does not know all that was "
                "signed before"
            )
        return (
            "the other validators hold signatures of this key that its store does not know: the store was restored or "
            "copied, its disk lost what was on it, or the key runs elsewhere too"
        )

    def raised_to(self, other: Standing) -> Standing:
        """The higher of each: none is ever lowered."""
        return Standing(
            key=self.key,
            mark=max(self.mark, other.mark),
            round_floor=max(self.round_floor, other.round_floor),
            abstains_until=max(self.abstains_until, other.abstains_until),
            doubts_until=max(self.doubts_until, other.doubts_until),
        )


Record = SignedSlot | Standing
_RECORD: Final = fields.union_form("SignerRecord", {0: SignedSlot, 1: Standing})


def encode_entry(record: Record) -> bytes:
    """CodecError for what `decode_entry` would not read again: a memory is never written that cannot be opened."""
    plain = _RECORD.to_plain(record)
    _RECORD.from_plain(plain, "signer")
    return codec.encode(plain)


def decode_entry(raw: bytes) -> Record:
    record: Record = _RECORD.from_plain(codec.decode(raw, max_bytes=_RECORD_BYTES_MAX, where="signer"), "signer")
    return record


def decode_memory(records: Sequence[bytes], key: ConsensusKey) -> tuple[dict[Slot, Hash], Standing]:
    """Slots and standing out of all that was kept, oldest first. CodecError when it is no memory of `key`."""
    signed: dict[Slot, Hash] = {}
    known = Standing(key=key)
    for raw in records:
        match decode_entry(raw):
            case SignedSlot() as one:
                signed[one.slot] = one.digest
                known = evolve(known, round_floor=max(known.round_floor, one.round_floor))
            case Standing() as standing:
                if standing.key != key:
                    raise CodecError("signer", f"the memory of {key.hex()[:16]}", f"that of {standing.key.hex()[:16]}")
                known = known.raised_to(standing)
    return {slot: found for slot, found in signed.items() if slot[0] > known.mark}, known


def kept_until(records: Sequence[Record]) -> int:
    """The height to append these with: a standing must outlive the mark that it tells of."""
    return max(
        record.slot[0] if isinstance(record, SignedSlot) else max(record.mark, record.doubts_until) + 1
        for record in records
    )


class SlotMemory(Protocol):
    """Blocking; one call at a time, which the signer sees to."""

    def append(self, records: Sequence[bytes], height: int) -> None:
        """All of them, or after a crash none, are on disk when this returns. PhotonError when they are not."""
        ...

    def read_all(self) -> list[bytes]:
        """What was appended and not forgotten, oldest first."""
        ...

    def forget(self, below_height: int) -> None:
        """Records of lower heights may go, at any later time."""
        ...

    def close(self) -> None: ...


class LogMemory:
    """A write-ahead log in a folder, for this process alone."""

    def __init__(self, folder: Path) -> None:
        self._log = WriteAheadLog(folder)
        self.note = self._log.note
        """What opening had to cut off; empty when nothing."""

    def append(self, records: Sequence[bytes], height: int) -> None:
        self._log.append(records, height=height)

    def read_all(self) -> list[bytes]:
        return self._log.read_all()

    def forget(self, below_height: int) -> None:
        self._log.forget(below_height)

    def close(self) -> None:
        self._log.close()
