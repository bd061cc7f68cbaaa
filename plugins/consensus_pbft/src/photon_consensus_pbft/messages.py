"""What validators say to each other, and what they sign.

A message is `[kind, fields]` in the chain's CBOR. What is signed is never a message but a **statement**: the domain,
the chain id and a list that begins with its phase, so that a statement of one phase cannot pass for one of another.
A statement's slot (`photon_core.api.consensus`) is (height, view, phase).

| message | signed statement | slot |
|---|---|---|
| PRE-PREPARE, PREPARE | [PREPARE, view, height, block hash] | (height, view, 1) |
| COMMIT | [COMMIT, view, height, block hash] | (height, view, 2) |
| VIEW-CHANGE | [VIEW-CHANGE, view, final height, [[height, view, block hash] prepared]] | (final height + 1, view, 0) |
| NEW-VIEW | [NEW-VIEW, view, start, digest of the signed view changes] | (start, view, 3) |
| STATUS | nothing: the link says who it is | |

A PRE-PREPARE *is* its primary's PREPARE, one statement in one slot: a primary cannot propose one block and prepare
another. A VIEW-CHANGE signs what was prepared by name only; the proofs travel beside it, since a proof is signed by
those who voted and convinces whoever brings it. So a NEW-VIEW needs one proof for each block that it carries over,
not one from each sender: it grows with n, where the paper's grows with n², and 128 validators fit in a frame.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import Any

from attrs import frozen

from photon_core.api import codec, fields
from photon_core.api.chain import SIGNATURE_BYTES, VALIDATORS_MAX, Certificate, Header
from photon_core.api.consensus import Slot
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.hashing import digest, signed_message
from photon_core.api.ids import Hash
from photon_core.api.transport import FRAME_BYTES_MAX

from .config import WINDOW_MAX

DOMAIN = "photon/pbft/1"
CHANGES_DOMAIN = "photon/pbft/changes/1"
NUMBER_MAX = 2**62
"""Of views and heights: sums of them stay in 64 bits."""
MESSAGE_BYTES_MAX = FRAME_BYTES_MAX - 1024
"""A frame, less what core writes around a message."""
IDS_PER_MESSAGE_MAX = 4_096
"""128 KiB of transaction ids, half a frame. A block of more is proposed without them; its ids are fetched."""
ID_BYTES = 32
REMEMBERED_BYTES_MAX = 8 * 1024
"""Votes, and proposals of 200 transactions."""


class Phase(IntEnum):
    """Of a statement, and the last part of its slot."""

    VIEW_CHANGE = 0
    PREPARE = 1
    COMMIT = 2
    NEW_VIEW = 3


class VotePhase(IntEnum):
    """The phases that are about one block."""

    PREPARE = 1
    COMMIT = 2


def _view() -> Any:
    return fields.uint(NUMBER_MAX)


def _height(minimum: int = 1) -> Any:
    return fields.uint(NUMBER_MAX, minimum)


def _index() -> Any:
    return fields.uint(VALIDATORS_MAX - 1)


def _signature() -> Any:
    return fields.blob(SIGNATURE_BYTES)


@frozen(kw_only=True)
class PrePrepare:
    """The primary's block for a height. `transaction_ids` are the ids one after the other; None: ask for them."""

    view: int = _view()
    header: Header = fields.record(Header)
    transaction_ids: bytes | None = fields.optional(fields.blob_form(maximum=ID_BYTES * IDS_PER_MESSAGE_MAX))
    signature: bytes = _signature()


@frozen(kw_only=True)
class Vote:
    """A PREPARE or COMMIT of the validator with this index."""

    phase: VotePhase = fields.choice(VotePhase)
    view: int = _view()
    height: int = _height()
    block_hash: Hash = fields.hash32()
    validator: int = _index()
    signature: bytes = _signature()


@frozen
class ProofVote:
    validator: int = _index()
    signature: bytes = _signature()


@frozen(kw_only=True)
class PreparedProof:
    """A quorum's PREPAREs for one block in one view, ascending by validator."""

    view: int = _view()
    header: Header = fields.record(Header)
    votes: tuple[ProofVote, ...] = fields.listof(fields.record_form(ProofVote), VALIDATORS_MAX, 1)


@frozen(kw_only=True)
class PreparedClaim:
    """In a VIEW-CHANGE: "this block was prepared here at this height, in this view and in none above it"."""

    height: int = _height()
    view: int = _view()
    block_hash: Hash = fields.hash32()


