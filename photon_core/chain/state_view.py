"""The state as executed: the store, and over it the blocks that are not written yet.

Execution never waits for the disk. A block's changes are visible as soon as it is applied; the rest of its result once
it is final (`finish`). What is final is collected by the node (`finished`), written by the store in a thread, and
dropped here (`flushed`). All calls are made on one thread but for the store's write.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from photon_core.api.errors import LocalProtocolError
from photon_core.api.ids import Hash
from photon_core.chain.state_store import BlockResult, Changes, Place, StateStore

_ABSENT: Final = object()


class _Overlay:
    """Changes over a table, each with the height that made it."""

    def __init__(self) -> None:
        self._changes: dict[bytes, tuple[int, bytes | None]] = {}

    def apply(self, height: int, changes: Changes) -> None:
        for key, value in changes:
            self._changes[key] = (height, value)

    def get(self, key: bytes) -> object:
        """A value, None when removed, _ABSENT when the table below decides."""
        found = self._changes.get(key)
        return _ABSENT if found is None else found[1]

    def over(self, prefix: bytes, below: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        """Both, merged in order of keys."""
        mine = sorted((key, value) for key, (_, value) in self._changes.items() if key.startswith(prefix))
        at = 0
        for key, value in below:
            while at < len(mine) and mine[at][0] < key:
                yield from _present(mine[at])
                at += 1
            if at < len(mine) and mine[at][0] == key:
                yield from _present(mine[at])
                at += 1
            else:
                yield key, value
        for change in mine[at:]:
            yield from _present(change)

    def drop(self, height: int) -> None:
        """Changes up to `height` are in the table below."""
        self._changes = {key: change for key, change in self._changes.items() if change[0] > height}

    def __len__(self) -> int:
        return len(self._changes)


class StateView:
    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._height = store.height
        self._state, self._index = _Overlay(), _Overlay()
        self._applied: dict[int, BlockResult] = {}
        self._finished: list[BlockResult] = []
        self._places: dict[Hash, Place] = {}

    @property
    def height(self) -> int | None:
        """Of the newest block applied; None before genesis."""
        return self._height

    @property
    def unflushed_keys(self) -> int:
        """How much is held in memory, for the node to decide when to write."""
        return len(self._state) + len(self._index)

    def get(self, key: bytes) -> bytes | None:
        found = self._state.get(key)
        return self._store.get(key) if found is _ABSENT else found  # type: ignore[return-value]  # not the sentinel

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """In order of keys. Not to be continued after the next `apply`."""
        return self._state.over(prefix, self._store.scan(prefix))

    def apply(self, result: BlockResult) -> None:
        """The block was executed: from here on everybody sees its changes."""
        if self._height is not None and result.height != self._height + 1:
            raise LocalProtocolError(f"block {result.height} applied after {self._height}")
        self._height = result.height
        self._applied[result.height] = result
        self._state.apply(result.height, result.changes)

    def finish(self, height: int) -> None:
        """The block, applied before, is final: it may be written, and its receipts and indexes are to be seen."""
        last = self._finished[-1].height if self._finished else self._store.height
        if height not in self._applied or (last is not None and height != last + 1):
            raise LocalProtocolError(f"block {height} finished; applied are {self._height}, finished {last}")
        result = self._applied.pop(height)
        self._finished.append(result)
        self._index.apply(result.height, result.index)
        for transaction_id, index in result.transactions:
            self._places[transaction_id] = Place(result.height, index)

    def finished(self) -> tuple[BlockResult, ...]:
        """What `StateStore.put` may be given now."""
        return tuple(self._finished)

    def flushed(self, height: int) -> None:
        """The store has everything up to `height`."""
        self._state.drop(height)
        self._index.drop(height)
        self._finished = [result for result in self._finished if result.height > height]
        self._places = {key: place for key, place in self._places.items() if place.height > height}

    def receipts(self, height: int) -> bytes | None:
        for result in self._finished:
            if result.height == height:
                return result.receipts
        return self._store.receipts(height)

    def find_transaction(self, transaction_id: Hash) -> Place | None:
        return self._places.get(transaction_id) or self._store.find_transaction(transaction_id)

    def index_get(self, key: bytes) -> bytes | None:
        found = self._index.get(key)
        return self._store.index_get(key) if found is _ABSENT else found  # type: ignore[return-value]  # as above

    def index_scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._index.over(prefix, self._store.index_scan(prefix))


def _present(change: tuple[bytes, bytes | None]) -> Iterator[tuple[bytes, bytes]]:
    key, value = change
    if value is not None:
        yield key, value
