"""The workload's output on disk: a few segments named by the offset at which they begin, the oldest removed.

`log/0000000000000000`, `log/0000000000400000`, … Offsets count from the first byte ever written, so that a reader knows
how much it missed; the sum of the segments never exceeds the plan's `log_bytes`. Bytes go from the workload's pipe to
the file by splice(2), never through Python. On a full disk output is read and thrown away: the workload goes on.
"""

from __future__ import annotations

import contextlib
import errno
import os

from photon_runtime_process.helper.plan import LOG_DIR

SEGMENTS = 4
CHUNK = 1024 * 1024  # one splice; a pipe holds at most this much unless root says otherwise
DISCARD = 64 * 1024


def segment_name(offset: int) -> str:
    return f"{offset:020d}"


class LogWriter:
    def __init__(self, folder_fd: int, limit_bytes: int) -> None:
        self._folder = os.open(LOG_DIR, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder_fd)
        self._segment_bytes = max(1, limit_bytes // SEGMENTS)
        names = os.listdir(self._folder)  # noqa: PTH208 - of an open folder: no path leads to it any more
        self._starts = sorted(int(name) for name in names if name.isdecimal())
        newest = self._starts[-1] if self._starts else 0
        size = os.stat(segment_name(newest), dir_fd=self._folder).st_size if self._starts else 0
        self._fd, self._room = -1, 0
        self._begin(newest + size)

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self._starts[-1] + self._segment_bytes - self._room

    def _begin(self, offset: int) -> None:
        """A new segment; those that make the log too long go first, so that the bound also holds in between."""
        while len(self._starts) >= SEGMENTS:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(segment_name(self._starts.pop(0)), dir_fd=self._folder)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        self._fd = os.open(segment_name(offset), flags, 0o600, dir_fd=self._folder)
        if offset not in self._starts:
            self._starts.append(offset)
        self._room = self._segment_bytes

    def take(self, pipe: int) -> bool:
        """Moves what one splice can from the non-blocking pipe. False at its end. BlockingIOError when it is empty."""
        try:
            if not self._room:
                self._begin(self._starts[-1] + self._segment_bytes)
            moved = os.splice(pipe, self._fd, min(self._room, CHUNK))
        except OSError as problem:
            if problem.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOENT}:
                raise
            return bool(os.read(pipe, DISCARD))
        self._room -= moved
        return moved > 0
