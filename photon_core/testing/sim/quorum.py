"""Whether anything can be decided at all: with a quorum missing, nothing new may be committed.

The watch knows which hosts live and which links are up. While no group of hosts that can reach each other holds a
quorum, only what was decided before may still come to light, on its way through disks and threads, for `GRACE_MS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .checkers import Violation
from .links import Links

GRACE_MS = 3_000
"""A commit may wait for its content, which is asked for anew each second."""


class _Host(Protocol):
    @property
    def up(self) -> bool: ...


class QuorumWatch:
    def __init__(self, links: Links, hosts: Sequence[_Host], powers: Sequence[int]) -> None:
        self._links, self._hosts, self._powers = links, hosts, powers
        self._missing_since: int | None = 0
        self._highest = 0

    def changed(self, now_ms: int) -> None:
        """A host or a link came or went."""
        if 3 * self._best() > 2 * sum(self._powers):
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = now_ms

    def disturbed(self, now_ms: int) -> None:
        """Something that was under way before is let go only now: a stopped node wakes up, a stall ends."""
        if self._missing_since is not None:
            self._missing_since = now_ms

    def committed(self, height: int, now_ms: int) -> None:
        """An honest node commits it or has it final."""
        if height <= self._highest:
            return
        self._highest = height
        since = self._missing_since
        if since is not None and now_ms - since > GRACE_MS:
            raise Violation(f"quorum: block {height} is committed, and no quorum was there for {now_ms - since} ms")

    def _best(self) -> int:
        """The power of the strongest group."""
        best, seen = 0, [False] * len(self._powers)
        for first in range(len(self._powers)):
            if seen[first] or not self._hosts[first].up:
                continue
            seen[first] = True
            group, power = [first], 0
            while group:
                one = group.pop()
                power += self._powers[one]
                for other in range(len(self._powers)):
                    if other != one and not seen[other] and self._links.between(one, other).up:
                        seen[other] = True
                        group.append(other)
            best = max(best, power)
        return best
