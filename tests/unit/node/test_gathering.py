"""Finality statements: a quorum that says the same makes a certificate, and nothing less does."""

from __future__ import annotations

from attrs import evolve

from photon_core.api.chain import FinalityStatement, Validator, ValidatorSet
from photon_core.chain.certificates import sign_statement, verify_certificate
from photon_core.chain.keys import KeyPurpose, SigningKey, from_seed
from photon_core.node.gathering import HEIGHTS_AHEAD_MAX, Gathering

KEYS = sorted((from_seed(bytes([n]) * 32, KeyPurpose.CONSENSUS) for n in range(1, 5)), key=lambda key: key.public)
VALIDATORS = ValidatorSet(validators=tuple(Validator(key=key.public, power=1) for key in KEYS))
STATEMENT = FinalityStatement(
    chain_id=b"c" * 32,
    height=5,
    block_hash=b"b" * 32,
    state_root=b"s" * 32,
    receipts_root=b"r" * 32,
    next_validators_hash=b"v" * 32,
)
OTHER = evolve(STATEMENT, state_root=b"x" * 32)


def say(gathering: Gathering, key: SigningKey, statement: FinalityStatement = STATEMENT, head: int = 4) -> bool:
    """Whether it was evidence."""
    return gathering.add(statement, sign_statement(key, statement), head) is not None


def test_three_of_four_that_agree_make_a_certificate_that_verifies() -> None:
    gathering = Gathering(VALIDATORS)
    for key in KEYS[:2]:
        say(gathering, key)
    assert gathering.certificate(5) is None
    say(gathering, KEYS[3])
    certificate = gathering.certificate(5)
    assert certificate is not None
    verify_certificate(certificate, VALIDATORS, STATEMENT.chain_id)


def test_one_validator_counts_once_and_who_disagrees_not_at_all() -> None:
    gathering = Gathering(VALIDATORS)
    for _ in range(3):
        say(gathering, KEYS[0])
    say(gathering, KEYS[1], OTHER)
    say(gathering, KEYS[2])
    assert gathering.certificate(5) is None
    say(gathering, KEYS[3])
    certificate = gathering.certificate(5)
    assert certificate is not None
    assert certificate.statement == STATEMENT


def test_power_counts_and_not_heads() -> None:
    heavy = ValidatorSet(validators=tuple(Validator(key=key.public, power=7 if key is KEYS[0] else 1) for key in KEYS))
    gathering = Gathering(heavy)
    for key in KEYS[1:]:
        say(gathering, key)
    assert gathering.certificate(5) is None
    say(gathering, KEYS[0])
    assert gathering.certificate(5) is not None


def test_two_statements_of_one_validator_for_one_height_are_evidence() -> None:
    gathering = Gathering(VALIDATORS)
    assert not say(gathering, KEYS[0])
    assert not say(gathering, KEYS[0])
    evidence = gathering.add(OTHER, sign_statement(KEYS[0], OTHER), 4)
    assert evidence is not None
    assert evidence.first.key == evidence.second.key == KEYS[0].public
    assert evidence.first.message != evidence.second.message


def test_what_is_old_far_ahead_or_a_strangers_is_not_kept() -> None:
    gathering = Gathering(VALIDATORS)
    stranger = from_seed(b"\x99" * 32, KeyPurpose.CONSENSUS)
    for key in KEYS:
        say(gathering, key, head=5)
        say(gathering, key, evolve(STATEMENT, height=5 + HEIGHTS_AHEAD_MAX), head=4)
    say(gathering, stranger)
    assert gathering.certificate(5) is None
    assert gathering.certificate(5 + HEIGHTS_AHEAD_MAX) is None


def test_heights_below_the_head_are_dropped() -> None:
    gathering = Gathering(VALIDATORS)
    for key in KEYS:
        say(gathering, key)
    gathering.drop(5)
    assert gathering.certificate(5) is None
