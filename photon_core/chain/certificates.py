"""Finality: who validates, what they sign of a block, and when enough of them did.

A certificate is worth its quorum: signatures over one finality statement by validators that together hold more than two
thirds of the power. It is the same whatever the consensus plugin, so light clients, sync and proofs know no engine.
"""

from __future__ import annotations

from typing import Final

from photon_core.api.chain import Certificate, FinalityStatement, StatementSignature, ValidatorSet
from photon_core.api.errors import CodecError
from photon_core.api.finality import check_certificate_form, claims_of, statement_message
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain.keys import KeyPurpose, SigningKey, verify_batch, verify_message

CERTIFICATE_BYTES_MAX: Final = 16_384
"""A statement and 128 signatures of some 100 bytes each, with room."""


def sign_statement(key: SigningKey, statement: FinalityStatement) -> StatementSignature:
    if key.purpose is not KeyPurpose.CONSENSUS:
        raise ValueError(f"a {key.purpose} key signs no finality statement: one key, one purpose")
    return StatementSignature(validator=key.public, signature=key.sign_message(statement_message(statement)))


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
