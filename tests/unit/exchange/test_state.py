"""Savepoints, changes, and what the watcher sees."""

from typing import Any

import pytest

from photon_core.api.codec import encode_record
from photon_core.exchange import keys
from photon_core.exchange.records import Account
from photon_core.exchange.state import TABLES, Ledger
from photon_core.testing.exchange import MemoryState, address

A, B = address("a"), address("b")


class Mirror:
    """What a watcher that sums up every change believes the records to be."""

    def __init__(self) -> None:
        self.records: dict[bytes, Any] = {}

    def __call__(self, key: bytes, before: Any, after: Any) -> None:
        assert self.records.get(key) == before
        if after is None:
            del self.records[key]
        else:
            self.records[key] = after


def stored(**balances: int) -> MemoryState:
    state = MemoryState()
    for name, balance in balances.items():
        state.records[keys.account_key(address(name))] = encode_record(Account(balance_uptn=balance))
    return state


def test_what_is_put_inside_a_failing_savepoint_never_happened() -> None:
    mirror = Mirror()
    ledger = Ledger(stored(), mirror)
    ledger.put_account(A, Account(balance_uptn=1))
    with pytest.raises(KeyError), ledger.savepoint():  # noqa: PT012  # the block is what is undone
        ledger.put_account(A, Account(balance_uptn=2))
        with ledger.savepoint():
            ledger.put_account(A, Account(balance_uptn=3))
            ledger.put_account(B, Account(balance_uptn=4))
        raise KeyError
    assert ledger.account(A) == Account(balance_uptn=1)
    assert ledger.account(B) == Account()
    assert mirror.records == {keys.account_key(A): Account(balance_uptn=1)}


def test_changes_are_in_order_of_keys_and_leave_out_what_came_back() -> None:
    ledger = Ledger(stored(a=5, b=6))
    ledger.put_account(B, Account())
    ledger.put_account(A, Account(balance_uptn=7))
    ledger.put_account(A, Account(balance_uptn=5))
    assert ledger.changes() == ((keys.account_key(B), None),)
    ledger.put_account(A, Account(balance_uptn=8))
    assert [key for key, _ in ledger.changes()] == sorted([keys.account_key(A), keys.account_key(B)])


def test_an_account_that_has_sent_is_kept_when_it_is_empty() -> None:
    ledger = Ledger(stored())
    ledger.put_account(A, Account(balance_uptn=0, sequence=1))
    assert len(ledger.changes()) == 1


def test_a_scan_shows_this_blocks_changes_over_the_stored() -> None:
    ledger = Ledger(stored(a=1, b=2))
    ledger.put_account(A, Account())
    ledger.put_account(address("c"), Account(balance_uptn=3))
    assert sorted(record.balance_uptn for _, record in ledger.scan(keys.ACCOUNT)) == [2, 3]


def test_every_letter_is_one_tables() -> None:
    assert all(len(letter) == 1 for letter in TABLES)
    assert len({id(record) for record in TABLES.values()}) == len(TABLES)
