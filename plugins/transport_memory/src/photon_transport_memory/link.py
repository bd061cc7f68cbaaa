"""A link in memory: two ends and, for each direction, credit, channels and the frames on their way.

A direction keeps the frames in flight in a heap by arrival. A channel's frames never overtake each other (a frame
arrives no earlier than its predecessor), frames of different channels do when the jitter says so.
"""

from __future__ import annotations

import heapq
import random
from typing import TYPE_CHECKING

import trio

from photon_core.api.errors import PeerProtocolError
from photon_core.api.ids import NodeKey
from photon_core.api.inbox import Lane, SendCredit, frame_cost
from photon_core.api.transport import Channel, SendResult, Standing

if TYPE_CHECKING:
    from .network import MemoryNetwork
    from .transport import MemoryTransport


class Direction:
    """From one end to the other. `lane` is the receiver's, `back` the sender's own lane, which learns of new room."""

    def __init__(self, link: MemoryLink, fate: random.Random, receiver: MemoryTransport, granted: Standing) -> None:
        self.granted = granted
        self.receiver = receiver
        self.credit = SendCredit()
        self.lane: Lane | None = None
        self.back: Lane | None = None
        self._link = link
        self._fate = fate
        self._in_flight: list[tuple[float, int, Channel, bytes]] = []
        self._last_arrival = dict.fromkeys(Channel, 0.0)
        self._sent = 0

    def send(self, channel: Channel, frame: bytes) -> SendResult:
        if channel not in self.granted.channels:
            return SendResult.NO_LINK
        if not self.credit.take(channel, frame_cost(frame)):
            return SendResult.FULL
        network = self._link.network
        if network.is_lost(self._fate):
            self._link.close("a frame was lost")
            return SendResult.QUEUED
        arrival = max(trio.current_time() + network.travel_s(self._fate), self._last_arrival[channel])
        self._last_arrival[channel] = arrival
        self._sent += 1
        heapq.heappush(self._in_flight, (arrival, self._sent, channel, frame))
        if arrival <= trio.current_time():
            self.arrive()
        else:
            self.receiver.expect(arrival, self)
        return SendResult.QUEUED

    def arrive(self) -> None:
        """Hands over what is due."""
        now = trio.current_time()
        while self._in_flight and self._in_flight[0][0] <= now and self.lane is not None:
            _, _, channel, frame = heapq.heappop(self._in_flight)
            try:
                self.lane.deliver(channel, frame)
            except PeerProtocolError as error:
                self._link.close(str(error))

    def taken(self, channel: Channel, cost: int) -> None:
        if self.credit.give_back(channel, cost) and self.back is not None:
            self.back.writable(channel)

    def forget(self) -> None:
        self._in_flight.clear()


class MemoryLink:
    """Made by the transport that dialled, once both ends agreed; `close` is idempotent and tells both ends."""

    def __init__(self, network: MemoryNetwork, dialler: MemoryTransport, listener: MemoryTransport) -> None:
        self.network = network
        self.keys: tuple[NodeKey, NodeKey] = (dialler.key, listener.key)
        self._ends = (dialler, listener)
        self._open = True
        out = Direction(self, network.fate(dialler.key, listener.key), listener, listener.admission(dialler.key))
        back = Direction(self, network.fate(listener.key, dialler.key), dialler, dialler.admission(listener.key))
        self.outgoing = {dialler.key: out, listener.key: back}
        network.add(self)

    def close(self, reason: str, *, discard_at: NodeKey | None = None) -> None:
        """`discard_at` does not want what has arrived."""
        if not self._open:
            return
        self._open = False
        self.network.remove(self)
        for direction in self.outgoing.values():
            direction.forget()
        for end, other in (self._ends, self._ends[::-1]):
            end.link_closed(other.key, self, reason, discard=end.key == discard_at)