@frozen(kw_only=True)
class ViewChangeStatement:
    """`view` is the one asked for. `prepared`: ascending heights above `final_height`, at most the window."""

    view: int = _view()
    final_height: int = _height(0)
    prepared: tuple[PreparedClaim, ...] = fields.listof(fields.record_form(PreparedClaim), WINDOW_MAX)


@frozen(kw_only=True)
class SignedViewChange:
    statement: ViewChangeStatement = fields.record(ViewChangeStatement)
    validator: int = _index()
    signature: bytes = _signature()


@frozen(kw_only=True)
class ViewChange:
    """`certificate` is the final height's (none for genesis); `proofs` are the claims', one each, in their order."""

    change: SignedViewChange = fields.record(SignedViewChange)
    certificate: Certificate | None = fields.optional(fields.record_form(Certificate))
    proofs: tuple[PreparedProof, ...] = fields.listof(fields.record_form(PreparedProof), WINDOW_MAX)


@frozen(kw_only=True)
class NewView:
    """`changes` of a quorum, ascending by validator; `certificate` of the highest final height among them; `proofs` of
    the blocks that follow it by the rule of `new_view.carry_over`, and of the foreign one that stopped it, if one did;
    `votes`: the leader's PREPARE for each block carried over; `signature`: the leader's over the view changes.
    """

    view: int = _view()
    changes: tuple[SignedViewChange, ...] = fields.listof(fields.record_form(SignedViewChange), VALIDATORS_MAX, 1)
    certificate: Certificate | None = fields.optional(fields.record_form(Certificate))
    proofs: tuple[PreparedProof, ...] = fields.listof(fields.record_form(PreparedProof), WINDOW_MAX + 1)
    votes: tuple[bytes, ...] = fields.listof(fields.blob_form(SIGNATURE_BYTES), WINDOW_MAX)
    signature: bytes = _signature()


class Has(IntEnum):
    """What a STATUS says of one height, as bits: others send what is not there."""

    BLOCK = 1
    PREPARED = 2
    COMMITTED = 4


@frozen(kw_only=True)
class Status:
    """Where a validator stands, so that others send what it lacks. `heights`: `Has` bits from final_height + 1 on."""

    view: int = _view()
    active: bool = fields.flag()
    final_height: int = _height(0)
    heights: tuple[int, ...] = fields.listof(fields.uint_form(7), WINDOW_MAX)


Message = PrePrepare | Vote | ViewChange | NewView | Status

_MESSAGE = fields.union_form("pbft message", {1: PrePrepare, 2: Vote, 3: ViewChange, 4: NewView, 5: Status})


def encode(message: Message) -> bytes:
    return codec.encode(_MESSAGE.to_plain(message))


def decode(data: bytes) -> Message:
    """PeerProtocolError for anything that `encode` does not write. Inspected first and stepped later, a message is read
    twice; the small ones, which are most, only once.
    """
    return _remembered(data) if len(data) <= REMEMBERED_BYTES_MAX else _decode(data)


@lru_cache(maxsize=256)  # some MB at most, and more than one turn of a validator's queue
def _remembered(data: bytes) -> Message:
    return _decode(data)


def _decode(data: bytes) -> Message:
    try:
        message: Message = _MESSAGE.from_plain(codec.decode(data, max_bytes=MESSAGE_BYTES_MAX), "message")
    except CodecError as error:
        raise PeerProtocolError(f"consensus_pbft: {error}") from None
    return message


# --- statements and their slots -------------------------------------------------------------------------------------


def slot_of(height: int, view: int, phase: int) -> Slot:
    return (height, view, int(phase))


def vote_statement(chain_id: Hash, phase: int, view: int, height: int, block_hash: Hash) -> bytes:
    return signed_message(DOMAIN, chain_id, codec.encode([int(phase), view, height, block_hash]))


def change_statement(chain_id: Hash, statement: ViewChangeStatement) -> bytes:
    return signed_message(DOMAIN, chain_id, codec.encode([int(Phase.VIEW_CHANGE), *fields.to_plain(statement)]))


def change_slot(statement: ViewChangeStatement) -> Slot:
    return slot_of(statement.final_height + 1, statement.view, Phase.VIEW_CHANGE)


def new_view_statement(chain_id: Hash, view: int, start: int, changes: tuple[SignedViewChange, ...]) -> bytes:
    named = digest(CHANGES_DOMAIN, codec.encode([fields.to_plain(change) for change in changes]))
    return signed_message(DOMAIN, chain_id, codec.encode([int(Phase.NEW_VIEW), view, start, named]))
