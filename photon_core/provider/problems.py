"""What keeps the agent from seeing or doing everything, told apart by where it comes from.

Each source is set and cleared by who looks at it, so that a chain which answers hides no full disk.
"""

from __future__ import annotations

import logging
from enum import StrEnum

log = logging.getLogger(__name__)


class Source(StrEnum):
    CHAIN = "chain"
    RUNTIME = "runtime"
    DISK = "disk"
    ROUND = "round"
    """A pass of the reconciler that failed in a way nobody thought of."""
    BIDS = "bids"


class Problems:
    def __init__(self) -> None:
        self._now: dict[Source, str] = {}
        self._told = ""

    def __str__(self) -> str:
        """The first in the order of the sources; empty while all is well."""
        return next((self._now[source] for source in Source if source in self._now), "")

    def of(self, source: Source) -> str:
        return self._now.get(source, "")

    def put(self, source: Source, what: str) -> None:
        """`what` empty: it is over."""
        if what:
            self._now[source] = what
        else:
            self._now.pop(source, None)

    def tell(self) -> None:
        """To the operator's terminal: when it begins, when it is another one, and when it is over."""
        now = str(self)
        if now == self._told:
            return
        if now:
            log.warning("%s; nothing is removed on a guess meanwhile, and what runs is kept running", now)
        else:
            log.warning("all is well again after: %s", self._told)
        self._told = now
