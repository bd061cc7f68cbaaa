"""The state store (LMDB): state records, receipts, where each transaction is, and indexes, as of one height.

Derived from the block log and behind it: whole blocks arrive in batches, each batch one synced transaction with the
height in it, so that after a crash the store stands at a block's border and the log is replayed from there. What is
executed and not yet written is in `state_view`.

Reads may run beside a write. LMDB's map grows by being replaced, which no transaction may see: the gate keeps readers
out for that moment.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import lmdb
from attrs import frozen

from photon_core.api.errors import LocalProtocolError, PhotonError
from photon_core.api.ids import Hash
from photon_core.chain.files import FolderLock

MAP_BYTES_FIRST: Final = 2**30
"""Address space, not disk. Doubled whenever it is full."""
KEY_BYTES_MAX: Final = 511
"""LMDB's."""
FREE_BYTES_MIN: Final = 2**20
"""With less than a batch's pages left, whatever a write fails with is the full disk."""
SCAN_CHUNK: Final = 1000
"""Records read in one go: a scan holds no transaction between, which would keep old pages and the map from growing."""
_FORMAT: Final = b"1"
_TABLES: Final = ("state", "receipts", "transactions", "index", "about")
_REMEDY: Final = "Remove this folder (not the blocks beside it) and start again: it is made anew from the block log."

_DAMAGE: Final = (
    lmdb.InvalidError,
    lmdb.CorruptedError,
    lmdb.VersionMismatchError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
)

Changes = Sequence[tuple[bytes, bytes | None]]


@frozen(kw_only=True)
class BlockResult:
    """What one executed block leaves. None in `changes` and `index` removes; `receipts` is opaque here.

    `transactions`: (id, which one in the block) of those that were executed. A void one may come again.
    """

    height: int
    changes: Changes = ()
    receipts: bytes = b""
    transactions: tuple[tuple[Hash, int], ...] = ()
    index: Changes = ()


@frozen
class Place:
    """Where a transaction is: its block, and which one in it."""

    height: int
    index: int


