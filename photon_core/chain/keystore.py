"""Keys on disk: one JSON file each, encrypted with a passphrase.

The secret is sealed with XSalsa20-Poly1305 under a key that argon2id makes of passphrase and salt. Cost and salt stand
in the file, so that old files open when the defaults change. Name, purpose, public key and address are readable without
the passphrase; when the file is opened, purpose and public key are checked against what was sealed.

For backup a key is 24 words of BIP-39: they hold the seed itself, not a wallet's derivation of it.
"""

from __future__ import annotations

import json
import re
import secrets
import stat
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from mnemonic import Mnemonic
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox

from photon_core.api import bech32m
from photon_core.api.errors import PhotonError, UsageError
from photon_core.api.ids import Address
from photon_core.chain.files import write_atomically
from photon_core.chain.keys import SEED_BYTES, KeyPurpose, SigningKey, address_of, from_seed, generate

FORMAT: Final = 1
KEY_FILE_BYTES_MAX: Final = 16_384
WORDS: Final = 24
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_MODE: Final = 0o600
_RESTORE: Final = "Restore it from its words: photon key import."


class Cost(StrEnum):
    """What one try of a passphrase costs: 64 MiB and some 40 ms, or 256 MiB and some 300 ms."""

    INTERACTIVE = "interactive"
    MODERATE = "moderate"

    @property
    def limits(self) -> tuple[int, int]:
        """argon2id's passes and bytes."""
        if self is Cost.INTERACTIVE:
            return argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE
        return argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE


@frozen(kw_only=True)
class KeyInfo:
    """What can be read of a key without its passphrase."""

    name: str
    purpose: KeyPurpose
    public: bytes
    cost: Cost

    @property
    def address(self) -> Address:
        return address_of(self.public)


