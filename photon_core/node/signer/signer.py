"""What a validator's key may sign.

Theory of operation
-------------------
A slot is an ordered tuple of integers, its height first; everything that is ever signed has one. The signer remembers
slot → digest of what it signed there and never signs two things for one slot, whatever it is asked and however
often the node restarts: the memory is synced to disk before a signature leaves. Asked again for the same thing it
answers the same. Three bounds besides, each of which only ever rises:

- the mark: a certificate for a height proves that nothing at or below it can matter any more, so such slots are
  forgotten, and not signed. Only a verified certificate may raise it. Losing it in a crash does no harm, since the
  slots are still there; so it reaches the disk with some later signature.
- the round floor: a validator that has joined a new round has promised to sign nothing of a lower one, at any height.
  It is persisted in one append with the slot that promises it.
- the abstention: a memory that is known to be old does not know what was signed up to some height, and so nothing is.

Whether the memory is old, it cannot know by itself. So the gate is closed at every start, until the start-up rule
(`startup`) has asked the other validators.

Slots of finality statements are (height, FINALITY); an engine's slot (h, round, …) becomes (h, ENGINE, round, …), so
that core and engines never share one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import define, evolve, frozen

from photon_core.api.chain import FinalityStatement, StatementSignature
from photon_core.api.consensus import Slot
from photon_core.api.errors import CodecError, LocalProtocolError, PhotonError
from photon_core.api.fields import U64_MAX
from photon_core.api.finality import statement_message
from photon_core.api.hashing import digest
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain.keys import SigningKey

from .memory import (
    APPEND_RECORDS_MAX,
    SLOT_PARTS_MAX,
    Record,
    SignedSlot,
    SlotMemory,
    Standing,
    decode_memory,
    encode_entry,
    kept_until,
)
from .store import damaged, open_signer_store

FINALITY: Final = 0
ENGINE: Final = 1
REQUESTS_MAX: Final = APPEND_RECORDS_MAX - 1
"""Of one batch: its slots and a standing are one append."""
SLOTS_MAX: Final = 100_000
"""Slots above the mark: an engine's window has some tens for each round, so this is a loop and not a protocol."""
FORGET_EVERY_HEIGHTS: Final = 64
"""The log may keep slots a little longer than memory does; forgetting each alone would double its writes."""
_DIGEST_DOMAIN: Final = "photon/signed/1"
_TOO_MANY: Final = f"{SLOTS_MAX} slots were signed without a certificate"


class SlotTaken(PhotonError):
    """It would contradict what was signed or promised. Never, whatever happens."""


@define(kw_only=True, eq=False)
class Abstaining(PhotonError):
    """Nothing is known to be wrong with what was asked, and it is not signed: the signer is in doubt of its memory.

    `until_height` is the last height that this holds for; 0 when it is not a matter of heights.
    """

    until_height: int = 0


class HeightFinal(Abstaining):
    """No doubt: the height has its certificate, so this signature is of no use any more."""


@frozen
class SignRequest:
    """`slot` as `statement_slot` and `engine_slot` make it; `message` begins with its domain and the chain id."""

    slot: Slot
    message: bytes
    round_floor: int = 0


Answer = bytes | SlotTaken | Abstaining


def statement_slot(height: int) -> Slot:
    return (height, FINALITY)


def engine_slot(slot: Slot) -> Slot:
    """`slot` is an engine's: the height, the round, then what it likes."""
    if not 2 <= len(slot) < SLOT_PARTS_MAX or not all(type(part) is int and 0 <= part <= U64_MAX for part in slot):
        raise LocalProtocolError(f"{slot} is no engine's slot: height, round, up to {SLOT_PARTS_MAX - 3} more")
    return (slot[0], ENGINE, *slot[1:])


def digest_of(message: bytes) -> Hash:
    """What is remembered of a signed message."""
    return digest(_DIGEST_DOMAIN, message)


