"""Transactions that come again: known by their bytes, so that nobody reads them twice for nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import blake2b

from photon_core.api.ids import Hash
from photon_core.chain.transactions import Transaction

RECENT_MAX = 100_000
"""As many as verification remembers."""


class RecentBytes:
    """Bytes → id of what was read before. Whether it is still of use is the caller's question."""

    def __init__(self) -> None:
        self._ids: OrderedDict[bytes, Hash] = OrderedDict()

    def fresh(self, raw: Iterable[bytes], is_known: Callable[[Hash], bool]) -> list[bytes]:
        """Those that were never read, or whose id `is_known` denies: they were dropped since, and may be taken now."""
        found = []
        for one in raw:
            name = self._ids.get(_name(one))
            if name is None or not is_known(name):
                found.append(one)
        return found

    def add(self, transactions: Iterable[Transaction]) -> None:
        for transaction in transactions:
            self._ids[_name(transaction.raw)] = transaction.id
        while len(self._ids) > RECENT_MAX:
            self._ids.popitem(last=False)


def _name(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=16).digest()
