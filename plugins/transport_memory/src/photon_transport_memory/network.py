"""The network that transports of one process share: who listens where, who can reach whom, and how frames fare.

What a frame meets is drawn from a generator of its own for each link and direction, seeded by the network's seed, both
keys and how many links the two have had. So the same sends on a link have the same fate in every run, whatever else
runs in the process and in whatever order trio wakes its tasks.

A lost frame takes its link down. The contract promises that a link has no gaps, and a network below that loses
packets for good shows itself just so to TCP: as a connection that breaks, with everything in flight.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from photon_core.api.ids import NodeKey

if TYPE_CHECKING:
    from .link import MemoryLink
    from .transport import MemoryTransport

MILLION = 1_000_000


class MemoryNetwork:
    """`latency_ms`, `jitter_ms` and `loss_ppm` may be changed at any time and count for what is sent from then on."""

    def __init__(self, seed: int = 0, *, latency_ms: int = 0, jitter_ms: int = 0, loss_ppm: int = 0) -> None:
        self.seed = seed
        self.latency_ms = latency_ms
        self.jitter_ms = jitter_ms
        self.loss_ppm = loss_ppm
        self._listeners: dict[str, MemoryTransport] = {}
        self._links: list[MemoryLink] = []
        self._generations: dict[tuple[NodeKey, NodeKey], int] = {}
        self._severed: Callable[[NodeKey, NodeKey], bool] = lambda _one, _other: False

    # -- what a test does to it --------------------------------------------------------------------------------------

    def partition(self, *sides: Iterable[NodeKey]) -> None:
        """Only keys of one side reach each other; keys that are on no side reach nobody. Links across go down at
        once.
        """
        side_of = {key: number for number, side in enumerate(sides) for key in side}
        self._severed = lambda one, other: one not in side_of or side_of[one] != side_of.get(other)
        for link in [link for link in self._links if self._severed(*link.keys)]:
            link.close("the network is partitioned")

    def heal(self) -> None:
        self._severed = lambda _one, _other: False

    def cut(self, one: NodeKey, other: NodeKey) -> None:
        """The link between the two goes down, once; whoever dialled dials again."""
        for link in [link for link in self._links if set(link.keys) == {one, other}]:
            link.close("the cable was cut")

    # -- what transports do with it ----------------------------------------------------------------------------------

    def listen(self, address: str, transport: MemoryTransport) -> str:
        """`memory:0`, or nothing, takes any free address."""
        address = address or "memory:0"
        if not address.startswith("memory:"):
            raise ValueError(f"{address!r} is no address of this transport; they look like memory:node-1, or memory:0")
        if address == "memory:0":
            number = 1
            while f"memory:{number}" in self._listeners:
                number += 1
            address = f"memory:{number}"
        if address in self._listeners:
            raise OSError(f"{address} is in use")
        self._listeners[address] = transport
        return address

    def leave(self, transport: MemoryTransport) -> None:
        self._listeners = {a: t for a, t in self._listeners.items() if t is not transport}

    def find(self, address: str, key: NodeKey, caller: NodeKey) -> MemoryTransport | None:
        """The transport of `key` if it listens at `address` and the caller reaches it."""
        found = self._listeners.get(address)
        if found is None or found.key != key or self._severed(key, caller):
            return None
        return found

    def add(self, link: MemoryLink) -> None:
        self._links.append(link)

    def remove(self, link: MemoryLink) -> None:
        if link in self._links:
            self._links.remove(link)

    def fate(self, sender: NodeKey, receiver: NodeKey) -> random.Random:
        """The generator for what meets the frames of the next link in this direction."""
        pair = (sender, receiver)
        generation = self._generations[pair] = self._generations.get(pair, 0) + 1
        return random.Random(f"{self.seed}:{sender.hex()}:{receiver.hex()}:{generation}")  # noqa: S311  # a simulation

    def is_lost(self, fate: random.Random) -> bool:
        return fate.randrange(MILLION) < self.loss_ppm

    def travel_s(self, fate: random.Random) -> float:
        return (self.latency_ms + fate.randint(0, self.jitter_ms)) / 1000


_named: WeakValueDictionary[str, MemoryNetwork] = WeakValueDictionary()


def named_network(name: str, *, seed: int, latency_ms: int, jitter_ms: int, loss_ppm: int) -> MemoryNetwork:
    """The network of that name, for as long as anybody uses it."""
    network = _named.get(name)
    if network is None:
        network = MemoryNetwork(seed, latency_ms=latency_ms, jitter_ms=jitter_ms, loss_ppm=loss_ppm)
        _named[name] = network
    return network
