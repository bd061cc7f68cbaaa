"""What this node has seen of each validator's signatures, for that validator to ask about when it starts anew.

Of each validator the newest are kept, by slot, and that of the greatest round. Not one alone: what is signed first may
stand in the greater slot (a vote for height 9 comes before the second one for height 8), and a store that was copied in
between knows the one and not the other. A message is kept whole, because only the engine can say which slot a signed
statement is of: whoever asks lets its own engine read it and believes no peer's word.

`validator.seen`: `[key]` → `[certificate?, [[statement, signature]…], [message…]]`, see `docs/formats.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from attrs import define, field, frozen

from photon_core.api import fields
from photon_core.api.chain import SIGNATURE_BYTES, Certificate, FinalityStatement, StatementSignature, ValidatorSet
from photon_core.api.consensus import Claim, Slot
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.fields import Plain, from_plain, to_plain
from photon_core.api.ids import ConsensusKey, NodeKey
from photon_core.api.transport import FRAME_BYTES_MAX, Standing
from photon_core.peers.requests import Peers

Place = TypeVar("Place", int, Slot)

METHOD: Final = "validator.seen"
SLOTS_MAX: Final = 64
"""Kept of each validator, and of each of both kinds: an engine's window of 16 heights with four statements each."""
SLOTS_HIGH_WATER: Final = 2 * SLOTS_MAX
"""Above this the oldest go, down to `SLOTS_MAX`: sorting for each new one would be waste."""
MESSAGES_BYTES_MAX: Final = 4 * FRAME_BYTES_MAX
"""Of an answer. Votes have some 150 bytes; a message of a whole frame is one with many signatures in it."""
ANSWER_BYTES_MAX: Final = MESSAGES_BYTES_MAX + 64 * 1024
"""With room for statements of 300 bytes, and a certificate of 128 signatures."""


@frozen
class SeenRequest:
    key: ConsensusKey = fields.blob(32)


@frozen
class SignedStatement:
    statement: FinalityStatement = fields.record(FinalityStatement)
    signature: bytes = fields.blob(SIGNATURE_BYTES)


@frozen(kw_only=True)
class SeenAnswer:
    """`certificate`: the newest that this node has. The rest is about the key that was asked for."""

    certificate: Certificate | None = fields.optional(fields.record_form(Certificate))
    statements: tuple[SignedStatement, ...] = fields.listof(fields.record_form(SignedStatement), SLOTS_MAX)
    messages: tuple[bytes, ...] = fields.listof(fields.blob_form(maximum=FRAME_BYTES_MAX), SLOTS_MAX + 1)


def decode_answer(plain: Any) -> SeenAnswer:
    """PeerProtocolError for what is none: form only, nothing in it is verified."""
    try:
        return from_plain(SeenAnswer, plain, METHOD)
    except CodecError as error:
        raise PeerProtocolError(str(error)) from None


@define
class _Newest:
    """Of one validator."""

    statements: dict[int, SignedStatement] = field(factory=dict)
    messages: dict[Slot, bytes] = field(factory=dict)
    by_round: tuple[Slot, bytes] | None = None
    """The message with the greatest round. Here the slot begins with the round."""

    def answer_messages(self) -> tuple[bytes, ...]:
        """That of the greatest round first, then the newest slots, as many as fit; each once."""
        chosen: dict[bytes, None] = {}
        size = 0
        newest = [self.messages[slot] for slot in sorted(self.messages, reverse=True)[:SLOTS_MAX]]
        for message in ([self.by_round[1]] if self.by_round is not None else []) + newest:
            if message not in chosen and size + len(message) <= MESSAGES_BYTES_MAX:
                chosen[message] = None
                size += len(message)
        return tuple(chosen)


@define
class Seen:
    """Bounded by the validators, the slots of each, and the size of a frame."""

    validators: ValidatorSet
    _newest: dict[ConsensusKey, _Newest] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._newest = {validator.key: _Newest() for validator in self.validators.validators}

    def note(self, message: bytes, claims: Iterable[Claim]) -> None:
        """An engine's message and all that it claims, verified."""
        for claim in claims:
            newest = self._newest.get(claim.key)
            if newest is None or len(claim.slot) < 2 or len(message) > FRAME_BYTES_MAX:
                continue  # a finality statement within it has no slot, and comes by `note_statement`
            known = newest.messages.get(claim.slot)
            if known is None or len(message) < len(known):
                newest.messages[claim.slot] = message
                _shrink(newest.messages)
            by_round = claim.slot[1::-1] + claim.slot[2:]
            if newest.by_round is None or by_round > newest.by_round[0]:
                newest.by_round = (by_round, message)

    def note_statement(self, statement: FinalityStatement, signature: StatementSignature) -> None:
        """Verified."""
        newest = self._newest.get(signature.validator)
        if newest is not None and statement.height not in newest.statements:
            newest.statements[statement.height] = SignedStatement(statement, signature.signature)
            _shrink(newest.statements)

    def answer(self, params: Any, certificate: Certificate | None) -> Plain:
        """CodecError for parameters that are none; for a key that is no validator's there is nothing to tell."""
        newest = self._newest.get(from_plain(SeenRequest, params, METHOD).key, _Newest())
        return to_plain(
            SeenAnswer(
                certificate=certificate,
                statements=tuple(newest.statements[height] for height in sorted(newest.statements)[-SLOTS_MAX:]),
                messages=newest.answer_messages(),
            )
        )


def _shrink(kept: dict[Place, Any]) -> None:
    if len(kept) > SLOTS_HIGH_WATER:
        for oldest in sorted(kept)[:-SLOTS_MAX]:
            del kept[oldest]


def serve_seen(peers: Peers, seen: Seen, newest_certificate: Callable[[], Certificate | None]) -> None:
    """Answers `validator.seen`, to validators only: an answer may be large."""

    async def handler(_peer: NodeKey, params: Any) -> Plain:
        return seen.answer(params, newest_certificate())

    peers.serve(METHOD, handler, allow=_validators_only, max_params_bytes=256, concurrency_per_peer=1)


def _validators_only(_peer: NodeKey, standing: Standing) -> bool:
    return standing is Standing.VALIDATOR
