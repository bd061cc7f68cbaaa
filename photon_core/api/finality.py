"""The names and statements that validators sign: hashes of headers and sets, and the form of a certificate.

Pure values, the same for every engine and every client; signatures themselves are made and verified in
`photon_core.chain`.
"""

from __future__ import annotations

from itertools import pairwise

from .chain import Certificate, FinalityStatement, Header, ValidatorSet
from .codec import encode_record
from .consensus import Claim
from .errors import CodecError
from .hashing import Domain, digest, signed_message
from .ids import Hash


def block_hash(header: Header) -> Hash:
    return digest(Domain.BLOCK, encode_record(header))


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


def claims_of(certificate: Certificate) -> tuple[Claim, ...]:
    """What `verify_certificate` verifies, for callers that verify more at once."""
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


def _check_ascending(keys: list[bytes], where: str) -> None:
    for index, (before, after) in enumerate(pairwise(keys), 1):
        if before >= after:
            raise CodecError(f"{where}[{index}]", f"a key above {before.hex()} (ascending, each once)", after.hex())