class StateStore:
    """Opens or makes the store in `folder`, for this process and this chain alone. Blocking."""

    def __init__(self, folder: Path, chain_id: Hash, *, map_bytes: int = MAP_BYTES_FIRST) -> None:
        self._folder = folder
        self._gate = _Gate()
        self._lock = FolderLock(folder)
        self._environment: Any = None
        try:
            self._open(map_bytes)
            self._check_about(chain_id)
        except BaseException:
            self.close()
            raise

    @property
    def height(self) -> int | None:
        """Of the newest block in it; None while it is empty. Genesis is height 0."""
        raw = self._get("about", b"height")
        return None if raw is None else int.from_bytes(raw, "big")

    def put(self, blocks: Sequence[BlockResult]) -> None:
        """All of these blocks, in order of height, or none: synced when it returns. PhotonError when it cannot."""
        height = self.height
        for block in blocks:
            if height is not None and block.height != height + 1:
                raise LocalProtocolError(f"{self._folder}: block {block.height} after {height}")
            height = block.height
        while True:
            try:
                with self._gate.reading(), self._reporting(), self._environment.begin(write=True) as transaction:
                    for block in blocks:
                        self._put_block(transaction, block)
                return
            except lmdb.MapFullError:
                self._grow()

    def get(self, key: bytes) -> bytes | None:
        return self._get("state", key)

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """State records whose key begins with `prefix`, in order of keys."""
        return self._scan("state", prefix)

    def receipts(self, height: int) -> bytes | None:
        return self._get("receipts", _height_key(height))

    def find_transaction(self, transaction_id: Hash) -> Place | None:
        raw = self._get("transactions", transaction_id)
        return None if raw is None else Place(int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big"))

    def index_get(self, key: bytes) -> bytes | None:
        return self._get("index", key)

    def index_scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._scan("index", prefix)

    def close(self) -> None:
        if self._environment is not None:
            self._environment.close()
            self._environment = None
        self._lock.release()

    # --- opening -----------------------------------------------------------------------------------------------------

    def _open(self, map_bytes: int) -> None:
        if self._is_full():  # LMDB maps a file that it has not filled yet: no room for a page ends the process (SIGBUS)
            raise self._error("disk-full", "cannot be opened: there is no room left", remedy="Make room on this disk.")
        with self._reporting():
            self._environment = lmdb.open(str(self._folder), map_size=map_bytes, max_dbs=len(_TABLES), mode=0o600)
            self._check_length()
            self._tables = {name: self._environment.open_db(name.encode()) for name in _TABLES}

    def _check_length(self) -> None:
        """A file that lost its end would end this process at the first touch of a missing page (SIGBUS)."""
        pages = self._environment.info()["last_pgno"] + 1
        expected = pages * self._environment.stat()["psize"]
        found = (self._folder / "data.mdb").stat().st_size
        if found < expected:
            raise self._error("corrupt-folder", "data.mdb was cut short", f"{expected} bytes", f"{found}", _REMEDY)

    def _check_about(self, chain_id: Hash) -> None:
        found_format, found_chain = self._get("about", b"format"), self._get("about", b"chain")
        if found_format is None:
            with self._reporting(), self._environment.begin(write=True, db=self._tables["about"]) as transaction:
                transaction.put(b"format", _FORMAT)
                transaction.put(b"chain", chain_id)
            return
        if found_format != _FORMAT:
            raise self._error(
                "corrupt-folder",
                "was written by another version of Photon",
                f"format {_FORMAT.decode()}",
                f"format {found_format.decode('ascii', 'replace')}",
                _REMEDY,
            )
        if found_chain != chain_id:
            raise self._error(
                "wrong-chain",
                "is the state of another chain",
                chain_id.hex(),
                (found_chain or b"").hex(),
                "Name the folder that belongs to this genesis file, or an empty one.",
            )

    # --- tables ------------------------------------------------------------------------------------------------------

    def _get(self, table: str, key: bytes) -> bytes | None:
        if not 0 < len(key) <= KEY_BYTES_MAX:
            return None
        with self._gate.reading(), self._reporting(), self._environment.begin(db=self._tables[table]) as transaction:
            found: bytes | None = transaction.get(key)
            return found

    def _scan(self, table: str, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        start = prefix
        while chunk := self._chunk(table, prefix, start):
            yield from chunk
            if len(chunk) < SCAN_CHUNK:
                return
            start = chunk[-1][0] + b"\0"  # the next possible key

    def _chunk(self, table: str, prefix: bytes, start: bytes) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        with self._gate.reading(), self._reporting(), self._environment.begin(db=self._tables[table]) as transaction:
            cursor = transaction.cursor()
            if cursor.set_range(start) if start else cursor.first():
                for key, value in cursor:
                    if not key.startswith(prefix) or len(found) == SCAN_CHUNK:
                        break
                    found.append((key, value))
        return found

    def _put_block(self, transaction: Any, block: BlockResult) -> None:
        height = _height_key(block.height)
        for table, changes in (("state", block.changes), ("index", block.index)):
            database = self._tables[table]
            for key, value in changes:
                if value is None:
                    transaction.delete(key, db=database)
                else:
                    transaction.put(key, value, db=database)
        transaction.put(height, block.receipts, db=self._tables["receipts"])
        for transaction_id, index in block.transactions:
            transaction.put(transaction_id, height + index.to_bytes(4, "big"), db=self._tables["transactions"])
        transaction.put(b"height", height, db=self._tables["about"])

    def _grow(self) -> None:
        with self._gate.alone(), self._reporting():
            self._environment.set_mapsize(2 * self._environment.info()["map_size"])

    # --- failing -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """LMDB's errors as ours; a full map is `put`'s own business."""
        try:
            yield
        except lmdb.MapFullError:
            raise
        except (lmdb.Error, OSError) as error:
            text = str(error)
            if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in text or self._is_full():
                what = f"cannot be written: {text}"
                raise self._error("disk-full", what, remedy="Make room on this disk.") from error
            if isinstance(error, _DAMAGE):
                what = f"is no state store, or a damaged one: {text}"
                raise self._error("corrupt-folder", what, remedy=_REMEDY) from error
            raise self._error("disk-error", text, remedy="Look at the disk and the folder's permissions.") from error

    def _is_full(self) -> bool:
        """LMDB calls a write that a full disk cut short an I/O error."""
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize < FREE_BYTES_MIN

    def _error(self, code: str, what: str, expected: str = "", found: str = "", remedy: str = "") -> PhotonError:
        where = str(self._folder)
        return PhotonError(code=code, what=what, where=where, expected=expected, found=found, remedy=remedy)


class _Gate:
    """Many at a time, or one alone; who waits to be alone is let in before newcomers. Not to be entered twice."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closing = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._closing)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                if not self._inside:
                    self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._closing += 1
            try:
                self._changed.wait_for(lambda: not self._inside)
                yield
            finally:
                self._closing -= 1
                self._changed.notify_all()


def _height_key(height: int) -> bytes:
    return height.to_bytes(8, "big")
