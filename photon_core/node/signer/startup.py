"""The start-up rule: does this validator's store know all that its key has signed?

Theory of operation
-------------------
A store that was restored from a copy, or whose disk lost what it had synced, is whole to look at. What it has forgotten
it could sign again, differently. Only the others can tell: a signature that nobody has ever got is harmless, and one
that somebody has is somewhere among the validators. So at every start all others are asked for the newest that they
have seen under this key, and for their newest certificate, and nothing is signed until those who have answered hold a
quorum of the power, this one included.

Nobody is believed on his word. A certificate must hold by its own signatures. A signature of this key must be one;
which slot it is of, is what this node's own engine reads out of the message, and the height of a statement stands in
it. So a liar can hide what it has seen, and that is why a quorum is asked; but it cannot invent anything, nor show an
old signature for a new one.

    unknown = signatures of this key, above the mark, which the store does not hold
    none                     → the store is as new as it can be known to be
    one above `doubts_until` → the store is old: abstain up to the highest certificate + 2 windows

Why that height: no honest validator signs more than a window past the newest certificate, and of a quorum that answers
somebody honest has one that is at most a window older than the newest of all. Unknown signatures are entered into the
store, whatever it is; and the greatest round among them closes all lower ones, since an old store does not know either
which rounds it has promised to leave.

Answers that come after the quorum count as well: they can make the signer abstain, and never make it speak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, frozen

from photon_core.api.chain import Certificate, ValidatorSet
from photon_core.api.consensus import IN_FLIGHT_MAX, Claim, Slot
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.finality import statement_message
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain.certificates import verify_certificate
from photon_core.chain.keys import verify_message

from .seen import SeenAnswer, decode_answer
from .signer import ENGINE, Signer, digest_of, engine_slot, statement_slot

Inspect = Callable[[bytes], tuple[Claim, ...]]
"""`photon_core.api.consensus.Engine.inspect`."""


@frozen(kw_only=True)
class Decision:
    """What the answers so far mean. `abstains_until` 0: nothing shows that the store is old."""

    certified_height: int
    unknown: Mapping[Slot, Hash]
    abstains_until: int
    round_floor: int


@define(kw_only=True)
class StartupRule:
    """One start of one validator. Blocking only as far as verifying signatures takes time; callers take turns."""

    signer: Signer
    validators: ValidatorSet
    chain_id: Hash
    inspect: Inspect
    own_certificate: Certificate | None
    """The newest that this node has, and has verified. One that this key signed and the store does not know is proof
    enough, without asking anybody."""
    window: int = IN_FLIGHT_MAX
    _answered: dict[ConsensusKey, None] = field(factory=dict)
    _certified_height: int = 0
    _unknown: dict[Slot, Hash] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._answered[self.signer.public] = None
        if self.own_certificate is not None:
            self._certified_height = self.own_certificate.statement.height
            self._look_for_own(self.own_certificate)

    @property
    def waits_for(self) -> tuple[ConsensusKey, ...]:
        """Those who have not answered, in the set's order."""
        return tuple(v.key for v in self.validators.validators if v.key not in self._answered)

    @property
    def power_answered(self) -> int:
        return sum(self.validators.power_of(key) for key in self._answered)

    @property
    def decision(self) -> Decision | None:
        """None until a quorum has answered. It may become stricter with a later answer."""
        if self.power_answered < self.validators.quorum_power:
            return None
        news = any(slot[0] > self.signer.doubts_until for slot in self._unknown)
        return Decision(
            certified_height=self._certified_height,
            unknown=dict(self._unknown),
            abstains_until=self._certified_height + 2 * self.window if news else 0,
            round_floor=max((slot[2] for slot in self._unknown if slot[1] == ENGINE), default=0),
        )

    def answered(self, validator: ConsensusKey, plain: Any) -> None:
        """What the node of `validator` said. PeerProtocolError when it is not true: then it has not answered."""
        if validator in self._answered or not self.validators.power_of(validator):
            return
        answer = decode_answer(plain)
        found = [*self._statements(answer), *self._messages(answer)]
        self._take_certificate(answer.certificate)
        for slot, digest in found:
            self._compare(slot, digest)
        self._answered[validator] = None

    # --- what is shown ------------------------------------------------------------------------------------------

    def _take_certificate(self, certificate: Certificate | None) -> None:
        if certificate is None or certificate.statement.height <= self._certified_height:
            return  # the signatures in an older one are of no more use than its height
        try:
            verify_certificate(certificate, self.validators, self.chain_id)
        except CodecError as error:
            raise PeerProtocolError(f"validator.seen: a certificate that does not hold: {error}") from None
        self._certified_height = certificate.statement.height
        self._look_for_own(certificate)

    def _look_for_own(self, certificate: Certificate) -> None:
        """In a certificate that holds."""
        statement = certificate.statement
        if any(signed.validator == self.signer.public for signed in certificate.signatures):
            self._compare(statement_slot(statement.height), digest_of(statement_message(statement)))

    def _statements(self, answer: SeenAnswer) -> list[tuple[Slot, Hash]]:
        found: list[tuple[Slot, Hash]] = []
        for signed in answer.statements:
            statement, message = signed.statement, statement_message(signed.statement)
            if statement.chain_id != self.chain_id:
                raise PeerProtocolError("validator.seen: a finality statement of another chain")
            self._require_own(message, signed.signature)
            found.append((statement_slot(statement.height), digest_of(message)))
        return found

    def _messages(self, answer: SeenAnswer) -> list[tuple[Slot, Hash]]:
        found: list[tuple[Slot, Hash]] = []
        for message in answer.messages:
            own = [claim for claim in self._read(message) if claim.key == self.signer.public and claim.slot]
            if not own:
                raise PeerProtocolError("validator.seen: a message in which nothing is said of the key asked for")
            for claim in own:
                self._require_own(claim.message, claim.signature)
                found.append((engine_slot(claim.slot), digest_of(claim.message)))
        return found

    def _read(self, message: bytes) -> tuple[Claim, ...]:
        try:
            return self.inspect(message)
        except PeerProtocolError:
            raise
        except Exception as error:  # a plugin's fault, which a peer can reach, is not the end of this node
            raise PeerProtocolError(f"validator.seen: a message that the engine cannot read: {error!r}") from error

    def _require_own(self, message: bytes, signature: bytes) -> None:
        if not verify_message(self.signer.public, message, signature):
            raise PeerProtocolError("validator.seen: a signature that is not of the key asked for")

    def _compare(self, slot: Slot, digest: Hash) -> None:
        if not self.signer.holds(slot, digest):
            self._unknown[slot] = digest
