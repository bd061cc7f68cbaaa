"""One bucket of the state tree: its entries, and the hash that covers them.

An entry is 64 bytes, the hash of a record's key and the hash of the record. Up to LIST_MAX of them are one sorted byte
string, hashed whole: the common case, quick and small. Above that they are a path-compressed binary trie on the further
bits of the key hash. Whoever grinds keys into one bucket (25 ms each) makes it deeper by one step for each doubling, so
neither the cost of an update nor a limit is a lever. Shape and hash depend on the entries only, not on their history.

Trie: a branch names the first bit in which the entries below it differ; on its left are those with a 0 there. So a key
can stand in one place only, and whoever follows its bits and arrives at another entry knows that it is absent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from photon_core.api.fields import HASH_BYTES
from photon_core.api.hashing import ZERO_HASH, Domain, digest
from photon_core.api.ids import Hash

ENTRY_BYTES: Final = 2 * HASH_BYTES
LIST_MAX: Final = 32
"""Hashing 2 KiB costs what two branches of a trie cost; beyond that the trie is cheaper."""


class Branch:
    """`hash` is None when something below has changed since it was last computed."""

    __slots__ = ("bit", "children", "count", "hash")

    def __init__(self, bit: int, left: Node, right: Node) -> None:
        self.bit = bit
        self.children = [left, right]
        self.count = count_of(left) + count_of(right)
        self.hash: Hash | None = None


Node = bytes | Branch
"""Within a trie: one entry, or a branch."""
Bucket = bytes | Branch
"""At its root: up to LIST_MAX entries in order, or a branch."""
Change = tuple[Hash, Hash | None]
"""Key hash, and record hash or None for a removal."""

EMPTY: Final[Bucket] = b""


def bit_at(key_hash: Hash, bit: int) -> int:
    """Bit 0 is the first byte's highest."""
    return key_hash[bit >> 3] >> (7 - (bit & 7)) & 1


def key_of(entry: bytes) -> Hash:
    return entry[:HASH_BYTES]


def count_of(bucket: Bucket | Node) -> int:
    return bucket.count if isinstance(bucket, Branch) else len(bucket) // ENTRY_BYTES


def entries_of(packed: bytes) -> list[bytes]:
    return [packed[at : at + ENTRY_BYTES] for at in range(0, len(packed), ENTRY_BYTES)]


def make_bucket(entries: Iterable[bytes]) -> Bucket:
    """A bucket of these entries, each key once, in any order."""
    packed = b"".join(sorted(entries))
    return packed if len(packed) <= LIST_MAX * ENTRY_BYTES else _to_trie(packed)


def update_bucket(bucket: Bucket, changes: Sequence[Change]) -> Bucket:
    """The bucket after `changes`. A trie is changed in place, a list is a new one."""
    for key_hash, record_hash in changes:
        if isinstance(bucket, Branch):
            bucket = _trie_set(bucket, key_hash, record_hash)
        else:
            bucket = _list_set(bucket, key_hash, record_hash)
    return bucket


def bucket_hash(bucket: Bucket) -> Hash:
    """The zero hash for an empty bucket: nothing hashes to it."""
    if isinstance(bucket, Branch):
        return _node_hash(bucket)
    return list_hash(bucket)


def list_hash(packed: bytes) -> Hash:
    return digest(Domain.STATE_LIST, packed) if packed else ZERO_HASH


def entry_hash(entry: bytes) -> Hash:
    return digest(Domain.STATE_ENTRY, entry)


def branch_hash(bit: int, left: Hash, right: Hash) -> Hash:
    return digest(Domain.STATE_BRANCH, bytes([bit]), left, right)


def trie_path(trie: Branch, key_hash: Hash) -> tuple[list[tuple[int, Hash]], bytes]:
    """(bit, hash of the side not taken) from the root on, and the entry at which the key's bits arrive."""
    steps: list[tuple[int, Hash]] = []
    node: Node = trie
    while isinstance(node, Branch):
        side = bit_at(key_hash, node.bit)
        steps.append((node.bit, _node_hash(node.children[1 - side])))
        node = node.children[side]
    return steps, node


