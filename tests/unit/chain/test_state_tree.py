"""The state tree against a naive model: same records, same root, whatever the way there; and proofs that cannot lie."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from photon_core.api.codec import decode_record, encode_record
from photon_core.api.hashing import ZERO_HASH, Domain, digest
from photon_core.chain import state_tree
from photon_core.chain.state_bucket import LIST_MAX
from photon_core.chain.state_tree import StateProof, StateTree, hash_key, hash_record, verify_proof

DEPTH = 4
"""16 buckets: collisions are what is to be tested. 16 and 20 bits differ in the number of levels only."""

Model = dict[bytes, bytes]


def naive_root(model: Model, depth: int) -> bytes:
    """The definition, written down with no thought of cost."""
    entries = sorted(hash_key(k) + hash_record(k, v) for k, v in model.items())

    def bits(entry: bytes) -> str:
        return format(int.from_bytes(entry[:32], "big"), "0256b")

    def trie(found: list[bytes]) -> bytes:
        if len(found) == 1:
            return digest(Domain.STATE_ENTRY, found[0])
        bit = next(i for i in range(256) if len({bits(e)[i] for e in found}) == 2)
        left, right = ([e for e in found if bits(e)[bit] == side] for side in "01")
        return digest(Domain.STATE_BRANCH, bytes([bit]), trie(left), trie(right))

    def subtree(found: list[bytes], level: int) -> bytes:
        if not found:
            return ZERO_HASH
        if level * 4 == depth:
            return digest(Domain.STATE_LIST, b"".join(found)) if len(found) <= LIST_MAX else trie(found)
        nibbles = [[e for e in found if e[:32].hex()[level] == format(n, "x")] for n in range(16)]
        return digest(Domain.STATE_NODE, b"".join(subtree(part, level + 1) for part in nibbles))

    return digest(Domain.STATE_ROOT, bytes([depth]), subtree(entries, 0))


def colliding(count: int, depth: int = DEPTH) -> list[bytes]:
    """Keys of one bucket."""
    found: list[bytes] = []
    n = 0
    while len(found) < count:
        key = n.to_bytes(4, "big")
        if hash_key(key)[0] >> (8 - depth) == 5:
            found.append(key)
        n += 1
    return found


COLLIDING = colliding(3 * LIST_MAX)
keys = st.one_of(st.sampled_from(COLLIDING), st.binary(max_size=3))


class Trees(RuleBasedStateMachine):
    """Batches of puts and removals, around the border between list and trie."""

    @initialize(filled=st.integers(0, 2 * LIST_MAX))
    def begin(self, filled: int) -> None:
        self.model: Model = dict.fromkeys(COLLIDING[:filled], b"begin")
        self.tree = StateTree.build(DEPTH, self.model.items())

    @rule(changes=st.lists(st.tuples(keys, st.none() | st.binary(max_size=2)), max_size=30))
    def change(self, changes: list[tuple[bytes, bytes | None]]) -> None:
        for key, value in changes:
            if value is None:
                self.model.pop(key, None)
            else:
                self.model[key] = value
        assert self.tree.update(changes) == self.tree.root

    @rule()
    def shrink(self) -> None:
        gone = list(self.model)[: LIST_MAX + 1]
        self.tree.update([(key, None) for key in gone])
        for key in gone:
            del self.model[key]

    @rule(key=keys)
    def prove(self, key: bytes) -> None:
        value = self.model.get(key)
        proof = self.tree.prove(key)
        assert verify_proof(self.tree.root, key, value, proof, DEPTH)
        assert not verify_proof(self.tree.root, key, b"another", proof, DEPTH)
        if value is not None:
            assert not verify_proof(self.tree.root, key, None, proof, DEPTH)

    @invariant()
    def same_root(self) -> None:
        assert self.tree.root == naive_root(self.model, DEPTH)
        assert len(self.tree) == len(self.model)


Trees.TestCase.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
TestTrees = Trees.TestCase


@given(st.dictionaries(st.binary(max_size=3), st.binary(max_size=2), max_size=20), st.sampled_from([8, 16]))
@settings(max_examples=20, deadline=None)
def test_the_root_is_the_definitions_at_every_depth(model: Model, depth: int) -> None:
    tree = StateTree(depth)
    assert tree.update(list(model.items())) == naive_root(model, depth)
    for key, value in model.items():
        assert verify_proof(tree.root, key, value, tree.prove(key), depth)
    assert verify_proof(tree.root, b"none", None, tree.prove(b"none"), depth)


def test_twenty_bits_work_too() -> None:
    model = {n.to_bytes(2, "big"): b"x" for n in range(300)}
    tree = StateTree.build(20, model.items())
    assert tree.root == naive_root(model, 20)
    assert verify_proof(tree.root, b"\x00\x07", b"x", tree.prove(b"\x00\x07"), 20)


def test_equal_records_at_two_depths_have_two_roots() -> None:
    assert StateTree(16).root != StateTree(20).root


@pytest.mark.parametrize("depth", [0, 3, 24])
def test_a_depth_without_whole_levels_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        StateTree(depth)


def test_the_values_never_change() -> None:
    """A change here would be another chain."""
    tree = StateTree.build(16, ((bytes([n]), bytes(n)) for n in range(100)))
    assert tree.root == bytes.fromhex("2b534155ac573e663d440ed0c6cb6a08065a0815c9963d35fe6d14bfae869509")


def test_a_proof_travels_as_bytes() -> None:
    tree = StateTree.build(DEPTH, ((key, b"v") for key in COLLIDING))
    proof = tree.prove(COLLIDING[7])
    assert proof.path
    assert decode_record(StateProof, encode_record(proof), 65_536) == proof


SMALL = StateTree.build(DEPTH, ((key, b"v") for key in COLLIDING[:5]))
LARGE = StateTree.build(DEPTH, ((key, b"v") for key in COLLIDING[:-1]))
ABSENT = COLLIDING[-1]


@pytest.mark.parametrize("tree", [SMALL, LARGE], ids=["list", "trie"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_proof_with_any_byte_changed_proves_nothing(tree: StateTree, data: st.DataObject) -> None:
    key, value = data.draw(st.sampled_from([(COLLIDING[0], b"v"), (ABSENT, None)]))
    raw = encode_record(tree.prove(key))
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:at] + bytes([raw[at] ^ data.draw(st.integers(1, 255))]) + raw[at + 1 :]
    try:
        proof = decode_record(StateProof, changed, 65_536)
    except ValueError:
        return
    assert not verify_proof(tree.root, key, value, proof, DEPTH)


def test_another_keys_proof_shows_no_absence() -> None:
    """In a trie the way to a stranger's entry must be the way that the asked key's bits take."""
    for key in COLLIDING[:40]:
        other = next(k for k in COLLIDING if k != key)
        assert not verify_proof(LARGE.root, key, None, LARGE.prove(other), DEPTH)


def test_a_proof_cannot_leave_out_a_lists_entry() -> None:
    proof = SMALL.prove(COLLIDING[0])
    for at in range(0, len(proof.entries), 64):
        without = attrs.evolve(proof, entries=proof.entries[:at] + proof.entries[at + 64 :])
        assert not verify_proof(SMALL.root, COLLIDING[0], None, without, DEPTH)


def test_a_proof_for_another_depth_or_root_is_none() -> None:
    proof = SMALL.prove(COLLIDING[0])
    assert not verify_proof(SMALL.root, COLLIDING[0], b"v", proof, 8)
    assert not verify_proof(LARGE.root, COLLIDING[0], b"v", proof, DEPTH)


def test_a_ground_bucket_costs_steps_and_not_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attacker who fills one bucket must not make every later change of it dear."""
    tree = StateTree.build(DEPTH, ((key, b"v") for key in colliding(2000)))
    hashed = 0

    def counting(domain: str, *parts: bytes) -> bytes:
        nonlocal hashed
        hashed += 1
        return digest(domain, *parts)

    monkeypatch.setattr(state_tree, "digest", counting)
    monkeypatch.setattr("photon_core.chain.state_bucket.digest", counting)
    tree.update([(COLLIDING[3], b"changed")])
    assert hashed < 80  # 2 ways of some 11 branches each, and the levels above
