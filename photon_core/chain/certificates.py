"""Finality: who validates, what they sign of a block, and when enough of them did.

A certificate is worth its quorum: signatures over one finality statement by validators that together hold more than two
thirds of the power. It is the same whatever the consensus plugin, so light clients, sync and proofs know no engine.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from photon_core.api.chain import Certificate, FinalityStatement, StatementSignature, ValidatorSet
from photon_core.api.consensus import Claim
from photon_core.api.errors import CodecError
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain.codec import encode_record
from photon_core.chain.hashing import Domain, digest
from photon_core.chain.keys import KeyPurpose, SigningKey, signed_message, verify_batch, verify_message

CERTIFICATE_BYTES_MAX: Final = 16_384
"""A statement and 128 signatures of some 100 bytes each, with room."""


def validators_hash(validators: ValidatorSet) -> Hash:
    """CodecError unless the set is in its one order."""
    check_validator_set(validators)
    return digest(Domain.VALIDATORS, encode_record(validators))


def check_validator_set(validators: ValidatorSet) -> None:
    """CodecError unless the keys ascend, each once: one set has one hash."""
    _check_ascending([v.key for v in validators.validators], "validators")


def statement_message(statement: FinalityStatement) -> bytes:
    """What a validator signs."""
    return signed_message(Domain.FINALITY, statement.chain_id, encode_record(statement))


def sign_statement(key: SigningKey, statement: FinalityStatement) -> StatementSignature:
    if key.purpose is not KeyPurpose.CONSENSUS:
        raise ValueError(f"a {key.purpose} key signs no finality statement: one key, one purpose")
    return StatementSignature(validator=key.public, signature=key.sign_message(statement_message(statement)))


def claims_of(certificate: Certificate) -> tuple[Claim, ...]:
    """What `verify_certificate` verifies, for callers that spread it over threads."""
    message = statement_message(certificate.statement)
    return tuple(Claim(s.validator, message, s.signature) for s in certificate.signatures)


def check_certificate_form(certificate: Certificate, validators: ValidatorSet, chain_id: Hash) -> None:
    """All but the signatures: this chain, canonical order, known validators, a quorum. CodecError otherwise."""
    found_chain = certificate.statement.chain_id
    if found_chain != chain_id:
        raise CodecError("certificate.statement.chain_id", f"this chain, {chain_id.hex()}", found_chain.hex())
    signers = [s.validator for s in certificate.signatures]
    _check_ascending(signers, "certificate.signatures")
    powers = {v.key: v.power for v in validators.validators}
    if stranger := next((key for key in signers if key not in powers), None):
        raise CodecError("certificate.signatures", "signatures of this height's validators", f"one of {stranger.hex()}")
    power = sum(powers[key] for key in signers)
    if power < validators.quorum_power:
        raise CodecError(
            "certificate",
            f"signatures of {validators.quorum_power} of the power ({validators.total_power} in all)",
            f"signatures of {power}",
        )


def verify_certificate(certificate: Certificate, validators: ValidatorSet, chain_id: Hash) -> None:
    """CodecError, with what was found and what was needed, unless `validators` finalised the statement."""
    check_certificate_form(certificate, validators, chain_id)
    claims = claims_of(certificate)
    for claim, valid in zip(claims, verify_batch(claims), strict=True):
        if not valid:
            raise CodecError("certificate.signatures", "valid signatures", f"an invalid one of {claim.key.hex()}")


class CertificateBuilder:
    """Collects signatures over one statement until a quorum signed it."""

    def __init__(self, statement: FinalityStatement, validators: ValidatorSet) -> None:
        self.statement = statement
        self._validators = validators
        self._message = statement_message(statement)
        self._signatures: dict[ConsensusKey, StatementSignature] = {}
        self.power = 0

    def add(self, signature: StatementSignature, *, verified: bool = False) -> bool:
        """Whether it counts: of a validator, valid, and its first. `verified` says the caller checked it already."""
        power = self._validators.power_of(signature.validator)
        if power == 0 or signature.validator in self._signatures:
            return False
        if not verified and not verify_message(signature.validator, self._message, signature.signature):
            return False
        self._signatures[signature.validator] = signature
        self.power += power
        return True

    @property
    def certificate(self) -> Certificate | None:
        """None until the signatures hold a quorum of the power."""
        if self.power < self._validators.quorum_power:
            return None
        ordered = tuple(self._signatures[key] for key in sorted(self._signatures))
        return Certificate(statement=self.statement, signatures=ordered)


def _check_ascending(keys: list[bytes], where: str) -> None:
    for index, (before, after) in enumerate(pairwise(keys), 1):
        if before >= after:
            raise CodecError(f"{where}[{index}]", f"a key above {before.hex()} (ascending, each once)", after.hex())
