"""Ed25519 keys, signatures and addresses.

Which signatures are valid is a rule of the chain, and libraries differ on odd keys and points. So there is one verifier
in Photon, libsodium's `crypto_sign_open`, and it is called in this file only.

One key, one purpose: the purpose is kept with the key, and callers ask for the one they mean.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final

from attrs import field, frozen
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from photon_core.api.consensus import Claim
from photon_core.api.fields import ADDRESS_BYTES
from photon_core.api.hashing import Domain, digest, signed_message
from photon_core.api.ids import Address, Hash

SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = crypto_sign_BYTES
ADDRESSES_REMEMBERED: Final = 16_384
"""Of keys that sent something: most send again. Some 3 MB."""


class KeyPurpose(StrEnum):
    ACCOUNT = "account"
    """Holds and sends money."""
    CONSENSUS = "consensus"
    """A validator's vote; only its signer has it."""
    NODE = "node"
    """Who a node is on the transport."""
    PAYEE = "payee"
    """A provider's owner: registers it and is paid. May be offline."""
    OPERATOR = "operator"
    """A provider agent's hot key: bids, confirms, pays fees and collateral."""

    @property
    def has_account(self) -> bool:
        """Whether it may sign transactions."""
        return self in {KeyPurpose.ACCOUNT, KeyPurpose.PAYEE, KeyPurpose.OPERATOR}


@frozen(kw_only=True)
class SigningKey:
    """A secret key in memory. `repr` and errors show the public part only."""

    purpose: KeyPurpose
    public: bytes
    seed: bytes = field(repr=False)

    @property
    def address(self) -> Address:
        return address_of(self.public)

    def sign(self, domain: str, chain_id: Hash, payload: bytes) -> bytes:
        return self.sign_message(signed_message(domain, chain_id, payload))

    def sign_message(self, message: bytes) -> bytes:
        """Signs bytes that begin with a domain and chain id already, such as an engine's statements."""
        return crypto_sign(message, self.seed + self.public)[:SIGNATURE_BYTES]


def generate(purpose: KeyPurpose) -> SigningKey:
    return from_seed(secrets.token_bytes(SEED_BYTES), purpose)


def from_seed(seed: bytes, purpose: KeyPurpose) -> SigningKey:
    """ValueError unless `seed` has 32 bytes."""
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
    public, _ = crypto_sign_seed_keypair(seed)
    return SigningKey(purpose=purpose, public=public, seed=seed)


def public_key_of(seed: bytes) -> bytes:
    return from_seed(seed, KeyPurpose.ACCOUNT).public


def sign(seed: bytes, domain: str, chain_id: Hash, payload: bytes) -> bytes:
    """For callers that hold nothing but a seed; a `SigningKey` derives its public part once."""
    return from_seed(seed, KeyPurpose.ACCOUNT).sign(domain, chain_id, payload)


@lru_cache(ADDRESSES_REMEMBERED)
def address_of(public_key: bytes) -> Address:
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise ValueError(f"a public key has {PUBLIC_KEY_BYTES} bytes, not {len(public_key)}")
    return digest(Domain.ADDRESS, public_key)[:ADDRESS_BYTES]


def verify(public_key: bytes, domain: str, chain_id: Hash, payload: bytes, signature: bytes) -> bool:
    return verify_message(public_key, signed_message(domain, chain_id, payload), signature)


def verify_message(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """False for anything but libsodium's yes, whatever the lengths: the C code below would read past a short key."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except CryptoError:
        return False
    return True


def verify_batch(claims: Sequence[Claim]) -> list[bool]:
    """One answer per claim, in order. Pure; some 50 us each."""
    return [verify_message(claim.key, claim.message, claim.signature) for claim in claims]
