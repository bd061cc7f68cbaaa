"""A node's disk: what survives a crash, and queues of what is on its way there.

Theory of operation
-------------------
A `Device` is a queue of writes, done one at a time and in order, each in a random time. When a write is done its effect
on the durable state is made, and whoever asked for it is told. A crash leaves a prefix of what was on its way: the rest
is lost, and nobody is told of any of it. So a node can never know whether what it did not hear of has happened, which
is all that a real disk promises.

The log (blocks and certificates), the engine's write-ahead log and the signer's memory are devices of their own, so
that what is synced on one says nothing of another.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from attrs import define, field

from photon_core.api.chain import Block, Certificate
from photon_core.api.consensus import Slot
from photon_core.api.ids import Hash
from photon_core.node.signer.memory import SignedSlot, decode_entry

from .schedule import Schedule

T = TypeVar("T")

FAST_SYNC_MS = ((0, 1), (0, 3))
SLOW_SYNC_MS = ((3, 40), (20, 80))
"""How long a sync takes: one device may lag behind another by some messages."""
SLOW_SYNC = 0.02
"""How often a sync takes `SLOW_FACTOR` times as long: a disk that is busy with something else."""
SLOW_FACTOR = 10


class Device:
    def __init__(self, schedule: Schedule, dice: random.Random, sync_ms: tuple[int, int]) -> None:
        self._schedule, self._dice, self._sync_ms = schedule, dice, sync_ms
        self._pending: deque[Callable[[], object]] = deque()
        self._free_at_ms = 0
        self._life = 0

    def write(self, apply: Callable[[], T], done: Callable[[T], None]) -> None:
        """`done` is called with what `apply` returned, once it is durable."""
        low, high = self._sync_ms
        takes_ms = self._dice.randint(low, high)
        if self._dice.random() < SLOW_SYNC:
            takes_ms *= SLOW_FACTOR
        self._free_at_ms = max(self._free_at_ms, self._schedule.now_ms) + takes_ms
        self._pending.append(apply)
        self._schedule.after(self._free_at_ms - self._schedule.now_ms, partial(self._finish, self._life, apply, done))

    def _finish(self, life: int, apply: Callable[[], T], done: Callable[[T], None]) -> None:
        if life == self._life:
            self._pending.popleft()
            done(apply())

    def crash(self, *, all_lost: bool) -> None:
        """Some of what was on its way has come through, from the front; or nothing."""
        self._life += 1
        self._free_at_ms = 0
        for _ in range(0 if all_lost else self._dice.randint(0, len(self._pending))):
            self._pending.popleft()()
        self._pending.clear()


@define
class WalEntry:
    """One append of the engine's write-ahead log."""

    token: int
    height: int
    records: tuple[bytes, ...]
    blocks: tuple[Block, ...]


@define
class Disk:
    """Durable state only; what is in flight is the devices'."""

    blocks: list[Block] = field(factory=list)
    names: list[Hash] = field(factory=list)
    certificates: list[Certificate] = field(factory=list)
    wal: list[WalEntry] = field(factory=list)
    below: int = 0
    """Of the write-ahead log: lower heights were given up."""
    slots: list[tuple[int, bytes]] = field(factory=list)
    """The signer's memory: height and record."""
    ever_signed: dict[Slot, Hash] = field(factory=dict)
    """What was ever in it, forgotten or not: for the checkers."""

    def append_block(self, block: Block, name: Hash, certificate: Certificate | None) -> None:
        assert block.header.height == len(self.blocks) + 1, (
            f"the log has {len(self.blocks)} blocks, and {block.header.height} is appended: it has no gaps"
        )
        self.blocks.append(block)
        self.names.append(name)
        if certificate is not None:
            self.append_certificate(certificate)

    def append_certificate(self, certificate: Certificate) -> None:
        height = certificate.statement.height
        assert height == len(self.certificates) + 1, f"certificate {height} after {len(self.certificates)}"
        assert height <= len(self.blocks), f"certificate {height} without its block"
        self.certificates.append(certificate)

    def persist(self, entry: WalEntry) -> None:
        self.wal.append(entry)

    def forget(self, below_height: int) -> None:
        self.below = max(self.below, below_height)
        self.wal = [entry for entry in self.wal if entry.height >= self.below]

    def records(self) -> tuple[bytes, ...]:
        return tuple(record for entry in self.wal for record in entry.records)

    def contents(self) -> tuple[Block, ...]:
        return tuple(block for entry in self.wal for block in entry.blocks)


class DiskSlots:
    """A `photon_core.node.signer.SlotMemory` on a `Disk`. An append is durable when it returns."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def append(self, records: Sequence[bytes], height: int) -> None:
        self._disk.slots += [(height, record) for record in records]
        for record in map(decode_entry, records):
            if isinstance(record, SignedSlot):
                self._disk.ever_signed[record.slot] = record.digest

    def read_all(self) -> list[bytes]:
        return [record for _, record in self._disk.slots]

    def forget(self, below_height: int) -> None:
        self._disk.slots = [(height, record) for height, record in self._disk.slots if height >= below_height]

    def close(self) -> None:
        """Nothing to give back."""
