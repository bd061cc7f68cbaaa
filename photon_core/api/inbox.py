"""What every transport needs behind its `receive` and `send`: events in the contract's order, and credit that both
ends keep.

Theory of operation. A transport has one `Inbox`. Each link, at both ends, has a `Lane` (what came in) and a
`SendCredit` (what went out). A link that replaces another one to the same peer has a new lane: whatever arrives late
for an old lane goes nowhere, so nothing of an earlier link can be taken for a later one.

`Inbox.receive` yields news first (link up, link down, writable), then frames of the highest priority; within a channel
the links take turns, so that who fills its credit waits behind itself and keeps nobody else waiting. `LinkDown` waits
until the frames that had arrived are taken, unless they are to be discarded: because this node dropped the peer, or
because the peer is back already.

Credit is counted in `frame_cost`. The sender counts a frame from the moment it is queued, the receiver from its arrival
until it is taken; so the receiver never counts more than the sender may send, and one that does is in breach.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio
from attrs import define, field

from .errors import PeerProtocolError
from .ids import NodeKey
from .transport import (
    CREDIT_BYTES,
    FRAME_BYTES_MAX,
    FRAME_OVERHEAD_BYTES,
    Channel,
    FrameReceived,
    LinkDown,
    LinkInfo,
    LinkUp,
    TransportEvent,
    Writable,
)


def frame_cost(frame: bytes) -> int:
    return len(frame) + FRAME_OVERHEAD_BYTES


def check_frame(frame: bytes) -> None:
    """ValueError for a frame that no transport carries."""
    if len(frame) > FRAME_BYTES_MAX:
        raise ValueError(f"a frame has at most {FRAME_BYTES_MAX} bytes, this one {len(frame)}; send it in parts")


def _no_bytes() -> dict[Channel, int]:
    return dict.fromkeys(Channel, 0)


@define
class SendCredit:
    """One direction of one link, seen by its sender."""

    outstanding: dict[Channel, int] = field(factory=_no_bytes)
    _refused: set[Channel] = field(factory=set)

    def take(self, channel: Channel, cost: int) -> bool:
        """False when the channel has no room for a frame of this cost."""
        if self.outstanding[channel] + cost > CREDIT_BYTES[channel]:
            self._refused.add(channel)
            return False
        self.outstanding[channel] += cost
        return True

    def give_back(self, channel: Channel, cost: int) -> bool:
        """The receiver took frames of this cost. True when the channel had said FULL and has room again.

        Room means half of the credit: a sender that is woken for every byte would do nothing else.
        """
        if cost > self.outstanding[channel]:
            raise PeerProtocolError(f"gives back {cost} bytes of {channel.name}, {self.outstanding[channel]} are out")
        self.outstanding[channel] -= cost
        if channel in self._refused and self.outstanding[channel] <= CREDIT_BYTES[channel] // 2:
            self._refused.discard(channel)
            return True
        return False


class Lane:
    """One link's way into the inbox. Made by `Inbox.link_up`."""

    def __init__(self, inbox: Inbox, peer: NodeKey, on_taken: Callable[[Channel, int], None]) -> None:
        self.peer = peer
        self.untaken = _no_bytes()
        self.waiting: dict[Channel, deque[bytes]] = {channel: deque() for channel in Channel}
        self.on_taken = on_taken
        self.open = True
        self.discarded = False
        self.farewell: LinkDown | None = None
        self._inbox = inbox

    def deliver(self, channel: Channel, frame: bytes) -> None:
        """PeerProtocolError when the sender exceeds its credit."""
        if not self.open:
            return
        cost = frame_cost(frame)
        if self.untaken[channel] + cost > CREDIT_BYTES[channel]:
            raise PeerProtocolError(
                f"exceeds its credit of {CREDIT_BYTES[channel]} bytes of {channel.name} by a frame of {len(frame)}"
            )
        self.untaken[channel] += cost
        self._inbox.add_frame(self, channel, frame)

    def writable(self, channel: Channel) -> None:
        if self.open:
            self._inbox.add_news(Writable(peer=self.peer, channel=channel))

    def close(self, reason: str, *, discard: bool = False) -> None:
        """The link is down. `discard`: what has arrived and was not taken is not wanted any more."""
        if not self.open:
            return
        self.open = False
        self.farewell = LinkDown(peer=self.peer, reason=reason)
        if discard or not any(self.untaken.values()):
            self.finish()

    def finish(self) -> None:
        """Say farewell now, once; frames that were not taken never will be."""
        self.discarded = True
        if self.farewell is not None:
            self._inbox.add_news(self.farewell)
            self.farewell = None


class Inbox:
    """See the module. One task calls `receive`; everything else is called by the transport's tasks, and never waits."""

    def __init__(self) -> None:
        self._news: deque[TransportEvent] = deque()
        self._turns: dict[Channel, deque[Lane]] = {channel: deque() for channel in Channel}
        """Lanes with frames, each once, the next one first."""
        self._lanes: dict[NodeKey, Lane] = {}
        self._wake = trio.Event()

    def link_up(self, link: LinkInfo, on_taken: Callable[[Channel, int], None]) -> Lane:
        """`on_taken(channel, cost)` is called for each frame of this link that `receive` returns, while the link
        stands.
        """
        former = self._lanes.get(link.peer)
        if former is not None:
            former.close("replaced by a new link", discard=True)
            former.finish()
        lane = self._lanes[link.peer] = Lane(self, link.peer, on_taken)
        self.add_news(LinkUp(link=link))
        return lane

    def add_news(self, event: TransportEvent) -> None:
        self._news.append(event)
        self._wake.set()

    def add_frame(self, lane: Lane, channel: Channel, frame: bytes) -> None:
        if not lane.waiting[channel]:
            self._turns[channel].append(lane)
        lane.waiting[channel].append(frame)
        self._wake.set()

    async def receive(self) -> TransportEvent:
        await trio.lowlevel.checkpoint()  # before the event is taken: a cancelled caller must not lose it
        while (event := self._next()) is None:
            self._wake = trio.Event()
            await self._wake.wait()
        return event

    def _next(self) -> TransportEvent | None:
        if self._news:
            event = self._news.popleft()
            if isinstance(event, LinkDown) and not self._stands(event.peer):
                self._lanes.pop(event.peer, None)
            return event
        for channel, turns in self._turns.items():
            while turns:
                lane = turns.popleft()
                if not lane.discarded:
                    frame = lane.waiting[channel].popleft()
                    if lane.waiting[channel]:
                        turns.append(lane)
                    return self._taken(lane, channel, frame)
        return None

    def _stands(self, peer: NodeKey) -> bool:
        lane = self._lanes.get(peer)
        return lane is not None and lane.open

    def _taken(self, lane: Lane, channel: Channel, frame: bytes) -> FrameReceived:
        cost = frame_cost(frame)
        lane.untaken[channel] -= cost
        if lane.open:
            lane.on_taken(channel, cost)
        elif not any(lane.untaken.values()):
            lane.finish()
        return FrameReceived(peer=lane.peer, channel=channel, frame=frame)
