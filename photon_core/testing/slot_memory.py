"""A signer's memory without a disk, for simulations: what was not synced is lost when the node crashes.

memory = CrashingMemory()
signer = Signer(key, memory)
…
memory.crash_at = CrashPoint.BEFORE_SYNC       # the next append ends the node
memory = memory.after_crash(found=False)       # what a restarted node finds
signer = Signer(key, memory)
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from attrs import define, field

Entry = tuple[int, list[bytes]]


class Crashed(BaseException):
    """The node ends here. Of no type that a handler of errors could swallow."""


class CrashPoint(StrEnum):
    BEFORE_WRITE = "before-write"
    BEFORE_SYNC = "before-sync"
    """Written; a disk may or may not have it."""
    AFTER_SYNC = "after-sync"
    """On disk; whoever waits for it has not heard."""


@define
class CrashingMemory:
    """Implements `photon_core.node.signer.SlotMemory`. `appends` counts syncs."""

    crash_at: CrashPoint | None = None
    """Where the next append raises `Crashed`."""
    appends: int = 0
    _synced: list[Entry] = field(factory=list)
    _unsynced: list[Entry] = field(factory=list)
    _closed: bool = False

    def append(self, records: Sequence[bytes], height: int) -> None:
        assert not self._closed, "the node that used this memory has ended"
        self._reach(CrashPoint.BEFORE_WRITE)
        self._unsynced.append((height, list(records)))
        self._reach(CrashPoint.BEFORE_SYNC)
        self._synced += self._unsynced
        self._unsynced.clear()
        self.appends += 1
        self._reach(CrashPoint.AFTER_SYNC)

    def read_all(self) -> list[bytes]:
        return [record for _, records in self._synced for record in records]

    def forget(self, below_height: int) -> None:
        self._synced = [(height, records) for height, records in self._synced if height >= below_height]

    def close(self) -> None:
        self._closed = True

    def after_crash(self, *, found: bool = False) -> CrashingMemory:
        """What a restarted node opens. `found`: the append that was not synced reached the disk all the same."""
        self._closed = True
        return CrashingMemory(synced=self._synced + (self._unsynced if found else []))

    def copy(self) -> CrashingMemory:
        """What an operator has who keeps a copy of the folder: whole, and old as soon as the node signs again."""
        return CrashingMemory(synced=list(self._synced))

    def _reach(self, point: CrashPoint) -> None:
        if self.crash_at is point:
            self.crash_at, self._closed = None, True
            raise Crashed(point)
