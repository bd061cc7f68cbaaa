"""The live connections of one lease: counted, bounded, and closed when what allowed them is taken back."""

from __future__ import annotations

import socket
from collections.abc import Hashable

from .limits import NetworkLimits
from .relay import Relay, Workers


class Census:
    """How many connections the whole agent has."""

    def __init__(self, limits: NetworkLimits) -> None:
        self.limits = limits
        self.total = 0
        self.workers = Workers(limits)


class Connections:
    """`reason` is the grant or rule that a connection lives by."""

    def __init__(self, census: Census) -> None:
        self._census = census
        self._live: dict[int, tuple[Hashable, Relay]] = {}
        self._opening = 0
        self._next = 0
        self.turned_away = 0
        """Connections that came when the lease or the agent had too many."""

    def __len__(self) -> int:
        return len(self._live) + self._opening

    def admit(self) -> bool:
        """Takes a place for a connection that is being made; `leave` or `carry` gives it back."""
        limits = self._census.limits
        if len(self) >= limits.lease_connections_max or self._census.total >= limits.connections_max:
            self.turned_away += 1
            return False
        self._opening += 1
        self._census.total += 1
        return True

    def leave(self) -> None:
        self._opening -= 1
        self._census.total -= 1

    async def carry(self, reason: Hashable, left: socket.socket, right: socket.socket, first: bytes = b"") -> None:
        """Moves bytes until the connection is over; the place that `admit` gave stays taken so long."""
        relay = Relay(left, right, self._census.workers)
        number, self._next = self._next, self._next + 1
        self._live[number] = (reason, relay)
        self._opening -= 1
        try:
            await relay.run(first)
        finally:
            del self._live[number]
            self._opening += 1

    def close(self, reason: Hashable) -> None:
        for held, relay in list(self._live.values()):
            if held == reason:
                relay.close()
