"""Links between hosts: frames that take time, get lost, come twice or late; links that drop, stall and come back.

Theory of operation
-------------------
A pair of hosts has one link. While it is up, a frame from one end arrives at the other after a random latency: in order
per channel, as Photon's transports promise (`in_order`), or, in harsher runs, as datagrams which overtake each other,
get lost and come twice. A link that goes down loses all that is on it, and both ends are told; it comes back when
nothing blocks it any more and somebody dials. A stalled link loses nothing: what arrives is held, and comes all at once
when the stall ends, however late that is.

`Censor` is asked about each frame of an engine: a run can lose one kind of statement on some links, and nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum
from functools import partial

from attrs import define, field, frozen

from .schedule import Schedule

Notice = Callable[[int, int, bool], None]
"""(host, peer, is up): told to a host of its link to a peer."""


class Channel(Enum):
    CONSENSUS = "consensus"
    GOSSIP = "gossip"
    REQUESTS = "requests"


@frozen(kw_only=True)
class Quality:
    """`lost` and `doubled` are probabilities per frame."""

    latency_ms: tuple[int, int] = (1, 20)
    in_order: bool = True
    lost: float = 0.0
    doubled: float = 0.0
    gossip_lost: float = 0.0
    """Gossip is dropped when a peer is busy, on the best of links."""


PERFECT = Quality()


@define
class Link:
    up: bool = False
    epoch: int = 0
    """Frames of an earlier one are lost."""
    blocked: int = 0
    """By how many faults: it cannot come up meanwhile."""
    stalled: int = 0
    held: list[Callable[[], None]] = field(factory=list)
    last_ms: dict[tuple[int, Channel], int] = field(factory=dict)
    """When the newest frame of a sender arrives."""


class Links:
    def __init__(self, hosts: int, schedule: Schedule, dice: random.Random, notice: Notice) -> None:
        self.quality = PERFECT
        self._schedule, self._dice, self._notice = schedule, dice, notice
        self.pairs = [(one, two) for one in range(hosts) for two in range(one + 1, hosts)]
        self._links = {pair: Link() for pair in self.pairs}

    def between(self, one: int, two: int) -> Link:
        return self._links[min(one, two), max(one, two)]

    def send(self, sender: int, to: int, channel: Channel, deliver: Callable[[], None]) -> bool:
        """False when it is known at once that nothing arrives: there is no link."""
        link, quality, dice = self.between(sender, to), self.quality, self._dice
        if not link.up:
            return False
        copies = 1
        if channel is Channel.GOSSIP and quality.gossip_lost and dice.random() < quality.gossip_lost:
            return True
        if not quality.in_order and channel is not Channel.REQUESTS:
            chance = dice.random()
            copies = 0 if chance < quality.lost else 2 if chance < quality.lost + quality.doubled else 1
        for _ in range(copies):
            at_ms = self._schedule.now_ms + dice.randint(*quality.latency_ms)
            if quality.in_order:
                at_ms = max(at_ms, link.last_ms.get((sender, channel), 0))
                link.last_ms[sender, channel] = at_ms
            self._schedule.after(at_ms - self._schedule.now_ms, partial(_arrive, link, link.epoch, deliver))
        return True

    # --- up and down ---------------------------------------------------------------------------------------------

    def connect(self, one: int, two: int) -> None:
        link = self.between(one, two)
        if link.up or link.blocked:
            return
        link.up = True
        self._notice(one, two, True)
        self._notice(two, one, True)

    def disconnect(self, one: int, two: int) -> None:
        link = self.between(one, two)
        if not link.up:
            return
        link.up = False
        link.epoch += 1
        link.held.clear()
        link.last_ms.clear()
        self._notice(one, two, False)
        self._notice(two, one, False)

    def block(self, one: int, two: int) -> None:
        self.between(one, two).blocked += 1
        self.disconnect(one, two)

    def unblock(self, one: int, two: int) -> None:
        """Whoever wants the link back dials."""
        self.between(one, two).blocked -= 1

    def stall(self, one: int, two: int) -> None:
        self.between(one, two).stalled += 1

    def release(self, one: int, two: int) -> None:
        link = self.between(one, two)
        link.stalled -= 1
        if not link.stalled:
            held, link.held = link.held, []
            for arrive in held:
                self._schedule.after(0, arrive)


def _arrive(link: Link, epoch: int, deliver: Callable[[], None]) -> None:
    if link.epoch != epoch:
        return
    if link.stalled:
        link.held.append(partial(_arrive, link, epoch, deliver))
    else:
        deliver()
