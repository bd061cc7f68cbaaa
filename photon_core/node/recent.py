"""Transactions that come again: known by their bytes, so that nobody reads them twice for nothing.

Reading one costs ten times what it costs to know it. Gossip brings some again; so does a block that is fetched whole
when all of it waits here already, and that is just when a node has no time to lose.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from typing import Protocol

from photon_core.api.ids import Hash
from photon_core.chain.transactions import Transaction, decode_transaction

RECENT_MAX = 100_000
"""As many as verification remembers."""


class Waiting(Protocol):
    """The mempool."""

    def get(self, transaction_id: Hash) -> Transaction | None: ...


class RecentBytes:
    """Bytes → id of what was read before, and so to what still waits under that id.

    What was dropped since is read again: it may be taken now.
    """

    def __init__(self, chain_id: Hash, waiting: Waiting) -> None:
        self._chain_id, self._waiting = chain_id, waiting
        self._ids: OrderedDict[bytes, Hash] = OrderedDict()

    def unknown(self, raw: Iterable[bytes]) -> list[bytes]:
        """Without those that wait here."""
        return [one for one in raw if self._find(one) is None]

    def read(self, raw: bytes) -> Transaction:
        """As `decode_transaction`."""
        return self._find(raw) or decode_transaction(raw, self._chain_id)

    def add(self, transactions: Iterable[Transaction]) -> None:
        """These were read."""
        for transaction in transactions:
            self._ids[_name(transaction.raw)] = transaction.id
        while len(self._ids) > RECENT_MAX:
            self._ids.popitem(last=False)

    def _find(self, raw: bytes) -> Transaction | None:
        name = self._ids.get(_name(raw))
        return None if name is None else self._waiting.get(name)


def _name(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=16).digest()
