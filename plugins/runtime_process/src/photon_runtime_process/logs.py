"""Reads what `helper/log.py` writes, while it is being written and while its oldest part is removed."""

from __future__ import annotations

from pathlib import Path

from photon_runtime_process.helper.log import segment_name

CHUNK = 64 * 1024


class LogReader:
    """Keeps an offset into all that was ever written; what was removed before it could be read is said, not skipped."""

    def __init__(self, folder: Path, tail_lines: int) -> None:
        self._folder = folder
        self.offset = self._offset_of_last(tail_lines)

    def _starts(self) -> list[int]:
        try:
            return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdecimal())
        except FileNotFoundError:
            return []

    def _read(self, start: int, skip: int, count: int) -> bytes:
        try:
            with (self._folder / segment_name(start)).open("rb") as file:
                file.seek(skip)
                return file.read(count)
        except FileNotFoundError:
            return b""

    def _size(self, start: int) -> int:
        try:
            return (self._folder / segment_name(start)).stat().st_size
        except FileNotFoundError:
            return 0

    def _offset_of_last(self, lines: int) -> int:
        """Where the last `lines` lines begin. A last line without its end counts as one."""
        starts = self._starts()
        end = starts[-1] + self._size(starts[-1]) if starts else 0
        if lines <= 0:
            return end
        seen = 0
        for start in reversed(starts):
            position = self._size(start)
            while position > 0:
                begin = max(0, position - CHUNK)
                piece = self._read(start, begin, position - begin)
                if start + position == end and piece.endswith(b"\n"):
                    piece = piece[:-1]
                at = len(piece)
                while (at := piece.rfind(b"\n", 0, at)) >= 0:
                    seen += 1
                    if seen == lines:
                        return start + begin + at + 1
                position = begin
        return starts[0] if starts else 0

    def read(self) -> bytes:
        """The next chunk; empty when all that is there now was read."""
        while True:
            starts = self._starts()
            if not starts:
                return b""
            if self.offset < starts[0]:
                gone, self.offset = starts[0] - self.offset, starts[0]
                return b"[photon: %d bytes of older output are gone]\n" % gone
            start = max(s for s in starts if s <= self.offset)
            piece = self._read(start, self.offset - start, CHUNK)
            if piece:
                self.offset += len(piece)
                return piece
            if (later := [s for s in starts if s > start]) and self.offset < later[0]:
                self.offset = later[0]  # unreachable while segments are contiguous; never spin
            elif not later:
                return b""
