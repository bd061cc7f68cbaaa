"""The write-ahead log: small records that must be on disk before something is said or done.

Engine records before a vote leaves, and a signer's slots before a signature does. Records carry a height; `forget`
gives those of lower heights up, and the file is written anew once most of it is of no use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from photon_core.api import fields
from photon_core.api.codec import decode_record, encode_record
from photon_core.api.errors import CodecError, PhotonError
from photon_core.chain.files import FolderLock, sync_folder
from photon_core.chain.framed_file import Frame, FramedFile

APPEND_BYTES_MAX: Final = 64 * 2**20
"""One append: an engine's records of some blocks in flight, each with its content."""
RECORDS_MAX: Final = 10_000
"""Records of one append: more than an engine can have to say about its window of blocks."""
COMPACT_BYTES_MIN: Final = 2**20
"""Below this a file is not worth writing anew."""
_REMEDY: Final = (
    "Never go on with a part of it, and never restore it from a copy: a validator that forgets what it signed can be "
    "punished. Run `photon validator recover` (see docs/operations.md), which sets this folder aside; or make a new "
    "validator with a new key (`photon validator init`)."
)


@frozen(kw_only=True)
class _Entry:
    """One append. What was forgotten by then travels with it."""

    below: int = fields.uint()
    records: tuple[bytes, ...] = fields.listof(fields.blob_form(maximum=APPEND_BYTES_MAX), RECORDS_MAX)


class WriteAheadLog:
    """Opens or makes the log in `folder`, for this process alone. Blocking; one thread at a time."""

    def __init__(self, folder: Path, *, compact_bytes_min: int = COMPACT_BYTES_MIN) -> None:
        self._lock = FolderLock(folder)
        self._path = folder / "wal.log"
        self._compact_bytes_min = compact_bytes_min
        self._below = 0
        try:
            self._next_path.unlink(missing_ok=True)  # a compaction that a crash interrupted
            self._file = self._open(self._path)
            if len(self._file):
                self._below = self._entry(self._file[-1]).below
        except BaseException:
            self.close()
            raise
        torn = self._file.torn_bytes
        self.note = f"{folder}: cut off {torn} bytes of an append that a crash interrupted" if torn else ""

    @property
    def below(self) -> int:
        """Records of lower heights were given up, as far as the disk knows: it learns of it with the next append."""
        return self._below

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._file.size

    @property
    def is_new(self) -> bool:
        """Nothing was ever appended: one that was written to, and forgot everything, still says what it forgot."""
        return not len(self._file)

    def append(self, records: Sequence[bytes], *, height: int = 0) -> None:
        """All of them, or after a crash none, are on disk when this returns."""
        self._file.append(height, encode_record(_Entry(below=self._below, records=tuple(records))))

    def read_all(self) -> list[bytes]:
        """What was appended and not forgotten, oldest first."""
        return [record for frame in self._live() for record in self._entry(frame).records]

    def forget(self, below_height: int) -> None:
        """Gives up the records of lower heights. Forgetting late, after a crash, does no harm, so nothing is synced."""
        if below_height <= self._below:
            return
        self._below = below_height
        if self._file.size > self._compact_bytes_min:
            live_bytes = sum(frame.length for frame in self._live())
            if self._file.size > 2 * live_bytes:
                self._compact()

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        self._lock.release()

    @property
    def _next_path(self) -> Path:
        return self._path.with_suffix(".next")

    def _open(self, path: Path) -> FramedFile:
        return FramedFile(path, payload_bytes_max=APPEND_BYTES_MAX, remedy=_REMEDY)

    def _live(self) -> list[Frame]:
        return [frame for frame in self._file if frame.tag >= self._below]

    def _entry(self, frame: Frame) -> _Entry:
        try:
            return decode_record(_Entry, self._file.read(frame), APPEND_BYTES_MAX)
        except CodecError as error:
            raise PhotonError(
                code="corrupt-folder", what=f"is not a write-ahead log: {error}", where=str(self._path), remedy=_REMEDY
            ) from None

    def _compact(self) -> None:
        """The old file holds until the new one, whole and synced, takes its name."""
        new = self._open(self._next_path)
        try:
            for frame in self._live():
                new.append(frame.tag, self._file.read(frame), sync=False)
            new.append(self._below, encode_record(_Entry(below=self._below, records=())))
            self._next_path.replace(self._path)
            sync_folder(self._path.parent)
        except BaseException:
            new.close()
            self._next_path.unlink(missing_ok=True)
            raise
        self._file.close()
        new.path = self._path
        self._file = new