# --- lists -----------------------------------------------------------------------------------------------------------


def _list_set(packed: bytes, key_hash: Hash, record_hash: Hash | None) -> Bucket:
    starts = range(0, len(packed), ENTRY_BYTES)
    index = bisect_left(starts, key_hash, key=lambda start: packed[start : start + HASH_BYTES])
    start = index * ENTRY_BYTES
    end = start + ENTRY_BYTES if packed[start : start + HASH_BYTES] == key_hash else start
    entry = b"" if record_hash is None else key_hash + record_hash
    packed = packed[:start] + entry + packed[end:]
    return packed if len(packed) <= LIST_MAX * ENTRY_BYTES else _to_trie(packed)


# --- tries -----------------------------------------------------------------------------------------------------------


def _to_trie(packed: bytes) -> Branch:
    first, second, *rest = entries_of(packed)
    trie = _join(first, second)
    for entry in rest:
        trie = _trie_put(trie, entry)
    return trie


def _to_list(trie: Branch) -> bytes:
    found: list[bytes] = []
    pending: list[Node] = [trie]
    while pending:
        node = pending.pop()
        if isinstance(node, Branch):
            pending.extend(node.children)
        else:
            found.append(node)
    return b"".join(sorted(found))


def _trie_set(trie: Branch, key_hash: Hash, record_hash: Hash | None) -> Bucket:
    if record_hash is not None:
        return _trie_put(trie, key_hash + record_hash)
    left = _trie_remove(trie, key_hash)
    return _to_list(left) if left.count <= LIST_MAX else left


def _walk(trie: Branch, key_hash: Hash) -> tuple[list[Branch], bytes]:
    """The branches that the key's bits lead through, and the entry at which they arrive."""
    path: list[Branch] = []
    node: Node = trie
    while isinstance(node, Branch):
        path.append(node)
        node = node.children[bit_at(key_hash, node.bit)]
    return path, node


def _trie_put(trie: Branch, entry: bytes) -> Branch:
    key_hash = key_of(entry)
    path, nearest = _walk(trie, key_hash)
    differs = _first_difference(key_hash, key_of(nearest))
    above = path if differs is None else [branch for branch in path if branch.bit < differs]
    for branch in above:
        branch.hash = None
        branch.count += differs is not None
    if differs is None:
        above[-1].children[bit_at(key_hash, above[-1].bit)] = entry
        return trie
    if not above:
        return _join(entry, trie, differs)
    side = bit_at(key_hash, above[-1].bit)
    above[-1].children[side] = _join(entry, above[-1].children[side], differs)
    return trie


def _trie_remove(trie: Branch, key_hash: Hash) -> Branch:
    """A trie holds more than LIST_MAX entries, so that one less still has a branch at its root."""
    path, nearest = _walk(trie, key_hash)
    if key_of(nearest) != key_hash:
        return trie
    sibling = path[-1].children[1 - bit_at(key_hash, path[-1].bit)]
    for branch in path[:-1]:
        branch.hash = None
        branch.count -= 1
    if len(path) > 1:
        path[-2].children[bit_at(key_hash, path[-2].bit)] = sibling
        return trie
    assert isinstance(sibling, Branch)
    return sibling


def _join(entry: bytes, other: Node, bit: int | None = None) -> Branch:
    """A branch over an entry and what differs from it first in `bit`; None: `other` is an entry too, look."""
    if bit is None:
        assert isinstance(other, bytes)
        bit = _first_difference(key_of(entry), key_of(other))
        assert bit is not None, "each key once"
    return Branch(bit, other, entry) if bit_at(key_of(entry), bit) else Branch(bit, entry, other)


def _first_difference(one: Hash, other: Hash) -> int | None:
    differing = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    return 8 * HASH_BYTES - differing.bit_length() if differing else None


def _node_hash(node: Node) -> Hash:
    """As deep as the trie, which is at most the bits of a hash; only what changed is computed."""
    if not isinstance(node, Branch):
        return entry_hash(node)
    if node.hash is None:
        node.hash = branch_hash(node.bit, _node_hash(node.children[0]), _node_hash(node.children[1]))
    return node.hash
