"""The folder of a signer: made together with its key, and refused when it is missing, another's, or damaged.

signer/identity.json   whose memory this is: for people, and for the checks at start
signer/wal.log         the memory; never empty, so that a log which was lost is told from a new one
signer/lock            one process at a time

A folder says nothing about what it does not know: one that was restored from a copy is whole, and old. That is the
start-up rule's to find out, which asks the other validators.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from photon_core.api.errors import PhotonError
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain.files import write_atomically
from photon_core.chain.keys import KeyPurpose, SigningKey

from .memory import LogMemory, Record, SignedSlot, Standing, encode_entry, kept_until

SIGNER_FOLDER: Final = "signer"
"""Below a validator's home."""
IDENTITY_FILE: Final = "identity.json"
FORMAT: Final = 1
IDENTITY_BYTES_MAX: Final = 4_096
RECOVER: Final = (
    "never copy or restore a signer's folder. Make a new validator with a new key (`photon validator init`), or read "
    "docs/operations.md and let `photon validator recover` make a new store for this key"
)


@frozen(kw_only=True)
class Identity:
    """`chain_id` is empty until the first start."""

    key: ConsensusKey
    chain_id: bytes = b""


def make_signer_store(folder: Path, key: SigningKey) -> None:
    """The store of a new key, which has signed nothing. PhotonError when there is a store already."""
    _require_consensus_key(key, folder)
    write_store(folder, Standing(key=key.public))


def write_store(folder: Path, standing: Standing, slots: Sequence[SignedSlot] = (), chain_id: bytes = b"") -> None:
    """A store that begins with this. PhotonError when there is one already."""
    if (folder / IDENTITY_FILE).exists():
        raise PhotonError(
            code="exists",
            what="there is a signer's store here already",
            where=str(folder),
            remedy="Never make it anew: it knows what was signed.",
        )
    memory = LogMemory(folder)
    try:
        records: list[Record] = [standing, *slots]
        memory.append([encode_entry(record) for record in records], kept_until(records))
        _write_identity(folder, Identity(key=standing.key, chain_id=chain_id))  # last: until then it is no store
    finally:
        memory.close()


def open_signer_store(folder: Path, key: SigningKey, chain_id: Hash) -> LogMemory:
    """The memory of `key`, which belongs to this chain from its first start on. PhotonError says what is wrong."""
    identity = require_signer_store(folder, key, chain_id)
    memory = _open_log(folder)
    try:
        if not memory.read_all():
            raise damaged(folder, "its log is empty, and a store's never is")
        if not identity.chain_id:
            _write_identity(folder, evolve(identity, chain_id=chain_id))
    except BaseException:
        memory.close()
        raise
    return memory


def require_signer_store(folder: Path, key: SigningKey, chain_id: Hash) -> Identity:
    """Whose store it is. PhotonError when there is none, or it is another key's or chain's. Nothing is changed."""
    _require_consensus_key(key, folder)
    if not (folder / IDENTITY_FILE).exists():
        raise PhotonError(
            code="signer-store-missing",
            what="the consensus key has no store beside it: what it has signed is not known",
            where=str(folder),
            expected=IDENTITY_FILE,
            remedy=f"Put back nothing; {RECOVER}.",
        )
    identity = read_identity(folder)
    _check(identity, folder, key, chain_id)
    return identity


def has_joined(folder: Path) -> bool:
    """Whether it was opened for a chain before, so that its key may have signed. False where there is no store."""
    return (folder / IDENTITY_FILE).exists() and bool(read_identity(folder).chain_id)


def read_identity(folder: Path) -> Identity:
    """PhotonError when the file is not what `make_signer_store` writes."""
    path = folder / IDENTITY_FILE
    try:
        with path.open("rb") as file:
            body = json.loads(file.read(IDENTITY_BYTES_MAX))
        if body["format"] != FORMAT:
            raise ValueError(f"format {FORMAT} expected, {body['format']!r} found")
        identity = Identity(key=bytes.fromhex(body["consensus_key"]), chain_id=bytes.fromhex(body["chain_id"]))
        if len(identity.key) != 32 or len(identity.chain_id) not in {0, 32}:
            raise ValueError("a key and a chain id have 32 bytes")
    except KeyError as error:
        raise damaged(folder, f"{IDENTITY_FILE} cannot be read: no field {error}") from None
    except (OSError, ValueError, TypeError) as error:
        raise damaged(folder, f"{IDENTITY_FILE} cannot be read: {error}") from None
    return identity


def damaged(folder: Path, why: str) -> PhotonError:
    return PhotonError(
        code="signer-store-damaged",
        what=f"this signer's store is damaged: {why}",
        where=str(folder),
        remedy=f"Never go on with a part of it; {RECOVER}.",
    )


def _open_log(folder: Path) -> LogMemory:
    try:
        return LogMemory(folder)
    except PhotonError as error:
        if error.code != "corrupt-folder":
            raise
        raise damaged(folder, error.what) from error


def _check(identity: Identity, folder: Path, key: SigningKey, chain_id: Hash) -> None:
    if identity.key != key.public:
        raise PhotonError(
            code="signer-store-of-another-key",
            what="this store remembers what another key has signed",
            where=str(folder),
            expected=f"the store of {key.public.hex()}",
            found=f"that of {identity.key.hex()}",
            remedy=f"Put the key beside its own store; {RECOVER}.",
        )
    if identity.chain_id not in {b"", chain_id}:
        raise PhotonError(
            code="signer-store-of-another-chain",
            what="this store remembers what was signed on another chain",
            where=str(folder),
            expected=f"chain {chain_id.hex()}",
            found=f"chain {identity.chain_id.hex()}",
            remedy="Use the genesis of that chain, or make a validator of its own for this one with "
            "`photon validator init`: one key votes on one chain.",
        )


def _require_consensus_key(key: SigningKey, folder: Path) -> None:
    if key.purpose is not KeyPurpose.CONSENSUS:
        raise PhotonError(
            code="wrong-key-purpose",
            what="a validator signs with a consensus key only",
            where=str(folder),
            expected=str(KeyPurpose.CONSENSUS),
            found=str(key.purpose),
            remedy="Make the key with `photon validator init`: one key, one purpose.",
        )


def _write_identity(folder: Path, identity: Identity) -> None:
    body = {"format": FORMAT, "consensus_key": identity.key.hex(), "chain_id": identity.chain_id.hex()}
    write_atomically(folder / IDENTITY_FILE, (json.dumps(body, indent=2) + "\n").encode())
