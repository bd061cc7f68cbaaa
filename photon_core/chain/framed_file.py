"""An append-only file of checksummed frames: what the block log and the write-ahead log are made of.

    file  = magic (8) salt (16) frames…
    frame = marker (4) length (4) tag (8) checksum (16) payload

Theory of operation
-------------------
One append is one frame, one write and one fdatasync; it returns when the frame is on disk, and the next begins after
that. So after a crash at most the last frame is damaged: torn, full of zeros, or with pages that never arrived. Opening
cuts such a tail off, since nobody was told that it was written. A damaged frame with a whole one behind it is another
thing: that was on disk and is no more. It is refused, never repaired: what follows it cannot be trusted either.

To tell the two apart, opening looks for a whole frame behind a damaged one. Payloads hold strangers' bytes, and a
stranger could put a frame into one; so marker and checksum are keyed with the file's random salt, which leaves this
machine never. The checksum covers the frame's place too: an old frame that a file system brings back is none.

After a failed sync the kernel may have dropped what it could not write, and a second sync would succeed: nothing is
written through this object any more. A failed write (a full disk) is undone and can be tried again.
"""

from __future__ import annotations

import errno
import os
import secrets
import struct
from array import array
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

from attrs import frozen

from photon_core.api.errors import LocalProtocolError, PhotonError
from photon_core.chain.files import sync_folder

MAGIC: Final = b"PHOTFRM1"
_SALT_BYTES: Final = 16
_START: Final = len(MAGIC) + _SALT_BYTES
_HEAD: Final = struct.Struct(">4sIQ16s")
_CHUNK_BYTES: Final = 1 << 20
_RESTART: Final = "Look at the disk, then start this process again."


@frozen(kw_only=True)
class Frame:
    """Where a frame is, and its tag (a height)."""

    offset: int
    tag: int
    length: int


