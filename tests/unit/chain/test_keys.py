"""Keys: one purpose each, one verifier everywhere, nothing secret in what is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import photon_core
from photon_core.api.consensus import Claim
from photon_core.chain import keys
from photon_core.chain.keys import KeyPurpose

CHAIN = bytes(32)
KEY = keys.from_seed(bytes(range(32)), KeyPurpose.ACCOUNT)


def test_a_signature_holds_for_its_key_domain_chain_and_payload_only() -> None:
    signature = KEY.sign("d", CHAIN, b"pay")
    assert signature == keys.sign(KEY.seed, "d", CHAIN, b"pay")
    assert keys.verify(KEY.public, "d", CHAIN, b"pay", signature)
    assert not keys.verify(KEY.public, "e", CHAIN, b"pay", signature)
    assert not keys.verify(KEY.public, "d", bytes([1]) * 32, b"pay", signature)
    assert not keys.verify(KEY.public, "d", CHAIN, b"pax", signature)
    assert not keys.verify(keys.generate(KeyPurpose.ACCOUNT).public, "d", CHAIN, b"pay", signature)


@given(st.binary(max_size=70), st.binary(max_size=40), st.binary(max_size=100))
def test_garbage_of_any_length_is_no_signature(signature: bytes, key: bytes, message: bytes) -> None:
    assert keys.verify_message(key, message, signature) is False


SMALL_ORDER = [bytes(32), b"\x01" + bytes(31), bytes.fromhex("ec" + "ff" * 30 + "7f")]


@pytest.mark.parametrize("key", SMALL_ORDER, ids=bytes.hex)
def test_keys_and_points_of_small_order_sign_nothing(key: bytes) -> None:
    """Verifiers that multiply by the cofactor take these for a signature of every message. Libsodium does not."""
    for r in SMALL_ORDER:
        assert not keys.verify_message(key, b"anything", r + bytes(32))


def test_a_signature_cannot_be_changed_into_another_one() -> None:
    """S + L verifies in lax libraries: the same signature with a second id."""
    order = 2**252 + 27742317777372353535851937790883648493
    signature = KEY.sign("d", CHAIN, b"pay")
    s = int.from_bytes(signature[32:], "little") + order
    assert not keys.verify(KEY.public, "d", CHAIN, b"pay", signature[:32] + s.to_bytes(32, "little"))


def test_a_batch_answers_each_claim_in_order() -> None:
    message = keys.signed_message("d", CHAIN, b"pay")
    good = Claim(KEY.public, message, KEY.sign("d", CHAIN, b"pay"))
    bad = Claim(KEY.public, message, bytes(64))
    assert keys.verify_batch([good, bad, good]) == [True, False, True]


def test_rfc_8032_test_1() -> None:
    key = keys.from_seed(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"), KeyPurpose.NODE
    )
    assert key.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign_message(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")


def test_what_is_printed_has_no_secret() -> None:
    assert KEY.seed.hex() not in repr(KEY)
    assert repr(KEY.seed) not in repr(KEY)


def test_addresses_are_twenty_bytes_of_the_key() -> None:
    assert len(KEY.address) == 20
    assert KEY.address == keys.address_of(keys.public_key_of(KEY.seed))
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        keys.address_of(bytes(31))
    with pytest.raises(ValueError, match="32 bytes, not 33"):
        keys.from_seed(bytes(33), KeyPurpose.NODE)


def test_only_money_has_accounts() -> None:
    assert {p for p in KeyPurpose if p.has_account} == {KeyPurpose.ACCOUNT, KeyPurpose.PAYEE, KeyPurpose.OPERATOR}


def test_there_is_one_verifier_and_it_is_called_in_one_place() -> None:
    """What a valid signature is, is a rule of the chain: another library, or another function, could differ."""
    verifier = re.compile(r"crypto_sign_open|VerifyKey|verify_key\.verify|Ed25519PublicKey|ph_final_verify")
    package = Path(photon_core.__file__).parent
    users = {str(path.relative_to(package)) for path in package.rglob("*.py") if verifier.search(path.read_text())}
    assert users == {"chain/keys.py"}
