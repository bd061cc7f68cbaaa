"""Certificates: a quorum of this height's validators over one statement, and nothing else."""

from __future__ import annotations

import attrs
import pytest

from photon_core.api.chain import Certificate, FinalityStatement, StatementSignature, Validator, ValidatorSet
from photon_core.api.codec import decode_record, encode_record
from photon_core.api.errors import CodecError
from photon_core.api.finality import check_validator_set, claims_of, validators_hash
from photon_core.chain import keys
from photon_core.chain.certificates import CERTIFICATE_BYTES_MAX, CertificateBuilder, sign_statement, verify_certificate
from photon_core.chain.keys import KeyPurpose

CHAIN = bytes([7]) * 32
KEYS = sorted((keys.from_seed(bytes([n]) * 32, KeyPurpose.CONSENSUS) for n in range(1, 5)), key=lambda k: k.public)
VALIDATORS = ValidatorSet(validators=tuple(Validator(key=k.public, power=10) for k in KEYS))
STATEMENT = FinalityStatement(
    chain_id=CHAIN,
    height=5,
    block_hash=bytes(32),
    state_root=bytes(32),
    receipts_root=bytes(32),
    next_validators_hash=validators_hash(VALIDATORS),
)


def certificate(*signers: int, statement: FinalityStatement = STATEMENT) -> Certificate:
    return Certificate(statement=statement, signatures=tuple(sign_statement(KEYS[i], statement) for i in signers))


def test_three_of_four_equal_validators_are_a_quorum() -> None:
    verify_certificate(certificate(0, 2, 3), VALIDATORS, CHAIN)


def test_two_of_four_are_none_and_the_refusal_shows_both_powers() -> None:
    with pytest.raises(CodecError, match=r"signatures of 27 of the power \(40 in all\), found signatures of 20"):
        verify_certificate(certificate(0, 2), VALIDATORS, CHAIN)


def test_power_counts_and_heads_do_not() -> None:
    heavy = ValidatorSet(
        validators=tuple(Validator(key=k.public, power=p) for k, p in zip(KEYS, (97, 1, 1, 1), strict=True))
    )
    verify_certificate(certificate(0), heavy, CHAIN)
    with pytest.raises(CodecError, match="found signatures of 3"):
        verify_certificate(certificate(1, 2, 3), heavy, CHAIN)


@pytest.mark.parametrize("signers", [(2, 1, 0), (0, 0, 0), (0, 1, 1)])
def test_another_order_or_a_second_vote_of_one_validator_is_refused(signers: tuple[int, ...]) -> None:
    with pytest.raises(CodecError, match="ascending, each once"):
        verify_certificate(certificate(*signers), VALIDATORS, CHAIN)


def test_a_strangers_signature_is_refused_even_beside_a_quorum() -> None:
    three = ValidatorSet(validators=VALIDATORS.validators[:3])
    with pytest.raises(CodecError, match="this height's validators"):
        verify_certificate(certificate(0, 1, 2, 3), three, CHAIN)


def test_one_wrong_signature_spoils_the_certificate() -> None:
    good = certificate(0, 1, 2)
    forged = StatementSignature(validator=KEYS[2].public, signature=bytes(64))
    with pytest.raises(CodecError, match=f"an invalid one of {KEYS[2].public.hex()}"):
        verify_certificate(attrs.evolve(good, signatures=(*good.signatures[:2], forged)), VALIDATORS, CHAIN)


@pytest.mark.parametrize("part", ["height", "block_hash", "state_root", "receipts_root", "next_validators_hash"])
def test_signatures_cover_every_part_of_the_statement(part: str) -> None:
    other = attrs.evolve(STATEMENT, **{part: 6 if part == "height" else bytes([1]) * 32})
    with pytest.raises(CodecError, match="an invalid one"):
        verify_certificate(attrs.evolve(certificate(0, 1, 2), statement=other), VALIDATORS, CHAIN)


def test_a_certificate_of_another_chain_is_refused() -> None:
    other = attrs.evolve(STATEMENT, chain_id=bytes([8]) * 32)
    with pytest.raises(CodecError, match="this chain"):
        verify_certificate(certificate(0, 1, 2, statement=other), VALIDATORS, CHAIN)


def test_the_builder_counts_each_valid_vote_once() -> None:
    builder = CertificateBuilder(STATEMENT, VALIDATORS)
    votes = [sign_statement(key, STATEMENT) for key in KEYS]
    assert builder.add(votes[3])
    assert not builder.add(votes[3])
    assert not builder.add(attrs.evolve(votes[0], signature=bytes(64)))
    assert not builder.add(sign_statement(keys.generate(KeyPurpose.CONSENSUS), STATEMENT))
    assert builder.add(votes[1], verified=True)
    assert builder.certificate is None
    assert builder.power == 20
    assert builder.add(votes[0])
    assert builder.certificate is not None
    verify_certificate(builder.certificate, VALIDATORS, CHAIN)


def test_claims_are_what_a_verifier_checks() -> None:
    assert keys.verify_batch(claims_of(certificate(0, 1))) == [True, True]


def test_only_a_consensus_key_signs_statements() -> None:
    with pytest.raises(ValueError, match="one key, one purpose"):
        sign_statement(keys.generate(KeyPurpose.ACCOUNT), STATEMENT)


def test_a_set_has_one_order_and_one_hash() -> None:
    turned = ValidatorSet(validators=VALIDATORS.validators[::-1])
    with pytest.raises(CodecError, match="ascending"):
        check_validator_set(turned)
    with pytest.raises(CodecError, match="ascending"):
        validators_hash(turned)


def test_the_largest_certificate_fits_its_bound() -> None:
    vote = StatementSignature(validator=bytes(32), signature=bytes(64))
    data = encode_record(Certificate(statement=attrs.evolve(STATEMENT, height=2**64 - 1), signatures=(vote,) * 128))
    assert decode_record(Certificate, data, CERTIFICATE_BYTES_MAX).signatures[127] == vote
