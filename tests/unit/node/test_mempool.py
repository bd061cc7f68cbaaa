"""What waits for a block: bounded, in order, without gaps, and gone once it is void."""

from __future__ import annotations

import random

import pytest

from photon_core.api.ids import Address
from photon_core.chain.keys import KeyPurpose, SigningKey, from_seed
from photon_core.chain.transactions import Transaction
from photon_core.node import mempool as module
from photon_core.node.mempool import Mempool, Standing
from photon_core.testing.node import transfer

CHAIN = b"\x05" * 32
ALICE, BOB = (from_seed(bytes([n]) * 32, KeyPurpose.ACCOUNT) for n in (1, 2))
PLENTY = Standing(sequence=0, balance_uptn=10**9)


def tx(key: SigningKey, sequence: int, *, fee_uptn: int = 0, expires: int = 100, amount_uptn: int = 1) -> Transaction:
    return transfer(CHAIN, sequence, amount_uptn, key=key, fee_uptn=fee_uptn, expires=expires)


def filled(*transactions: Transaction) -> Mempool:
    pool = Mempool()
    for transaction in transactions:
        assert pool.add(transaction, PLENTY, 0) is None
    return pool


def pick(pool: Mempool, height: int = 1, count: int = 1_000, size: int = 2**20) -> list[tuple[Address, int]]:
    return [(t.sender, t.sequence) for t in pool.pick(height, count, size)]


def test_blocks_take_from_the_front_and_leave_the_rest() -> None:
    pool = filled(tx(ALICE, 0), tx(BOB, 0), tx(ALICE, 1))
    assert pick(pool, count=2) == [(ALICE.address, 0), (BOB.address, 0)]
    assert pick(pool) == [(ALICE.address, 0), (BOB.address, 0), (ALICE.address, 1)], "picking takes nothing away"


def test_a_block_is_bounded_in_bytes() -> None:
    first = tx(ALICE, 0)
    pool = filled(first, tx(ALICE, 1))
    assert pick(pool, size=len(first.raw)) == [(ALICE.address, 0)]
    assert pick(pool, size=len(first.raw) - 1) == []


@pytest.mark.parametrize(("sequence", "code"), [(0, "stale-sequence"), (2, "stale-sequence"), (4, "sequence-gap")])
def test_only_the_next_sequence_is_taken_and_the_reason_has_both_values(sequence: int, code: str) -> None:
    pool = Mempool()
    standing = Standing(sequence=2, balance_uptn=0)
    assert pool.add(tx(ALICE, 2), standing, 0) is None
    refusal = pool.add(tx(ALICE, sequence, amount_uptn=9), standing, 0)
    assert refusal is not None
    assert refusal.code == code
    assert str(sequence) in refusal.reason
    assert "3" in refusal.reason


def test_the_same_transaction_twice_is_no_error_and_counts_once() -> None:
    pool = filled(tx(ALICE, 0))
    assert pool.add(tx(ALICE, 0), PLENTY, 0) is None
    assert len(pool) == 1
    assert pool.size_bytes == len(tx(ALICE, 0).raw)


def test_what_expires_by_the_next_block_is_refused() -> None:
    refusal = Mempool().add(tx(ALICE, 0, expires=7), PLENTY, 7)
    assert refusal is not None
    assert refusal.code == "expired"
    assert Mempool().add(tx(ALICE, 0, expires=8), PLENTY, 7) is None


def test_waiting_fees_must_be_payable_together() -> None:
    poor, pool = Standing(sequence=0, balance_uptn=25), Mempool()
    assert pool.add(tx(ALICE, 0, fee_uptn=10), poor, 0) is None
    assert pool.add(tx(ALICE, 1, fee_uptn=15), poor, 0) is None
    refusal = pool.add(tx(ALICE, 2, fee_uptn=1), poor, 0)
    assert refusal is not None
    assert refusal.code == "fee-unpayable"
    assert "25 uptn" in refusal.reason
    assert "26 uptn" in refusal.reason


def test_one_sender_cannot_shut_the_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PER_SENDER_MAX", 3)
    pool = filled(*(tx(ALICE, n) for n in range(3)))
    refusal = pool.add(tx(ALICE, 3), PLENTY, 0)
    assert refusal is not None
    assert refusal.code == "too-many-waiting"
    assert pool.add(tx(BOB, 0), PLENTY, 0) is None