class Signer:
    """Any thread may call. `sign…` blocks until the disk has synced; the rest never waits for it."""

    def __init__(self, key: SigningKey, memory: SlotMemory) -> None:
        """CodecError when the memory is not this key's. An empty one is that of a new key."""
        self._key = key
        self._memory = memory
        self._turn = threading.Lock()
        self._signed, self._standing = decode_memory(memory.read_all(), key.public)
        self._written_mark = self._mark_wanted = self._standing.mark
        self._gate_open = False

    @classmethod
    def open(cls, key: SigningKey, folder: Path, chain_id: Hash) -> Signer:
        """That of a validator's folder. PhotonError when it is missing, another's, or damaged."""
        memory = open_signer_store(folder, key, chain_id)
        try:
            return cls(key, memory)
        except CodecError as error:
            memory.close()
            raise damaged(folder, str(error)) from None

    @property
    def public(self) -> ConsensusKey:
        return self._key.public

    @property
    def round_floor(self) -> int:
        return self._standing.round_floor

    @property
    def abstains_until(self) -> int:
        """Nothing new is signed up to this height; 0 for a memory that is whole."""
        return self._standing.abstains_until

    @property
    def doubts_until(self) -> int:
        """Up to here, a signature that this memory does not know tells nothing new."""
        return self._standing.doubts_until

    @property
    def silence(self) -> str:
        """For people: up to where nothing is signed, and why; empty once the chain is beyond it."""
        standing = self._standing
        if standing.abstains_until > max(standing.mark, self._mark_wanted):
            return f"silent up to height {standing.abstains_until}: {standing.doubt}"
        return f"silent until a block is certified: {_TOO_MANY}" if len(self._signed) >= SLOTS_MAX else ""

    @property
    def is_open(self) -> bool:
        """Whether the start-up rule has spoken."""
        return self._gate_open

    def open_gate(self) -> None:
        """For the start-up rule: the memory is as new as it can be known to be."""
        self._gate_open = True

    def close(self) -> None:
        with self._turn:
            self._memory.close()

    # --- signing -----------------------------------------------------------------------------------------------------

    def sign_statement(self, statement: FinalityStatement) -> StatementSignature:
        """SlotTaken or Abstaining when it is not to be signed."""
        request = SignRequest(statement_slot(statement.height), statement_message(statement))
        return StatementSignature(validator=self.public, signature=self._sign_one(request))

    def sign(self, slot: Slot, message: bytes, round_floor: int = 0) -> bytes:
        """For an engine, in its own slot. SlotTaken or Abstaining when it is not to be signed."""
        return self._sign_one(SignRequest(engine_slot(slot), message, round_floor))

    def sign_all(self, requests: Sequence[SignRequest]) -> tuple[Answer, ...]:
        """One answer for each, in order, as if they were asked one after the other; one write, one sync."""
        if len(requests) > REQUESTS_MAX:
            raise LocalProtocolError(f"{len(requests)} signatures at once, at most {REQUESTS_MAX}")
        with self._turn:
            refusals = self._take(requests) if self._gate_open else [_not_asked(request) for request in requests]
        return tuple(
            refusal or self._key.sign_message(request.message)
            for request, refusal in zip(requests, refusals, strict=True)
        )

    def _sign_one(self, request: SignRequest) -> bytes:
        (answer,) = self.sign_all([request])
        if isinstance(answer, bytes):
            return answer
        raise answer

    def _take(self, requests: Sequence[SignRequest]) -> Sequence[SlotTaken | Abstaining | None]:
        """Decides on all, and has what was decided on disk when it returns."""
        self._move_mark()
        taken: dict[Slot, Hash] = {}
        records: list[Record] = []
        refusals: list[SlotTaken | Abstaining | None] = []
        floor = self._standing.round_floor
        for request in requests:
            wanted = digest_of(request.message)
            found = taken.get(request.slot) or self._signed.get(request.slot)
            refusal = self._refusal(request.slot, wanted, found, floor)
            refusals.append(refusal)
            if refusal is None and (found is None or request.round_floor > floor):
                floor = max(floor, request.round_floor)
                taken[request.slot] = wanted
                records.append(SignedSlot(slot=request.slot, digest=wanted, round_floor=floor))
        if records:
            self._write(records, evolve(self._standing, round_floor=floor))
            self._signed.update(taken)
        return refusals

    def _refusal(self, slot: Slot, wanted: Hash, found: Hash | None, floor: int) -> SlotTaken | Abstaining | None:
        standing = self._standing
        if found == wanted:
            return None
        if found is not None:
            return _taken("slot-taken", f"slot {slot} was signed before, and for something else", found, wanted)
        if slot[0] <= standing.mark:
            return _abstaining(slot, "its height is final already", standing.mark, HeightFinal)
        if slot[0] <= standing.abstains_until:
            return _abstaining(slot, standing.doubt, standing.abstains_until)
        if slot[1] == ENGINE and slot[2] < floor:
            return _taken("round-closed", f"slot {slot} is of round {slot[2]}, and those below {floor} are closed")
        if len(self._signed) >= SLOTS_MAX:
            return _abstaining(slot, _TOO_MANY, 0)
        return None

    # --- the bounds --------------------------------------------------------------------------------------------------

    def raise_mark(self, height: int) -> None:
        """A certificate for `height` was verified. Never waits for the disk; callers take turns."""
        self._mark_wanted = max(self._mark_wanted, height)

    def holds(self, slot: Slot, wanted: Hash) -> bool:
        """For the start-up rule: whether this memory knows, or need not know, that `wanted` was signed in `slot`."""
        with self._turn:
            return slot[0] <= self._standing.mark or self._signed.get(slot) == wanted

    def learn(self, signed: Mapping[Slot, Hash], *, abstains_until: int = 0, round_floor: int = 0) -> None:
        """For the start-up rule: `signed` was found to be signed by this key. On disk when it returns.

        What this memory has in one of these slots stays: the key is in use at two places, and no record mends that.
        """
        with self._turn:
            standing = self._standing.raised_to(
                Standing(
                    key=self.public,
                    round_floor=round_floor,
                    abstains_until=abstains_until,
                    doubts_until=abstains_until,
                )
            )
            news = {slot: found for slot, found in signed.items() if slot not in self._signed}
            if news or standing != self._standing:
                slots = [SignedSlot(slot=s, digest=d, round_floor=standing.round_floor) for s, d in news.items()]
                self._write([standing, *slots], standing)
                self._signed.update(news)

    def _move_mark(self) -> None:
        mark = self._mark_wanted
        if mark > self._standing.mark:
            self._standing = evolve(self._standing, mark=mark)
            for slot in [slot for slot in self._signed if slot[0] <= mark]:
                del self._signed[slot]

    def _write(self, records: list[Record], standing: Standing) -> None:
        """Now and then with a standing, above which everything older may go. The disk first, then this object."""
        forgets = standing.mark - self._written_mark >= FORGET_EVERY_HEIGHTS
        if forgets:
            records = [standing, *records]
        self._memory.append([encode_entry(record) for record in records], kept_until(records))
        self._standing = standing
        if forgets:
            self._written_mark = standing.mark
            self._memory.forget(standing.mark + 1)


def _taken(code: str, what: str, found: Hash | None = None, wanted: Hash | None = None) -> SlotTaken:
    return SlotTaken(
        code=code,
        what=what,
        expected=found.hex() if found else "",
        found=wanted.hex() if wanted else "",
        remedy="Never run one key from two folders, and never copy or restore a validator's folder.",
    )


def _not_asked(request: SignRequest) -> Abstaining:
    return _abstaining(request.slot, "the other validators were not asked yet what they have seen of this key", 0)


def _abstaining(slot: Slot, why: str, until_height: int, kind: type[Abstaining] = Abstaining) -> Abstaining:
    until = f", up to height {until_height}" if until_height else ""
    return kind(
        code="abstaining",
        what=f"nothing is signed in slot {slot}: {why}{until}",
        remedy="The validator follows the chain meanwhile, and votes again by itself.",
        until_height=until_height,
    )
