"""Transactions: what an account signs, and how its bytes become a record.

    transaction = [body, signature]                                              body is a byte string
    body        = [chain_id, sender_key, sequence, fee_uptn, expires_height, messages]
    message     = [tag, fields]                                                  opaque to this room

Signed and hashed are the received bytes of the body, never a re-encoding. The id covers signature and body together:
it names these bytes, so that whoever holds the id can judge an answer to "send me its body". Reading one checks its
form only; signatures are checked in batches by the node (`claim_of`), sequence, expiry and fee by the exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen

from photon_core.api.codec import decode, encode
from photon_core.api.consensus import Claim
from photon_core.api.errors import CodecError
from photon_core.api.fields import HASH_BYTES, U64_MAX
from photon_core.api.hashing import Domain, digest, signed_message
from photon_core.api.ids import Address, Hash
from photon_core.chain.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, KeyPurpose, address_of, from_seed

TRANSACTION_BYTES_MAX: Final = 65_536
"""What `photon_core.api.chain.Block` has room for per transaction, and a quarter of a transport frame."""
MESSAGES_MAX: Final = 64
"""Many messages under one signature are what makes Photon fast; more would let one transaction fill a block's time."""


@frozen(kw_only=True)
class Transaction:
    """A transaction whose form is right. `messages` are `[tag, fields]` lists, for the exchange to read."""

    raw: bytes
    id: Hash
    body: bytes
    signature: bytes
    chain_id: Hash
    sender_key: bytes
    sender: Address
    sequence: int
    fee_uptn: int
    expires_height: int
    messages: tuple[list[Any], ...]


def signing_bytes(chain_id: Hash, body: bytes) -> bytes:
    return signed_message(Domain.TRANSACTION, chain_id, body)


def transaction_id(body: bytes, signature: bytes) -> Hash:
    return digest(Domain.TRANSACTION_ID, signature, body)


def claim_of(transaction: Transaction) -> Claim:
    """What must be verified before the transaction is believed."""
    message = signing_bytes(transaction.chain_id, transaction.body)
    return Claim(transaction.sender_key, message, transaction.signature)


def build_transaction(
    secret: bytes,
    chain_id: Hash,
    sequence: int,
    fee_uptn: int,
    expires_height: int,
    messages: Sequence[list[Any]],
) -> bytes:
    """A transaction signed with the account's 32-byte seed; CodecError when it would be too large."""
    key = from_seed(secret, KeyPurpose.ACCOUNT)
    body = encode([chain_id, key.public, sequence, fee_uptn, expires_height, list(messages)])
    raw = encode([body, key.sign(Domain.TRANSACTION, chain_id, body)])
    decode_transaction(raw, chain_id)  # what we build, everybody can read
    return raw


def decode_transaction(raw: bytes, chain_id: Hash) -> Transaction:
    """The transaction in `raw`, form checked; CodecError names what is wrong and where."""
    envelope = _list(decode(raw, max_bytes=TRANSACTION_BYTES_MAX, where="transaction"), 2, "transaction")
    signature = _blob(envelope[1], SIGNATURE_BYTES, "transaction.signature")
    body = envelope[0]
    if type(body) is not bytes:
        raise CodecError("transaction.body", "a byte string", type(body).__name__)
    parts = _list(decode(body, max_bytes=TRANSACTION_BYTES_MAX, where="transaction.body"), 6, "transaction.body")
    if _blob(parts[0], HASH_BYTES, "transaction.body.chain_id") != chain_id:
        raise CodecError("transaction.body.chain_id", f"this chain, {chain_id.hex()}", parts[0].hex())
    sender_key = _blob(parts[1], PUBLIC_KEY_BYTES, "transaction.body.sender_key")
    return Transaction(
        raw=raw,
        id=transaction_id(body, signature),
        body=body,
        signature=signature,
        chain_id=chain_id,
        sender_key=sender_key,
        sender=address_of(sender_key),
        sequence=_uint(parts[2], "transaction.body.sequence"),
        fee_uptn=_uint(parts[3], "transaction.body.fee_uptn"),
        expires_height=_uint(parts[4], "transaction.body.expires_height"),
        messages=_messages(parts[5]),
    )


def _messages(value: Any) -> tuple[list[Any], ...]:
    where = "transaction.body.messages"
    if type(value) is not list or not 1 <= len(value) <= MESSAGES_MAX:
        found = f"list of {len(value)}" if type(value) is list else type(value).__name__
        raise CodecError(where, f"a list of 1 to {MESSAGES_MAX}", found)
    for index, message in enumerate(value):
        if type(message) is list and len(message) == 2 and type(message[0]) is int and type(message[1]) is list:
            continue
        found = ", ".join(type(part).__name__ for part in _list(message, 2, f"{where}[{index}]"))
        raise CodecError(f"{where}[{index}]", "[tag, fields]", f"[{found}]")
    return tuple(value)


def _list(value: Any, length: int, where: str) -> list[Any]:
    if type(value) is not list or len(value) != length:
        found = f"list of {len(value)}" if type(value) is list else type(value).__name__
        raise CodecError(where, f"a list of {length}", found)
    return value


def _blob(value: Any, length: int, where: str) -> bytes:
    if type(value) is not bytes or len(value) != length:
        found = f"{len(value)} bytes" if type(value) is bytes else type(value).__name__
        raise CodecError(where, f"{length} bytes", found)
    return value


def _uint(value: Any, where: str) -> int:
    if type(value) is not int or not 0 <= value <= U64_MAX:
        raise CodecError(where, f"an integer from 0 to {U64_MAX}", repr(value)[:80])
    return value