def test_the_whole_is_bounded_in_count_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRANSACTIONS_MAX", 2)
    full = filled(tx(ALICE, 0), tx(ALICE, 1)).add(tx(BOB, 0), PLENTY, 0)
    monkeypatch.setattr(module, "TRANSACTIONS_MAX", 100)
    monkeypatch.setattr(module, "BYTES_MAX", len(tx(ALICE, 0).raw) + 10)
    heavy = filled(tx(ALICE, 0)).add(tx(BOB, 0), PLENTY, 0)
    assert full is not None
    assert heavy is not None
    assert full.code == heavy.code == "mempool-full"


def test_what_is_in_a_block_leaves_and_makes_room() -> None:
    pool = filled(tx(ALICE, 0), tx(ALICE, 1), tx(BOB, 0))
    pool.settle([tx(ALICE, 0), tx(BOB, 0)], lambda sender: Standing(sequence=1, balance_uptn=1))
    assert pick(pool) == [(ALICE.address, 1)]
    assert pool.next_sequence(BOB.address, 1) == 1
    pool.settle([tx(ALICE, 1)], lambda sender: Standing(sequence=2, balance_uptn=1))
    assert len(pool) == pool.size_bytes == 0


def test_another_transaction_with_the_sequence_overtakes() -> None:
    """A follower that saw one of two and the block has the other must not keep it for ever."""
    pool = filled(tx(ALICE, 0, amount_uptn=1), tx(ALICE, 1))
    pool.settle([tx(ALICE, 0, amount_uptn=2)], lambda sender: Standing(sequence=1, balance_uptn=1))
    assert pick(pool) == [(ALICE.address, 1)]


def test_what_stands_behind_a_void_one_leaves_with_it() -> None:
    pool = filled(tx(ALICE, 0), tx(ALICE, 1), tx(ALICE, 2))
    pool.settle([tx(ALICE, 0)], lambda sender: Standing(sequence=0, balance_uptn=0))  # it was void: nothing moved
    assert len(pool) == 0
    assert pool.add(tx(ALICE, 0, amount_uptn=5), PLENTY, 0) is None, "the sender starts again where the state is"


def test_the_expired_leave_with_all_that_needs_them() -> None:
    pool = filled(tx(ALICE, 0, expires=50), tx(ALICE, 1, expires=5), tx(ALICE, 2, expires=50), tx(BOB, 0, expires=6))
    assert pick(pool, height=5) == [(ALICE.address, 0), (ALICE.address, 1), (ALICE.address, 2), (BOB.address, 0)]
    assert pick(pool, height=6) == [(ALICE.address, 0), (BOB.address, 0)]
    pool.expire(6)
    assert [t.sender for t in pool.waiting()] == [ALICE.address], "nodes that make no blocks let go of them too"


def test_what_has_waited_long_is_told_again_and_the_new_is_not() -> None:
    pool = Mempool()
    for sequence, height in enumerate((3, 4, 9)):
        pool.add(tx(ALICE, sequence), PLENTY, height)
    assert [t.sequence for t in pool.waiting_since(4)] == [0, 1]


@pytest.mark.parametrize("seed", range(20))
def test_bookkeeping_holds_whatever_happens(seed: int) -> None:
    """Count, bytes and order agree with what is in it, after any mix of arrivals, blocks and expiry."""
    chance, pool = random.Random(seed), Mempool()
    committed = {ALICE.address: 0, BOB.address: 0}
    for height in range(60):
        for key in (ALICE, BOB):
            sequence = pool.next_sequence(key.address, committed[key.address])
            standing = Standing(sequence=committed[key.address], balance_uptn=100)
            pool.add(tx(key, sequence, expires=height + chance.randrange(1, 9)), standing, height)
        if chance.random() < 0.5:
            block = pool.pick(height + 1, chance.randrange(4), 10_000)
            for t in block:
                assert t.sequence == committed[t.sender], f"seed {seed}: a picked transaction would be void"
                committed[t.sender] += 1
            pool.settle(block, lambda sender: Standing(sequence=committed[sender], balance_uptn=100))
        waiting = list(pool.waiting())
        assert len(pool) == len(waiting)
        assert pool.size_bytes == sum(len(t.raw) for t in waiting)
        for address, sequence in committed.items():
            mine = [t.sequence for t in waiting if t.sender == address]
            assert mine == list(range(sequence, sequence + len(mine))), f"seed {seed}: a gap"