class Keystore:
    """The key files of a folder. Blocking, on purpose slow: unlock in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(
        self,
        name: str,
        purpose: KeyPurpose,
        passphrase: str,
        cost: Cost = Cost.MODERATE,
        words: str | None = None,
    ) -> SigningKey:
        """A new key, or that of `words`. PhotonError when the name is taken: a key is never overwritten."""
        path = self._path(name)
        if path.exists():
            raise UsageError(
                code="key-exists",
                what=f"there is a key named {name} already",
                where=str(path),
                remedy="Choose another name, or delete that key first.",
            )
        key = generate(purpose) if words is None else from_seed(seed_of(words), purpose)
        info = KeyInfo(name=name, purpose=purpose, public=key.public, cost=cost)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, _sealed(info, key.seed, passphrase), mode=_MODE)
        return key

    def unlock(self, name: str, passphrase: str) -> SigningKey:
        """PhotonError for a missing or damaged file, one that others may read, and a wrong passphrase."""
        path = self._path(name)
        info, body = self._read(path)
        seed = _opened(info, body, passphrase, path)
        key = from_seed(seed, info.purpose)
        if key.public != info.public:
            raise _damaged(path, "its secret belongs to another public key")
        return key

    def show(self, name: str) -> KeyInfo:
        return self._read(self._path(name))[0]

    def list(self) -> tuple[KeyInfo, ...]:
        """In order of names. PhotonError names the first file that is no key."""
        return tuple(self._read(path)[0] for path in sorted(self.folder.glob("*.json")))

    def delete(self, name: str) -> None:
        path = self._path(name)
        try:
            path.unlink()
        except FileNotFoundError:
            raise self._missing(path) from None

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UsageError(
                code="bad-key-name",
                what=f"{name[:80]!r} is no name for a key",
                expected="up to 63 of a-z 0-9 . _ -, the first a letter or digit",
            )
        return self.folder / f"{name}.json"

    def _missing(self, path: Path) -> PhotonError:
        names = ", ".join(sorted(p.stem for p in self.folder.glob("*.json"))) or "no keys"
        return UsageError(
            code="no-such-key",
            what=f"there is no key named {path.stem}",
            where=str(self.folder),
            found=names[:200],
            remedy=f"photon key create {path.stem}",
        )

    def _read(self, path: Path) -> tuple[KeyInfo, dict[str, Any]]:
        try:
            status = path.stat()
            if found := stat.S_IMODE(status.st_mode) & 0o077:
                raise PhotonError(
                    code="open-key-file",
                    what="others may read or change this key",
                    where=str(path),
                    expected="permissions 600",
                    found=f"{stat.S_IMODE(status.st_mode):o} ({found:03o} too much)",
                    remedy=f"chmod 600 {path}",
                )
            if status.st_size > KEY_FILE_BYTES_MAX:
                raise _damaged(path, f"it has {status.st_size} bytes")
            body = json.loads(path.read_bytes())
            return _info(body, path.stem), body
        except FileNotFoundError:
            raise self._missing(path) from None
        except OSError as error:
            raise PhotonError(
                code="unreadable-key",
                what=f"cannot be read: {error.strerror}",
                where=str(path),
                remedy=f"chmod 600 {path}, as its owner.",
            ) from error
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise _damaged(path, f"{type(error).__name__}: {error}"[:120]) from None


def words_of(key: SigningKey) -> str:
    """24 English words: whoever has them has the key."""
    return Mnemonic("english").to_mnemonic(key.seed)


def seed_of(words: str) -> bytes:
    """The reverse; UsageError says what is wrong with the words, and never repeats them."""
    given = words.lower().split()
    mnemonic = Mnemonic("english")
    known = set(mnemonic.wordlist)
    if len(given) != WORDS:
        raise UsageError(
            code="bad-words", what="these are not a key's words", expected=f"{WORDS} words", found=f"{len(given)}"
        )
    if unknown := [str(at) for at, word in enumerate(given, 1) if word not in known]:
        raise UsageError(
            code="bad-words",
            what=f"not in the list of BIP-39: word {', '.join(unknown)}",
            remedy="Look for a typing mistake there.",
        )
    try:
        seed = bytes(mnemonic.to_entropy(given))
    except ValueError:
        raise UsageError(
            code="bad-words", what="the words' checksum is wrong", remedy="One word is wrong, or two are exchanged."
        ) from None
    assert len(seed) == SEED_BYTES
    return seed


# --- the file --------------------------------------------------------------------------------------------------------


def _box(passphrase: str, salt: bytes, cost: Cost) -> SecretBox:
    passes, memory_bytes = cost.limits
    try:
        return SecretBox(argon2id.kdf(SecretBox.KEY_SIZE, passphrase.encode(), salt, passes, memory_bytes))
    except RuntimeError as error:  # PyNaCl's, which is a CryptoError too, as a wrong passphrase is
        raise PhotonError(
            code="no-memory",
            what="the passphrase could not be stretched",
            expected=f"{memory_bytes // 2**20} MiB of free memory, for a moment",
            found=str(error),
            remedy="Free memory or raise this process's limit, then try again.",
        ) from None


def _readable(info: KeyInfo) -> dict[str, Any]:
    return {
        "photon_key": FORMAT,
        "name": info.name,
        "purpose": info.purpose.value,
        "address": bech32m.encode_address(info.address),
        "public_key": info.public.hex(),
        "kdf": "argon2id",
        "cost": info.cost.value,
        "cipher": "xsalsa20-poly1305",
    }


def _sealed(info: KeyInfo, seed: bytes, passphrase: str) -> bytes:
    salt = secrets.token_bytes(argon2id.SALTBYTES)
    secret = bytes(_box(passphrase, salt, info.cost).encrypt(seed + info.purpose.encode()))
    body = _readable(info) | {"salt": salt.hex(), "secret": secret.hex()}
    return json.dumps(body, indent=2).encode() + b"\n"


def _opened(info: KeyInfo, body: dict[str, Any], passphrase: str, path: Path) -> bytes:
    try:
        salt, secret = bytes.fromhex(body["salt"]), bytes.fromhex(body["secret"])
        opened = _box(passphrase, salt, info.cost).decrypt(secret)
    except CryptoError:
        raise PhotonError(
            code="wrong-passphrase",
            what=f"the passphrase does not open the key {info.name}",
            where=str(path),
            remedy=f"Try again. If it is lost: {_RESTORE}",
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, str(error)[:120]) from None
    if opened[SEED_BYTES:] != info.purpose.encode():
        raise _damaged(path, f"its purpose is said to be {info.purpose}, and was another when it was made")
    return opened[:SEED_BYTES]


def _info(body: dict[str, Any], name: str) -> KeyInfo:
    """ValueError, TypeError or KeyError for what is no key file."""
    if body["photon_key"] != FORMAT:
        raise ValueError(f"format {body['photon_key']!r}, this Photon knows {FORMAT}")
    if body["name"] != name:
        raise ValueError(f"the key in it is named {str(body['name'])[:64]}")
    info = KeyInfo(
        name=name,
        purpose=KeyPurpose(body["purpose"]),
        public=bytes.fromhex(body["public_key"]),
        cost=Cost(body["cost"]),
    )
    if {key: body[key] for key in _readable(info)} != _readable(info):
        raise ValueError("its parts contradict each other")
    return info


def _damaged(path: Path, found: str) -> PhotonError:
    return PhotonError(
        code="bad-key-file", what="is no key file, or a damaged one", where=str(path), found=found, remedy=_RESTORE
    )
