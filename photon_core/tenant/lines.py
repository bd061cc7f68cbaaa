"""Lines out of log chunks, and which of them were shown before. Pure.

Theory of operation
-------------------
A provider has no mark of how far somebody has read: its engine keeps output, not readers. So who was cut off asks for
the last lines again, and what was shown before is told by itself: the longest beginning of the new lines that is an
end of the old ones. With lines that differ that is exact. Of lines that are all alike as many are taken for known as
fit, so that nothing is shown twice; a line that came meanwhile and is like all others is then not shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from attrs import define, field, frozen

from photon_core.peers.methods import LogChunk

LINE_BYTES_MAX = 256 * 1024
"""What is longer is cut: a provider that never ends a line must not fill the reader's memory."""
HISTORY_LINES = 2_000
"""Of each instance; more than are asked for again."""

Instance = tuple[str, int]
"""A service and an ordinal."""


@frozen
class LogLine:
    """One line of one instance's output, without its end."""

    service: str
    ordinal: int
    text: bytes

    @property
    def instance(self) -> Instance:
        return self.service, self.ordinal


@define
class LineCutter:
    """Cuts the chunks of several instances into whole lines."""

    _rest: dict[Instance, bytes] = field(factory=dict)

    def add(self, chunk: LogChunk) -> list[LogLine]:
        key = chunk.service, chunk.ordinal
        *whole, rest = (self._rest.get(key, b"") + chunk.data).split(b"\n")
        while len(rest) > LINE_BYTES_MAX:
            whole.append(rest[:LINE_BYTES_MAX])
            rest = rest[LINE_BYTES_MAX:]
        self._rest[key] = rest
        return [LogLine(*key, line) for line in whole]

    def end(self) -> list[LogLine]:
        """What did not end in a newline."""
        rest, self._rest = self._rest, {}
        return [LogLine(*key, line) for key, line in rest.items() if line]


@define
class Shown:
    """The last lines of each instance that were shown, as their hashes: only whether two are alike is asked."""

    _history: dict[Instance, deque[int]] = field(factory=dict)

    def add(self, line: LogLine) -> None:
        self._history.setdefault(line.instance, deque(maxlen=HISTORY_LINES)).append(hash(line.text))

    def fresh(self, lines: Sequence[LogLine]) -> list[LogLine]:
        """Those that were not shown, of the lines of a new reading, in their order."""
        left = {of: known_lines(self._history.get(of, ()), found) for of, found in _by_instance(lines).items()}
        fresh = []
        for line in lines:
            if left[line.instance]:
                left[line.instance] -= 1
            else:
                fresh.append(line)
        return fresh


def known_lines(old: Sequence[int], new: Sequence[int]) -> int:
    """How many of the first lines of `new` end `old`; where `old` is the shorter, all of it must be among them."""
    before = list(old)
    if not before:
        return 0
    for count in range(len(new), 0, -1):
        overlap = min(count, len(before))
        if before[-overlap:] == list(new[count - overlap : count]):
            return count
    return 0


def _by_instance(lines: Sequence[LogLine]) -> dict[Instance, list[int]]:
    found: dict[Instance, list[int]] = {}
    for line in lines:
        found.setdefault(line.instance, []).append(hash(line.text))
    return found
