"""The block log: every block in order of height, and beside it every certificate. On disk when `append` returns.

This is the node's commit point (design, "Storage"): state, receipts and indexes are derived from it and may lag behind.
Blocks and certificates are two logs in one folder, because a block is written before it is executed and its certificate
exists only after; both are cut into segments, files named after the first height in them.

Blocking; the node calls it in a thread. One thread appends, any may read meanwhile.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from photon_core.api.errors import LocalProtocolError, PhotonError
from photon_core.chain.blocks import BLOCK_BYTES_MAX
from photon_core.chain.certificates import CERTIFICATE_BYTES_MAX
from photon_core.chain.files import FolderLock
from photon_core.chain.framed_file import FramedFile

SEGMENT_BYTES: Final = 256 * 2**20
"""Only the newest segment is read in full at start: a fraction of a second. A file per day or so on a busy chain."""
_REMEDY: Final = (
    "Move this folder and the state beside it away and start again: the node then fetches the chain from its peers. "
    "A network's only validator needs its backup."
)


class HeightLog:
    """Payloads in order of height without a gap, in segments `<name>-<first height>.log`."""

    def __init__(self, folder: Path, name: str, payload_bytes_max: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder, self._name = folder, name
        self._payload_bytes_max, self._segment_bytes = payload_bytes_max, segment_bytes
        self._segments: list[FramedFile] = []
        self._firsts: list[int] = []
        paths = sorted(folder.glob(f"{name}-*.log"))
        try:
            for path in paths:
                self._open_segment(path, sealed=path != paths[-1])
        except BaseException:
            self.close()
            raise

    @property
    def first(self) -> int:
        """The lowest height in it; 1 when it is empty."""
        return self._firsts[0] if self._firsts else 1

    @property
    def height(self) -> int:
        """The highest in it; 0 when it is empty."""
        return self._firsts[-1] + len(self._segments[-1]) - 1 if self._firsts else 0

    @property
    def torn_bytes(self) -> int:
        return sum(segment.torn_bytes for segment in self._segments)

    def append(self, height: int, payload: bytes) -> None:
        """On disk when it returns. An empty log begins at any height, as after a snapshot; then no gaps."""
        if self._firsts and height != self.height + 1:
            raise LocalProtocolError(f"{self._name} log: {height} after {self.height}")
        if not self._segments or self._segments[-1].size >= self._segment_bytes:
            self._open_segment(self._folder / f"{self._name}-{height:020}.log")
        self._segments[-1].append(height, payload)

    def read(self, height: int) -> bytes | None:
        """None when the log does not have this height."""
        if not self._firsts or not self.first <= height <= self.height:
            return None
        at = bisect_right(self._firsts, height) - 1
        return self._segments[at].read(self._segments[at][height - self._firsts[at]])

    def close(self) -> None:
        for segment in self._segments:
            segment.close()

    def _open_segment(self, path: Path, sealed: bool = False) -> None:
        digits = path.stem.rpartition("-")[2]
        first = int(digits) if digits.isdigit() else -1
        expected = self.height + 1 if self._firsts else first
        segment = FramedFile(path, payload_bytes_max=self._payload_bytes_max, remedy=_REMEDY, sealed=sealed)
        self._segments.append(segment)
        tags = [frame.tag for frame in segment]
        if first != expected or tags != list(range(first, first + len(tags))):
            raise PhotonError(
                code="corrupt-folder",
                what="heights do not follow each other: a file is missing, renamed or damaged",
                where=str(path),
                expected=f"heights from {expected} on",
                found=f"{tags[0]} to {tags[-1]}" if tags else f"a file for {first}",
                remedy=_REMEDY,
            )
        self._firsts.append(first)


class BlockLog:
    """Opens or makes the log in `folder`, for this process alone. `note` says what a crash left torn, or nothing."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._lock = FolderLock(folder)
        try:
            self._blocks = HeightLog(folder, "blocks", BLOCK_BYTES_MAX, segment_bytes)
            self._certificates = HeightLog(folder, "certificates", CERTIFICATE_BYTES_MAX, segment_bytes)
            self._check_together(folder)
        except BaseException:
            self.close()
            raise
        torn = self._blocks.torn_bytes + self._certificates.torn_bytes
        self.note = f"{folder}: cut off {torn} bytes of an append that a crash interrupted" if torn else ""

    def __enter__(self) -> BlockLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def first(self) -> int:
        return self._blocks.first

    @property
    def height(self) -> int:
        """Of the newest block; 0 when there is none."""
        return self._blocks.height

    @property
    def certified_height(self) -> int:
        """Of the newest certificate; 0 when there is none."""
        return self._certificates.height

    def append(self, height: int, block: bytes, certificate: bytes | None = None) -> None:
        """The block, and its certificate when it came with one, are on disk when this returns."""
        self._blocks.append(height, block)
        if certificate is not None:
            self.append_certificate(height, certificate)

    def append_certificate(self, height: int, certificate: bytes) -> None:
        if height > self.height:
            raise LocalProtocolError(f"a certificate for {height}, but the newest block is {self.height}")
        self._certificates.append(height, certificate)

    def read(self, height: int) -> bytes | None:
        return self._blocks.read(height)

    def read_certificate(self, height: int) -> bytes | None:
        return self._certificates.read(height)

    def range(self, first: int, last: int) -> Iterator[tuple[int, bytes, bytes | None]]:
        """(height, block, certificate or None) from `first` to `last`, as far as the log has them."""
        for height in range(max(first, self.first), min(last, self.height) + 1):
            block = self.read(height)
            assert block is not None, "heights have no gaps"
            yield height, block, self.read_certificate(height)

    def close(self) -> None:
        for part in ("_blocks", "_certificates"):
            if hasattr(self, part):
                getattr(self, part).close()
        self._lock.release()

    def _check_together(self, folder: Path) -> None:
        """A certificate is written after its block was synced: without the block, the disk lost one."""
        if self.certified_height > self.height:
            raise PhotonError(
                code="corrupt-folder",
                what="the newest block is damaged or missing",
                where=str(folder),
                expected=f"block {self.certified_height}, which has a certificate",
                found=f"blocks up to {self.height}",
                remedy=_REMEDY,
            )
