"""Who was turned away: which workload tried to reach what. Bounded, for the tenant's status."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

import trio
from attrs import frozen

from photon_core.api.sandbox_net import PEERS, refused_target
from photon_core.peers.methods import RefusedAttempt

PACKETS_PER_LOOK = 64
LOOK_EVERY_S = 0.05
"""A workload that is refused in a loop costs the agent some 1 300 packets a second and no more; the kernel drops the
others, and the count is a lower bound."""
_PACKET_BYTES = 128
_LOOPBACK, _PEERS = ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network(PEERS)


@frozen(order=True)
class Target:
    service: str
    address: str
    port: int


class RefusedLog:
    """Counts per target; beyond `targets_max` no new ones are taken."""

    def __init__(self, targets_max: int) -> None:
        self._targets_max = targets_max
        self._counts: dict[Target, int] = {}

    def add(self, target: Target) -> None:
        if target in self._counts or len(self._counts) < self._targets_max:
            self._counts[target] = self._counts.get(target, 0) + 1

    def report(self, names: dict[str, str]) -> tuple[RefusedAttempt, ...]:
        """`names`: address to service name, of the lease."""
        return tuple(
            RefusedAttempt(
                service=t.service, address=t.address, port=t.port, name=names.get(t.address, ""), count=count
            )
            for t, count in sorted(self._counts.items())
        )


class RefusalWatch:
    """Owns a sandbox's `refusals` socket. `run` reads it until `close`; a workload's own closed ports are no news."""

    def __init__(self, seeing: socket.socket, tell: Callable[[str, int], None]) -> None:
        seeing.setblocking(False)
        self._seeing, self._tell = seeing, tell
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        try:
            with self._scope:
                while True:
                    await trio.lowlevel.wait_readable(self._seeing)
                    if not self._look():
                        return
                    await trio.sleep(LOOK_EVERY_S)
        finally:
            self._seeing.close()

    def _look(self) -> bool:
        """False at the end of what there is to see."""
        for _ in range(PACKETS_PER_LOOK):
            try:
                packet = self._seeing.recv(_PACKET_BYTES)
            except BlockingIOError:
                return True
            except OSError:  # the network went with its sandbox
                return False
            if not packet:
                return False
            if (target := refused_target(packet)) is not None and _is_outside(target[0]):
                self._tell(*target)
        return True

    def close(self) -> None:
        """`run` closes the socket as it ends: it may be waiting on it."""
        self._scope.cancel()


def _is_outside(address: str) -> bool:
    """Of the workload's own addresses."""
    where = ipaddress.ip_address(address)
    return where not in _LOOPBACK or where in _PEERS
