"""What this node has seen of each validator's signatures, for that validator to ask about when it starts anew.

Kept is the newest only: the finality statement of the greatest height, and the messages with its statement in the
greatest slot and in the greatest round. A message is kept whole, because only the engine can say which slot a signed
statement is of: whoever asks lets its own engine read it and believes no peer's word.

`validator.seen`: `[key]` → `[certificate?, [statement, signature]?, [message…]]`, see `docs/formats.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from attrs import define, field, frozen

from photon_core.api import fields
from photon_core.api.chain import SIGNATURE_BYTES, Certificate, FinalityStatement, StatementSignature, ValidatorSet
from photon_core.api.consensus import Claim, Slot
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.fields import Plain, from_plain, to_plain
from photon_core.api.ids import ConsensusKey, NodeKey
from photon_core.api.transport import FRAME_BYTES_MAX, Standing
from photon_core.peers.requests import Peers

METHOD: Final = "validator.seen"
MESSAGES_MAX: Final = 2
"""That of the greatest slot, and that of the greatest round."""
ANSWER_BYTES_MAX: Final = MESSAGES_MAX * FRAME_BYTES_MAX + 64 * 1024
"""Messages of a frame each, and room for a statement and a certificate of 128 signatures."""


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
    statement: SignedStatement | None = fields.optional(fields.record_form(SignedStatement))
    messages: tuple[bytes, ...] = fields.listof(fields.blob_form(maximum=FRAME_BYTES_MAX), MESSAGES_MAX)


def decode_answer(plain: Any) -> SeenAnswer:
    """PeerProtocolError for what is none: form only, nothing in it is verified."""
    try:
        return from_plain(SeenAnswer, plain, METHOD)
    except CodecError as error:
        raise PeerProtocolError(str(error)) from None


@define
class _Newest:
    statement: SignedStatement | None = None
    by_slot: tuple[Slot, bytes] | None = None
    by_round: tuple[Slot, bytes] | None = None
    """Here the slot begins with the round."""


@define
class Seen:
    """Bounded by the validators: of each, a statement and two messages, which are often the same."""

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
            if newest.by_slot is None or claim.slot > newest.by_slot[0]:
                newest.by_slot = (claim.slot, message)
            by_round = claim.slot[1::-1] + claim.slot[2:]
            if newest.by_round is None or by_round > newest.by_round[0]:
                newest.by_round = (by_round, message)

    def note_statement(self, statement: FinalityStatement, signature: StatementSignature) -> None:
        """Verified."""
        newest = self._newest.get(signature.validator)
        if newest is None:
            return
        if newest.statement is None or statement.height > newest.statement.statement.height:
            newest.statement = SignedStatement(statement, signature.signature)

    def answer(self, params: Any, certificate: Certificate | None) -> Plain:
        """CodecError for parameters that are none; for a key that is no validator's there is nothing to tell."""
        newest = self._newest.get(from_plain(SeenRequest, params, METHOD).key, _Newest())
        found = [one[1] for one in (newest.by_slot, newest.by_round) if one is not None]
        return to_plain(
            SeenAnswer(certificate=certificate, statement=newest.statement, messages=tuple(dict.fromkeys(found)))
        )


def serve_seen(peers: Peers, seen: Seen, newest_certificate: Callable[[], Certificate | None]) -> None:
    """Answers `validator.seen`, to validators only: an answer may be large."""

    async def handler(_peer: NodeKey, params: Any) -> Plain:
        return seen.answer(params, newest_certificate())

    peers.serve(METHOD, handler, allow=_validators_only, max_params_bytes=256, concurrency_per_peer=1)


def _validators_only(_peer: NodeKey, standing: Standing) -> bool:
    return standing is Standing.VALIDATOR
