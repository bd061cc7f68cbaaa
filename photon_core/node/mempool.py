"""Transactions that wait for a block: bounded by count, by bytes and by sender, in order of arrival.

Pure. A sender's transactions are admitted only without a gap in their sequence, so order of arrival is also the order
of each sender's sequence, and a block can take from the front. What has become void meanwhile (expired, sequence used)
is dropped when it is met, so that a block costs what is in it and not what waits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from attrs import frozen

from photon_core.api.ids import Address, Hash
from photon_core.chain.transactions import Transaction

TRANSACTIONS_MAX = 20_000
BYTES_MAX = 32 * 2**20
PER_SENDER_MAX = 1_000
"""One sender may fill a twentieth of the pool: enough for a batch, too little to shut others out."""


@frozen
class Refusal:
    """Why a transaction was not taken; the same codes as receipts have."""

    code: str
    reason: str


class Mempool:
    def __init__(self) -> None:
        self._waiting: OrderedDict[Hash, Transaction] = OrderedDict()
        self._bytes = 0
        self._next_sequence: dict[Address, int] = {}
        self._per_sender: dict[Address, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, transaction_id: Hash) -> bool:
        return transaction_id in self._waiting

    def get(self, transaction_id: Hash) -> Transaction | None:
        return self._waiting.get(transaction_id)

    def next_sequence(self, sender: Address, committed: int) -> int:
        """The sequence that the sender's next transaction must carry; `committed` is what the state has."""
        return max(committed, self._next_sequence.get(sender, 0))

    def add(self, transaction: Transaction, committed_sequence: int, height: int) -> Refusal | None:
        """None when it was taken (or is here already). `height` is that of the newest block."""
        if transaction.id in self._waiting:
            return None
        expected = self.next_sequence(transaction.sender, committed_sequence)
        if transaction.sequence != expected:
            return Refusal(
                "stale-sequence" if transaction.sequence < expected else "sequence-gap",
                f"the sender's next sequence is {expected}, the transaction has {transaction.sequence}",
            )
        if transaction.expires_height <= height:
            return Refusal(
                "expired", f"it expires at height {transaction.expires_height}, and the chain is at {height}"
            )
        if self._per_sender.get(transaction.sender, 0) >= PER_SENDER_MAX:
            return Refusal(
                "too-many-waiting", f"{PER_SENDER_MAX} transactions of this sender wait already; try again soon"
            )
        if len(self._waiting) >= TRANSACTIONS_MAX or self._bytes + len(transaction.raw) > BYTES_MAX:
            return Refusal("mempool-full", f"{len(self._waiting)} transactions wait already; try again soon")
        self._waiting[transaction.id] = transaction
        self._bytes += len(transaction.raw)
        self._next_sequence[transaction.sender] = transaction.sequence + 1
        self._per_sender[transaction.sender] = self._per_sender.get(transaction.sender, 0) + 1
        return None

    def pick(self, height: int, count_max: int, bytes_max: int) -> tuple[Transaction, ...]:
        """For the block at `height`, from the front; what has expired is dropped on the way, the rest stays here."""
        picked: list[Transaction] = []
        expired: list[Hash] = []
        room = bytes_max
        for transaction in self._waiting.values():
            if transaction.expires_height < height:
                expired.append(transaction.id)
                continue
            if len(picked) == count_max or len(transaction.raw) > room:
                break
            room -= len(transaction.raw)
            picked.append(transaction)
        self.remove(expired)
        return tuple(picked)

    def remove(self, transaction_ids: Iterable[Hash]) -> None:
        """These are in a block, or void."""
        for transaction_id in transaction_ids:
            transaction = self._waiting.pop(transaction_id, None)
            if transaction is None:
                continue
            self._bytes -= len(transaction.raw)
            left = self._per_sender[transaction.sender] - 1
            if left:
                self._per_sender[transaction.sender] = left
            else:
                del self._per_sender[transaction.sender]
                del self._next_sequence[transaction.sender]

    def waiting(self) -> Iterator[Transaction]:
        """In order of arrival: what is sent again to a peer that came back."""
        return iter(self._waiting.values())
