"""The state tree: one hash over every record, cheap to change in batches, with proofs of presence and absence.

A record's key is hashed; the first `depth` bits choose one of 2^depth buckets (`state_bucket`), above which stands a
flat 16-ary Merkle tree. The tree keeps hashes only, 64 bytes per record and one flat array per level, never keys or
values: those are in the state store, from a scan of which the tree is built at start.

What the root covers, each with a domain of its own:

    root   = H(depth, top node)            node  = H(its 16 children), zero when all are zero
    bucket = H(sorted entries), or the trie over them when there are more than 32; zero when empty
    entry  = H(key) || H(key, value)       the full key, so that no two keys share a record's hash

Not safe for threads: whoever updates in one must not prove in another meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

from photon_core.api import fields
from photon_core.api.fields import HASH_BYTES
from photon_core.api.hashing import ZERO_HASH, Domain, digest
from photon_core.api.ids import Hash
from photon_core.chain.state_bucket import (
    EMPTY,
    ENTRY_BYTES,
    LIST_MAX,
    Branch,
    Bucket,
    Change,
    bit_at,
    branch_hash,
    bucket_hash,
    count_of,
    entries_of,
    entry_hash,
    key_of,
    list_hash,
    make_bucket,
    trie_path,
    update_bucket,
)

BITS_PER_LEVEL: Final = 4
FANOUT: Final = 1 << BITS_PER_LEVEL
NODE_BYTES: Final = FANOUT * HASH_BYTES
LEVELS_MAX: Final = 5
"""Of 20 bits; 16 have four."""
_EMPTY_NODE: Final = bytes(NODE_BYTES)


@frozen(kw_only=True)
class TrieStep:
    """A branch on the way to an entry: its bit, and the hash of the side not taken."""

    bit: int = fields.uint(8 * HASH_BYTES - 1)
    sibling: Hash = fields.hash32()


@frozen(kw_only=True)
class StateProof:
    """`entries`: a bucket's whole list, or (when `path` is not empty) the one entry at which the key's bits arrive.

    `siblings`: per level, from the buckets up, the 15 other children of the node above, in order.
    """

    siblings: tuple[bytes, ...] = fields.listof(fields.blob_form(NODE_BYTES - HASH_BYTES), LEVELS_MAX, 1)
    path: tuple[TrieStep, ...] = fields.listof(fields.record_form(TrieStep), 8 * HASH_BYTES)
    entries: bytes = fields.blob(maximum=LIST_MAX * ENTRY_BYTES)


class StateTree:
    """`depth` is genesis' `state_depth`. `root` is that of the last `update` or `build`."""

    def __init__(self, depth: int) -> None:
        if depth % BITS_PER_LEVEL or not 0 < depth <= LEVELS_MAX * BITS_PER_LEVEL:
            raise ValueError(f"depth is a multiple of {BITS_PER_LEVEL}, at most 20, not {depth}")
        self.depth = depth
        self._buckets: list[Bucket] = [EMPTY] * (1 << depth)
        # _levels[0] is the top node's 16 children, the last one every bucket's hash
        self._levels = [bytearray(HASH_BYTES << bits) for bits in range(BITS_PER_LEVEL, depth + 1, BITS_PER_LEVEL)]
        self.root = _root_hash(depth, ZERO_HASH)

    @classmethod
    def build(cls, depth: int, records: Iterable[tuple[bytes, bytes]]) -> StateTree:
        """The tree over (key, value) records, each key once; much quicker than updates."""
        tree = cls(depth)
        found: dict[int, list[bytes]] = {}
        for key, value in records:
            key_hash = hash_key(key)
            found.setdefault(_bucket_index(key_hash, depth), []).append(key_hash + hash_record(key, value))
        for index, entries in found.items():
            tree._buckets[index] = make_bucket(entries)
        tree._rehash(found)
        return tree

    def __len__(self) -> int:
        return sum(map(count_of, self._buckets))

    def update(self, changes: Sequence[tuple[bytes, bytes | None]]) -> Hash:
        """The root after these (key, value) changes, in order; None removes. All of a block at once is cheapest."""
        by_bucket: dict[int, list[Change]] = {}
        for key, value in changes:
            key_hash = hash_key(key)
            change = (key_hash, None if value is None else hash_record(key, value))
            by_bucket.setdefault(_bucket_index(key_hash, self.depth), []).append(change)
        for index, bucket_changes in by_bucket.items():
            self._buckets[index] = update_bucket(self._buckets[index], bucket_changes)
        self._rehash(by_bucket)
        return self.root

    def prove(self, key: bytes) -> StateProof:
        """What convinces `verify_proof` of this key's value, or of its absence, under the present root."""
        key_hash = hash_key(key)
        index = _bucket_index(key_hash, self.depth)
        bucket = self._buckets[index]
        path: tuple[TrieStep, ...] = ()
        if isinstance(bucket, Branch):
            steps, bucket = trie_path(bucket, key_hash)
            path = tuple(TrieStep(bit=bit, sibling=sibling) for bit, sibling in steps)
        siblings = []
        for level in reversed(self._levels):
            start = index // FANOUT * NODE_BYTES
            own = index * HASH_BYTES
            siblings.append(bytes(level[start:own] + level[own + HASH_BYTES : start + NODE_BYTES]))
            index //= FANOUT
        return StateProof(siblings=tuple(siblings), path=path, entries=bucket)

    def _rehash(self, changed: Iterable[int]) -> None:
        """New hashes from these buckets up to the root; each node once."""
        level = self._levels[-1]
        for index in changed:
            level[index * HASH_BYTES : (index + 1) * HASH_BYTES] = bucket_hash(self._buckets[index])
        nodes = dict.fromkeys(index // FANOUT for index in changed)
        for above, level in zip(self._levels[-2::-1], self._levels[:0:-1], strict=True):
            for index in nodes:
                children = bytes(level[index * NODE_BYTES : (index + 1) * NODE_BYTES])
                above[index * HASH_BYTES : (index + 1) * HASH_BYTES] = _node_hash(children)
            nodes = dict.fromkeys(index // FANOUT for index in nodes)
        self.root = _root_hash(self.depth, _node_hash(bytes(self._levels[0])))


def hash_key(key: bytes) -> Hash:
    return digest(Domain.STATE_KEY, key)


def hash_record(key: bytes, value: bytes) -> Hash:
    return digest(Domain.STATE_LEAF, key, value)


def verify_proof(root: Hash, key: bytes, value: bytes | None, proof: StateProof, depth: int) -> bool:
    """Whether under `root` the record under `key` is `value`; None: whether there is none.

    `root` must be one that a quorum signed: the proof shows what that tree says, not that the tree was built rightly.
    """
    key_hash = hash_key(key)
    if len(proof.siblings) * BITS_PER_LEVEL != depth:
        return False
    hashed = _proven_bucket(key_hash, proof, depth)
    if hashed is None:
        return False
    found = next((entry for entry in entries_of(proof.entries) if key_of(entry) == key_hash), None)
    expected = None if value is None else key_hash + hash_record(key, value)
    return found == expected and _root_over(_bucket_index(key_hash, depth), hashed, proof) == root


def _proven_bucket(key_hash: Hash, proof: StateProof, depth: int) -> Hash | None:
    """The hash of the bucket that the proof shows; None when it shows none that this key could stand in."""
    if len(proof.entries) % ENTRY_BYTES:
        return None
    if not proof.path:
        return list_hash(proof.entries)
    if len(proof.entries) != ENTRY_BYTES:
        return None
    hashed = entry_hash(proof.entries)
    below = 8 * HASH_BYTES
    for step in reversed(proof.path):
        side = bit_at(key_hash, step.bit)
        if not depth <= step.bit < below or bit_at(proof.entries, step.bit) != side:
            return None
        pair = (step.sibling, hashed) if side else (hashed, step.sibling)
        hashed, below = branch_hash(step.bit, *pair), step.bit
    return hashed


def _root_over(index: int, hashed: Hash, proof: StateProof) -> Hash:
    for others in proof.siblings:
        own = index % FANOUT * HASH_BYTES
        hashed = _node_hash(others[:own] + hashed + others[own:])
        index //= FANOUT
    return _root_hash(len(proof.siblings) * BITS_PER_LEVEL, hashed)


def _bucket_index(key_hash: Hash, depth: int) -> int:
    return int.from_bytes(key_hash[:4], "big") >> (32 - depth)


def _node_hash(children: bytes) -> Hash:
    return ZERO_HASH if children == _EMPTY_NODE else digest(Domain.STATE_NODE, children)


def _root_hash(depth: int, top: Hash) -> Hash:
    return digest(Domain.STATE_ROOT, bytes([depth]), top)