class FramedFile:
    """Opens or makes `path`. `torn_bytes` is what opening had to cut off.

    `sealed` is for a file that is never appended to again and may be huge: opening reads the frames' heads only (each
    payload is still checked when it is read), and takes no damage for a torn tail.
    """

    def __init__(self, path: Path, *, payload_bytes_max: int, remedy: str, sealed: bool = False) -> None:
        self.path = path
        self.torn_bytes = 0
        self._offsets, self._tags, self._lengths = array("Q"), array("Q"), array("I")
        """Per frame. Arrays, because a chain's logs have millions."""
        self._sealed = sealed
        self._payload_bytes_max = payload_bytes_max
        self._remedy = remedy
        self._broken = False
        self._file = -1
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._salt = self._open_head()
            self._marker = self._keyed(b"marker", 4)
            self.size = _START
            self._scan()
        except OSError as error:  # what was begun of a new file is begun anew by the next try
            self.close()
            raise self._os_error("cannot be opened or made", error) from error
        except BaseException:
            self.close()
            raise

    def append(self, tag: int, payload: bytes, *, sync: bool = True) -> Frame:
        """The frame, on disk (unless `sync` is False: then with the next one that is). PhotonError when it cannot."""
        if self._broken:
            raise self._error("disk-error", "an earlier write failed; nothing more is written", _RESTART)
        if len(payload) > self._payload_bytes_max:
            raise LocalProtocolError(f"{self.path}: a payload of {len(payload)}, at most {self._payload_bytes_max}")
        frame = Frame(offset=self.size, tag=tag, length=len(payload))
        try:
            _write_all(self._file, self._head(frame, payload) + payload, frame.offset)
        except OSError as error:
            self._undo_write()
            raise self._os_error("cannot be written", error) from error
        if sync:
            self._sync()
        self._add(frame)
        return frame

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self._offsets)

    def __getitem__(self, index: int) -> Frame:
        return Frame(offset=self._offsets[index], tag=self._tags[index], length=self._lengths[index])

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))

    def read(self, frame: Frame) -> bytes:
        """The payload; PhotonError when the disk no longer has what was written. Safe beside `append` in a thread."""
        data = _read_exactly(self._file, _HEAD.size + frame.length, frame.offset)
        if len(data) != _HEAD.size + frame.length or self._whole(data, frame.offset) != frame:
            raise self._corrupt(frame.offset)
        return data[_HEAD.size :]

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # --- opening -----------------------------------------------------------------------------------------------------

    def _open_head(self) -> bytes:
        head = _read_exactly(self._file, _START, 0)
        if len(head) == _START and head.startswith(MAGIC):
            return head[len(MAGIC) :]
        if len(head) == _START and any(head):
            raise self._error("corrupt-folder", "is not a Photon log, or was damaged at its beginning", self._remedy)
        salt = secrets.token_bytes(_SALT_BYTES)  # new, or torn while it was made: nothing was ever appended
        self.torn_bytes = os.fstat(self._file).st_size
        os.ftruncate(self._file, 0)
        _write_all(self._file, MAGIC + salt, 0)
        os.fsync(self._file)
        sync_folder(self.path.parent)
        return salt

    def _add(self, frame: Frame) -> None:
        self._offsets.append(frame.offset)
        self._tags.append(frame.tag)
        self._lengths.append(frame.length)
        self.size = frame.offset + _HEAD.size + frame.length

    def _scan(self) -> None:
        end = os.fstat(self._file).st_size
        while self.size < end:
            frame = self._frame_at(self.size, end, check=not self._sealed)
            if frame is None:
                if self._sealed or self._whole_frame_behind(self.size + 1, end):
                    raise self._corrupt(self.size)
                self.torn_bytes = end - self.size
                os.ftruncate(self._file, self.size)
                os.fsync(self._file)
                return
            self._add(frame)

    def _frame_at(self, offset: int, end: int, check: bool) -> Frame | None:
        head = _read_exactly(self._file, _HEAD.size, offset)
        if len(head) < _HEAD.size:
            return None
        marker, length, tag, _ = _HEAD.unpack(head)
        if marker != self._marker or length > self._payload_bytes_max or offset + _HEAD.size + length > end:
            return None
        if check:
            return self._whole(_read_exactly(self._file, _HEAD.size + length, offset), offset)
        return Frame(offset=offset, tag=tag, length=length)

    def _whole_frame_behind(self, start: int, end: int) -> bool:
        while start < end:
            chunk = _read_exactly(self._file, _CHUNK_BYTES, start)
            at = chunk.find(self._marker)
            while at >= 0:
                if self._frame_at(start + at, end, check=True) is not None:
                    return True
                at = chunk.find(self._marker, at + 1)
            start += max(1, len(chunk) - len(self._marker) + 1)
        return False

    # --- frames ------------------------------------------------------------------------------------------------------

    def _keyed(self, data: bytes, length: int) -> bytes:
        return blake2b(data, digest_size=length, key=self._salt).digest()

    def _checksum(self, frame: Frame, payload: bytes) -> bytes:
        place = struct.pack(">QQI", frame.offset, frame.tag, frame.length)
        return self._keyed(place + payload, 16)

    def _head(self, frame: Frame, payload: bytes) -> bytes:
        return _HEAD.pack(self._marker, frame.length, frame.tag, self._checksum(frame, payload))

    def _whole(self, data: bytes, offset: int) -> Frame | None:
        _, length, tag, checksum = _HEAD.unpack_from(data)
        frame = Frame(offset=offset, tag=tag, length=length)
        return frame if checksum == self._checksum(frame, data[_HEAD.size :]) else None

    # --- failing -----------------------------------------------------------------------------------------------------

    def _sync(self) -> None:
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._broken = True
            raise self._os_error("cannot be synced to disk", error) from error

    def _undo_write(self) -> None:
        try:
            os.ftruncate(self._file, self.size)
        except OSError:
            self._broken = True

    def _corrupt(self, offset: int) -> PhotonError:
        return self._error(
            "corrupt-folder", f"the frame at byte {offset} is damaged, and it was whole before", self._remedy
        )

    def _os_error(self, what: str, error: OSError) -> PhotonError:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return self._error("disk-full", f"{what}: {error.strerror}", "Make room on this disk.")
        return self._error("disk-error", f"{what}: {error.strerror}", _RESTART)

    def _error(self, code: str, what: str, remedy: str) -> PhotonError:
        return PhotonError(code=code, what=what, where=str(self.path), remedy=remedy)


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _read_exactly(file: int, length: int, offset: int) -> bytes:
    """Less only where the file ends."""
    data = os.pread(file, length, offset)
    while len(data) < length and (more := os.pread(file, length - len(data), offset + len(data))):
        data += more
    return data
