"""Transactions that wait for a block: bounded by count, by bytes and by sender, in order of arrival.

Pure. A sender's transactions are admitted only without a gap in their sequence and while its balance pays all their
fees, so order of arrival is also the order of each sender's sequence, a block can take from the front, and nobody fills
blocks with void transactions for nothing. After each block its senders are looked at (`settle`): what has become void
leaves at once, and what is out of order because of it, too. What expires leaves when a block meets it, and by `expire`
on nodes that make no blocks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from attrs import define, field, frozen

from photon_core.api.ids import Address, Hash
from photon_core.chain.transactions import Transaction

TRANSACTIONS_MAX = 20_000
BYTES_MAX = 32 * 2**20
PER_SENDER_MAX = 1_000
"""One sender may fill a twentieth of the pool: enough for a batch, too little to shut others out."""

NEVER = 2**64


@frozen
class Refusal:
    """Why a transaction was not taken; the same codes as receipts have."""

    code: str
    reason: str


@frozen(kw_only=True)
class Standing:
    """What the newest executed block says of a sender: the sequence of its next transaction, and what it owns."""

    sequence: int
    balance_uptn: int


@define
class _Queue:
    """One sender's transactions, in order of their sequences, without a gap; never empty."""

    waiting: OrderedDict[Hash, Transaction] = field(factory=OrderedDict)
    next_sequence: int = 0
    fees_uptn: int = 0


class Mempool:
    def __init__(self) -> None:
        self._waiting: OrderedDict[Hash, tuple[int, Transaction]] = OrderedDict()
        """With the height at which each came."""
        self._queues: dict[Address, _Queue] = {}
        self._bytes = 0
        self._first_expiry = NEVER
        """No transaction here expires before this height: until then nobody needs to look."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, transaction_id: Hash) -> bool:
        return transaction_id in self._waiting

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def next_sequence(self, sender: Address, committed: int) -> int:
        """The sequence that the sender's next transaction must carry; `committed` is what the state has."""
        queue = self._queues.get(sender)
        return committed if queue is None else max(committed, queue.next_sequence)

    def add(self, transaction: Transaction, standing: Standing, height: int) -> Refusal | None:
        """None when it was taken (or is here already). `height` is that of the newest block."""
        if transaction.id in self._waiting:
            return None
        if (refusal := self._unfit(transaction, standing, height)) is not None:
            return refusal
        queue = self._queues.setdefault(transaction.sender, _Queue())
        queue.waiting[transaction.id] = transaction
        queue.next_sequence = transaction.sequence + 1
        queue.fees_uptn += transaction.fee_uptn
        self._waiting[transaction.id] = (height, transaction)
        self._bytes += len(transaction.raw)
        self._first_expiry = min(self._first_expiry, transaction.expires_height)
        return None

    def _unfit(self, transaction: Transaction, standing: Standing, height: int) -> Refusal | None:
        queue = self._queues.get(transaction.sender, _Queue())
        expected = max(standing.sequence, queue.next_sequence)
        fees_uptn = queue.fees_uptn + transaction.fee_uptn
        if transaction.sequence != expected:
            code = "stale-sequence" if transaction.sequence < expected else "sequence-gap"
            return Refusal(
                code, f"the sender's next sequence is {expected}, the transaction has {transaction.sequence}"
            )
        if transaction.expires_height <= height:
            return Refusal(
                "expired", f"it expires at height {transaction.expires_height}, and the chain is at {height}"
            )
        if fees_uptn > standing.balance_uptn:
            return Refusal(
                "fee-unpayable",
                f"the account has {standing.balance_uptn} uptn, its waiting fees with this one are {fees_uptn} uptn",
            )
        if len(queue.waiting) >= PER_SENDER_MAX:
            return Refusal(
                "too-many-waiting", f"{PER_SENDER_MAX} transactions of this sender wait already; try again soon"
            )
        if len(self._waiting) >= TRANSACTIONS_MAX or self._bytes + len(transaction.raw) > BYTES_MAX:
            return Refusal("mempool-full", f"{len(self._waiting)} transactions wait already; try again soon")
        return None

    def get(self, transaction_id: Hash) -> Transaction | None:
        found = self._waiting.get(transaction_id)
        return None if found is None else found[1]

    @property
    def oldest_height(self) -> int | None:
        """When the transaction came that waits longest: the height of the newest block at that moment."""
        return next((came for came, _ in self._waiting.values()), None)

    def pick(
        self, height: int, count_max: int, bytes_max: int, taken: frozenset[Hash] = frozenset()
    ) -> tuple[Transaction, ...]:
        """For the block at `height`, from the front, without those `taken` by blocks before it; the rest stays here,
        and so do these until `settle`.
        """
        self.expire(height - 1)
        picked: list[Transaction] = []
        room = bytes_max
        for name, (_, transaction) in self._waiting.items():
            if name in taken:
                continue
            if len(picked) == count_max or len(transaction.raw) > room:
                break
            room -= len(transaction.raw)
            picked.append(transaction)
        return tuple(picked)

    def settle(self, transactions: Iterable[Transaction], standing_of: Callable[[Address], Standing]) -> None:
        """These were in the newest block, which is executed."""
        senders: dict[Address, None] = {}
        for transaction in transactions:
            self._remove(transaction)
            senders[transaction.sender] = None
        for sender in senders:
            if sender in self._queues:
                self._settle(sender, standing_of(sender).sequence)

    def _settle(self, sender: Address, committed: int) -> None:
        """Drops what was overtaken, and all that would be void because something before it is missing."""
        waiting = tuple(self._queues[sender].waiting.values())
        missing = waiting[0].sequence > committed
        for transaction in waiting:
            if missing or transaction.sequence < committed:
                self._remove(transaction)

    def expire(self, height: int) -> None:
        """Drops what no block after `height` may have, and what the same sender has behind it."""
        if height < self._first_expiry:
            return
        late = {t.sender: None for _, t in self._waiting.values() if t.expires_height <= height}
        for sender in late:
            expired = False
            for transaction in tuple(self._queues[sender].waiting.values()):
                expired = expired or transaction.expires_height <= height
                if expired:
                    self._remove(transaction)
        self._first_expiry = min((t.expires_height for _, t in self._waiting.values()), default=NEVER)

    def _remove(self, transaction: Transaction) -> None:
        if self._waiting.pop(transaction.id, None) is None:
            return
        self._bytes -= len(transaction.raw)
        queue = self._queues[transaction.sender]
        del queue.waiting[transaction.id]
        queue.fees_uptn -= transaction.fee_uptn
        if queue.waiting:
            queue.next_sequence = next(reversed(queue.waiting.values())).sequence + 1
        else:
            del self._queues[transaction.sender]

    def waiting(self) -> Iterator[Transaction]:
        """In order of arrival: what is told to a peer that came back."""
        return (transaction for _, transaction in self._waiting.values())

    def waiting_since(self, height: int) -> Iterator[Transaction]:
        """Those that came at this height or before, in order of arrival."""
        for came, transaction in self._waiting.values():
            if came > height:
                return
            yield transaction
