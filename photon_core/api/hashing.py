"""Hashes, and every domain string of the chain in one place.

BLAKE2b-256 throughout. Whatever is hashed or signed begins with its domain, so that the bytes of one kind of thing can
never pass for those of another; parts are length-prefixed, so that moving a byte across a border changes the hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from hashlib import blake2b

from photon_core.api.fields import HASH_BYTES
from photon_core.api.ids import Hash

ZERO_HASH: Hash = bytes(HASH_BYTES)
"""Where a hash must stand and there is nothing to name: the parent of genesis."""

_HASH_LENGTH = HASH_BYTES.to_bytes(8, "big")


class Domain(StrEnum):
    """What is hashed or signed. A value never changes its meaning; a changed format gets a new one."""

    ADDRESS = "photon/address/1"
    GENESIS = "photon/genesis/1"
    TRANSACTION = "photon/transaction/1"
    """Signed by an account over a transaction's body."""
    TRANSACTION_ID = "photon/transaction-id/1"
    TRANSACTIONS = "photon/transactions/1"
    BLOCK = "photon/block/1"
    VALIDATORS = "photon/validators/1"
    FINALITY = "photon/finality/1"
    """Signed by a validator over a finality statement."""
    RECEIPTS = "photon/receipts/1"
    STATE_KEY = "photon/state-key/1"
    STATE_LEAF = "photon/state-leaf/1"
    STATE_LIST = "photon/state-list/1"
    STATE_BRANCH = "photon/state-branch/1"
    STATE_ENTRY = "photon/state-entry/1"
    STATE_NODE = "photon/state-node/1"
    STATE_ROOT = "photon/state-root/1"
    MANIFEST_SECTION = "photon/manifest-section/1"
    MANIFEST_VERSION = "photon/manifest-version/1"
    DELEGATION = "photon/delegation/1"
    """Signed by a tenant: a node key may ask for logs and status in its name."""
    PEER = "photon/peer/1"
    """Signed by a node or account key over a challenge of the other end of a link."""

    __hash__ = str.__hash__
    """Enum's own is written in Python, and every digest looks its prefix up by it."""


@cache
def domain_prefix(domain: str) -> bytes:
    """One byte of length, then the domain: no prefix is the beginning of another."""
    raw = domain.encode("ascii")
    if not 0 < len(raw) < 256:
        raise ValueError(f"a domain has 1 to 255 characters, not {len(raw)}")
    return bytes([len(raw)]) + raw


@cache
def _begun(domain: str) -> blake2b:
    """A hash that has taken the domain: a copy of it costs half of what making one does."""
    return blake2b(domain_prefix(domain), digest_size=HASH_BYTES)


def digest(domain: str, *parts: bytes) -> Hash:
    """BLAKE2b-256 of the domain and the parts, each with its length in 8 bytes."""
    hasher = _begun(domain).copy()
    for part in parts:
        hasher.update(len(part).to_bytes(8, "big") + part)
    return hasher.digest()


def signed_message(domain: str, chain_id: Hash, payload: bytes) -> bytes:
    """The bytes that are signed: no signature holds for another purpose or on another chain."""
    if len(chain_id) != HASH_BYTES:
        raise ValueError(f"a chain id has {HASH_BYTES} bytes, not {len(chain_id)}")
    return domain_prefix(domain) + chain_id + payload


def merkle_root(domain: str, leaves: Sequence[bytes]) -> Hash:
    """The root of a binary tree over `leaves`, in their order; a node without a sibling goes up as it is.

    Leaves, nodes and the root have domains of their own and the root covers the number of leaves, so that no list has
    the root of another one (without that, an odd node could be doubled: CVE-2012-2459).
    """
    leaf_domain, node_begun = f"{domain}/leaf", _begun(f"{domain}/node")

    def node(left: Hash, right: Hash) -> Hash:
        """As `digest` of both, at two thirds of its cost: a block has as many nodes as transactions."""
        hasher = node_begun.copy()
        hasher.update(_HASH_LENGTH + left + _HASH_LENGTH + right)
        return hasher.digest()

    level = [digest(leaf_domain, leaf) for leaf in leaves]
    while len(level) > 1:
        paired = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
    return digest(domain, len(leaves).to_bytes(8, "big"), *level)
