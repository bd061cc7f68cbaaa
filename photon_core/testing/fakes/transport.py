"""Transports in memory, two by two: what a link between them promises, without a network that could do anything to it.

    one, other = linked_transports(Standing.PEER)
    ...                       # both have told LinkUp; frames that one sends the other receives
    one.disconnect()          # the link goes down, for good

For delay, loss and partitions there is the plugin `transport_memory`; this one is for tests of what is built on links.
"""

from __future__ import annotations

import trio

from photon_core.api.ids import NodeKey
from photon_core.api.inbox import Inbox, Lane, SendCredit, check_frame, frame_cost
from photon_core.api.transport import Admission, Channel, LinkInfo, SendResult, Standing, TransportEvent


class FakeTransport:
    """`dropped` is what `drop` was called with."""

    def __init__(self, key: NodeKey) -> None:
        self.key = key
        self.dropped: list[str] = []
        self._inbox = Inbox()
        self.credit = SendCredit()
        self.lane: Lane | None = None
        self.info: LinkInfo | None = None
        self._other: FakeTransport | None = None

    def connect(self, other: FakeTransport, standing: Standing) -> None:
        """Half of a link; `standing` is the other one's."""
        self._other = other
        self.credit = SendCredit()
        self.info = LinkInfo(peer=other.key, address="fake", inbound=False, standing=standing)
        self.lane = self._inbox.link_up(self.info, self._taken)

    def disconnect(self, reason: str = "the cable was cut", *, discard: bool = False) -> None:
        other, self._other, self.info = self._other, None, None
        if self.lane is not None:
            self.lane.close(reason, discard=discard)
        if other is not None:
            other.disconnect(reason)

    def _taken(self, channel: Channel, cost: int) -> None:
        if self._other is not None and self._other.credit.give_back(channel, cost) and self._other.lane is not None:
            self._other.lane.writable(channel)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()

    async def listen(self, address: str) -> str:
        await trio.lowlevel.checkpoint()
        return address or "fake"

    def dial(self, peer: NodeKey, addresses: tuple[str, ...]) -> None:
        """Links are made by `connect`."""

    def drop(self, peer: NodeKey, reason: str) -> None:
        self.dropped.append(reason)
        if self.info is not None and self.info.peer == peer:
            self.disconnect(reason, discard=True)

    def links(self) -> tuple[LinkInfo, ...]:
        return () if self.info is None else (self.info,)

    def send(self, peer: NodeKey, channel: Channel, frame: bytes) -> SendResult:
        check_frame(frame)
        other = self._other
        if other is None or other.key != peer or other.info is None or channel not in other.info.standing.channels:
            return SendResult.NO_LINK
        if not self.credit.take(channel, frame_cost(frame)):
            return SendResult.FULL
        assert other.lane is not None
        other.lane.deliver(channel, frame)
        return SendResult.QUEUED

    async def receive(self) -> TransportEvent:
        return await self._inbox.receive()

    def set_admission(self, admission: Admission) -> None:
        """Standings are set by `connect`."""


def linked_transports(
    standing: Standing = Standing.PEER, *, of_the_first: Standing | None = None
) -> tuple[FakeTransport, FakeTransport]:
    """Two transports with a link; each is of `standing` to the other, or the first one of a standing of its own."""
    one, other = FakeTransport(bytes([1]) * 32), FakeTransport(bytes([2]) * 32)
    one.connect(other, standing)
    other.connect(one, standing if of_the_first is None else of_the_first)
    return one, other
