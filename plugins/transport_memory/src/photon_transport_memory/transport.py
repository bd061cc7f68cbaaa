"""`Transport` inside one process. See `network` for what can happen to frames."""

from __future__ import annotations

import heapq
import random

import nacl.signing
import trio
from attrs import define, evolve, field

from photon_core.api.ids import NodeKey
from photon_core.api.inbox import Inbox, check_frame
from photon_core.api.transport import (
    LINKS_KEPT,
    LINKS_MAX,
    Admission,
    Channel,
    LinkInfo,
    SendResult,
    Standing,
    TransportContext,
    TransportEvent,
)

from .link import Direction, MemoryLink
from .network import MemoryNetwork

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0


@define
class _Wanted:
    """A peer to keep a link to. `changed` is set when there may be something to do: dropped, or the link is lost."""

    addresses: tuple[str, ...]
    stopped: bool = False
    changed: trio.Event = field(factory=trio.Event)


@define
class _End:
    """This transport's end of a link."""

    link: MemoryLink
    info: LinkInfo


def _everybody_a_stranger(_peer: NodeKey) -> Standing:
    return Standing.STRANGER


class MemoryTransport:
    def __init__(self, context: TransportContext, network: MemoryNetwork) -> None:
        self.key: NodeKey = bytes(nacl.signing.SigningKey(context.node_seed).verify_key)
        self.chain_id = context.chain_id
        self.admission: Admission = _everybody_a_stranger
        self._network = network
        self._inbox = Inbox()
        self._ends: dict[NodeKey, _End] = {}
        self._wanted: dict[NodeKey, _Wanted] = {}
        self._arrivals: list[tuple[float, int, Direction]] = []
        self._arrival_count = 0
        self._expected = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._backoff = random.Random(f"{network.seed}:{self.key.hex()}")  # noqa: S311  # a simulation

    # -- Transport ---------------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._deliver)
                for peer, wanted in self._wanted.items():
                    nursery.start_soon(self._keep, peer, wanted)
                task_status.started()
        finally:
            self._nursery = None
            self._network.leave(self)
            for end in list(self._ends.values()):
                end.link.close("the transport was stopped")

    async def listen(self, address: str) -> str:
        await trio.lowlevel.checkpoint()
        return self._network.listen(address, self)

    def dial(self, peer: NodeKey, addresses: tuple[str, ...]) -> None:
        if peer == self.key:
            raise ValueError("a node has no link to itself")
        wanted = self._wanted.get(peer)
        if wanted is not None:
            wanted.addresses = addresses
            return
        wanted = self._wanted[peer] = _Wanted(addresses)
        if self._nursery is not None:
            self._nursery.start_soon(self._keep, peer, wanted)

    def drop(self, peer: NodeKey, reason: str) -> None:
        wanted = self._wanted.pop(peer, None)
        if wanted is not None:
            wanted.stopped = True
            wanted.changed.set()
        end = self._ends.get(peer)
        if end is not None:
            end.link.close(reason, discard_at=self.key)

    def links(self) -> tuple[LinkInfo, ...]:
        return tuple(end.info for end in self._ends.values())

    def send(self, peer: NodeKey, channel: Channel, frame: bytes) -> SendResult:
        check_frame(frame)
        end = self._ends.get(peer)
        return SendResult.NO_LINK if end is None else end.link.outgoing[self.key].send(channel, frame)

    async def receive(self) -> TransportEvent:
        return await self._inbox.receive()

    def set_admission(self, admission: Admission) -> None:
        self.admission = admission
        for peer, end in list(self._ends.items()):
            standing = admission(peer)
            if standing is not Standing.REFUSED and end.info.standing.channels <= standing.channels:
                end.info = evolve(end.info, standing=standing)
                end.link.outgoing[peer].granted = standing
            else:  # as on a wire: what is in flight on a channel that was taken away must not count as a breach
                end.link.close(f"its standing is now {standing.name}")

    # -- links -------------------------------------------------------------------------------------------------------

    def _connect(self, peer: NodeKey, address: str) -> bool:
        listener = self._network.find(address, peer, self.key)
        if listener is None or not self.takes(listener) or not listener.takes(self):
            return False
        link = MemoryLink(self._network, self, listener)
        self.link_opened(link, peer, address, inbound=False)
        listener.link_opened(link, self.key, f"memory:from-{self.key.hex()[:8]}", inbound=True)
        return True

    def takes(self, peer: MemoryTransport) -> bool:
        """Whether this node has a link with that one, if that one wants to."""
        return (
            self._nursery is not None
            and peer.chain_id == self.chain_id
            and self.admission(peer.key) is not Standing.REFUSED
            and peer.key not in self._ends
            and self._has_place(self.admission(peer.key))
        )

    def _has_place(self, standing: Standing) -> bool:
        unknown = sum(not end.info.standing.is_known for end in self._ends.values())
        return len(self._ends) < LINKS_MAX and (standing.is_known or unknown < LINKS_MAX - LINKS_KEPT)

    def link_opened(self, link: MemoryLink, peer: NodeKey, address: str, *, inbound: bool) -> None:
        info = LinkInfo(peer=peer, address=address, inbound=inbound, standing=self.admission(peer))
        self._ends[peer] = _End(link, info)
        incoming, outgoing = link.outgoing[peer], link.outgoing[self.key]
        incoming.lane = outgoing.back = self._inbox.link_up(info, incoming.taken)

    def link_closed(self, peer: NodeKey, link: MemoryLink, reason: str, *, discard: bool) -> None:
        end = self._ends.get(peer)
        if end is None or end.link is not link:
            return
        del self._ends[peer]
        lane = link.outgoing[peer].lane
        if lane is not None:
            lane.close(reason, discard=discard)
        if peer in self._wanted:
            self._wanted[peer].changed.set()

    # -- tasks -------------------------------------------------------------------------------------------------------

    def expect(self, arrival: float, direction: Direction) -> None:
        self._arrival_count += 1
        heapq.heappush(self._arrivals, (arrival, self._arrival_count, direction))
        self._expected.set()

    async def _deliver(self) -> None:
        while True:
            next_arrival = self._arrivals[0][0] if self._arrivals else float("inf")
            self._expected = trio.Event()
            with trio.move_on_at(next_arrival):
                await self._expected.wait()
            while self._arrivals and self._arrivals[0][0] <= trio.current_time():
                _, _, direction = heapq.heappop(self._arrivals)
                direction.arrive()

    async def _keep(self, peer: NodeKey, wanted: _Wanted) -> None:
        """Keeps the link to one peer until it is dropped."""
        backoff_s = BACKOFF_FIRST_S
        while not wanted.stopped:
            if peer in self._ends or any(self._connect(peer, address) for address in wanted.addresses):
                backoff_s = BACKOFF_FIRST_S
                wanted.changed = trio.Event()
                await wanted.changed.wait()
            else:
                wanted.changed = trio.Event()
                with trio.move_on_after(backoff_s * self._backoff.uniform(0.75, 1.25)):
                    await wanted.changed.wait()
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
