"""What every transport promises: the sentences of `photon_core.api.transport`, each tried between real instances.

A check makes its own nodes and waits for their events; none of it sleeps. Where something must not happen, something
else that must happen, and that was started later, is waited for first: a positive control.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import nacl.signing
import trio
import trio.testing

from photon_core.api.ids import NodeKey
from photon_core.api.transport import (
    CREDIT_BYTES,
    FRAME_BYTES_MAX,
    Channel,
    FrameReceived,
    LinkDown,
    LinkInfo,
    LinkUp,
    SendResult,
    Standing,
    Transport,
    TransportContext,
    TransportEvent,
    Writable,
)
from photon_core.testing.checks.clauses import Clauses, Subject

TransportSubject = Subject[TransportContext, Transport]

TIMEOUT_S = 30
"""For one check; a handshake takes milliseconds, a slow machine many of them."""
UPS = 8
"""Whether frames travel together with the greeting is up to the scheduler; in so many links some do."""
CHAIN_ID = b"\x01" * 32
OTHER_CHAIN_ID = b"\x02" * 32

transport_clauses: Clauses[TransportContext, Transport] = Clauses("transport")


class Node:
    """A transport, its key, and what `receive` has told."""

    def __init__(self, subject: TransportSubject, number: int, chain_id: bytes = CHAIN_ID) -> None:
        seed = bytes([number]) * 32
        self.key: NodeKey = bytes(nacl.signing.SigningKey(seed).verify_key)
        self.transport = subject.make(TransportContext(node_seed=seed, chain_id=chain_id, config=None))
        self.address = ""

    def trust(self, *peers: Node, standing: Standing = Standing.VALIDATOR) -> None:
        keys = {peer.key for peer in peers}
        self.transport.set_admission(lambda key: standing if key in keys else Standing.STRANGER)

    def dial(self, peer: Node) -> None:
        self.transport.dial(peer.key, (peer.address,))

    async def until(self, wanted: Callable[[TransportEvent], bool]) -> TransportEvent:
        """The next such event; others before it are let go."""
        while not wanted(event := await self.transport.receive()):
            pass
        return event

    async def up(self, peer: Node) -> LinkInfo:
        event = await self.until(lambda event: isinstance(event, LinkUp) and event.link.peer == peer.key)
        assert isinstance(event, LinkUp)
        return event.link

    async def down(self, peer: Node) -> LinkDown:
        event = await self.until(lambda event: isinstance(event, LinkDown) and event.peer == peer.key)
        assert isinstance(event, LinkDown)
        return event

    async def frame(self) -> FrameReceived:
        event = await self.until(lambda event: isinstance(event, FrameReceived))
        assert isinstance(event, FrameReceived)
        return event

    def fill(self, peer: Node, channel: Channel, frame: bytes) -> int:
        """Sends until the channel is full; how many frames it took."""
        count = 0
        while (result := self.transport.send(peer.key, channel, frame)) is SendResult.QUEUED:
            count += 1
            assert count * len(frame) <= CREDIT_BYTES[channel], f"{channel.name} takes more than its credit"
        assert result is SendResult.FULL, f"a live link says {result}"
        return count


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[trio.Nursery]:
    """All nodes run and listen; afterwards they are stopped."""
    with trio.fail_after(TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            for node in nodes:
                await nursery.start(node.transport.run)
                node.address = await node.transport.listen("")
            yield nursery
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def linked(one: Node, other: Node, standing: Standing = Standing.VALIDATOR) -> AsyncIterator[trio.Nursery]:
    """`one` dialled `other`, and each is of this standing to the other one."""
    async with running(one, other) as nursery:
        one.trust(other, standing=standing)
        other.trust(one, standing=standing)
        one.dial(other)
        await one.up(other)
        await other.up(one)
        yield nursery


def pair(subject: TransportSubject) -> tuple[Node, Node]:
    return Node(subject, 1), Node(subject, 2)


# --- links ------------------------------------------------------------------------------------------------------------


@transport_clauses.clause("Who listens can be dialled by key at the address that listen returned; both see one link.")
async def link(subject: TransportSubject) -> None:
    one, other = pair(subject)
    async with running(one, other):
        one.dial(other)
        here, there = await one.up(other), await other.up(one)
        assert (here.peer, here.inbound, here.address) == (other.key, False, other.address)
        assert (there.peer, there.inbound) == (one.key, True)
        assert one.transport.links() == (here,)
        assert other.transport.links() == (there,)
        assert here.standing is there.standing is Standing.STRANGER, "by default everybody is a stranger"


@transport_clauses.clause("Both may dial at once: one link comes of it, and it carries frames both ways.")
async def both_dial(subject: TransportSubject) -> None:
    one, other = pair(subject)
    async with running(one, other):
        one.dial(other)
        other.dial(one)
        for here, there in ((one, other), (other, one)):
            await here.up(there)
        await _talk(one, other)
        await _talk(other, one)
        assert len(one.transport.links()) == len(other.transport.links()) == 1


async def _talk(sender: Node, receiver: Node) -> None:
    """A frame gets through, once the ends agree which link they keep."""
    async with trio.open_nursery() as nursery:

        async def again() -> None:
            while True:
                sender.transport.send(receiver.key, Channel.REQUESTS, b"hello")
                await sender.transport.receive()

        nursery.start_soon(again)
        assert (await receiver.frame()).frame == b"hello"
        nursery.cancel_scope.cancel()


@transport_clauses.clause("A link that is lost is dialled again, also when the peer comes back as another process.")
async def reconnects(subject: TransportSubject) -> None:
    one, first, second = Node(subject, 1), Node(subject, 2), Node(subject, 2)
    async with running(one):
        async with trio.open_nursery() as life:
            await life.start(first.transport.run)
            first.address = await first.transport.listen("")
            one.dial(first)
            await one.up(first)
            life.cancel_scope.cancel()
        await one.down(first)
        async with trio.open_nursery() as life:
            await life.start(second.transport.run)
            await second.transport.listen(first.address)
            await one.up(second)
            await second.up(one)
            assert one.transport.send(second.key, Channel.REQUESTS, b"again") is SendResult.QUEUED
            assert (await second.frame()).frame == b"again"
            life.cancel_scope.cancel()


@transport_clauses.clause("A dropped link is down at both ends and is not dialled again.")
async def dropped(subject: TransportSubject) -> None:
    one, other = pair(subject)
    third = Node(subject, 3)
    async with linked(one, other), running(third):
        one.transport.drop(other.key, "enough")
        assert one.transport.links() == ()
        assert one.transport.send(other.key, Channel.REQUESTS, b"") is SendResult.NO_LINK
        assert (await one.down(other)).reason == "enough"
        await other.down(one)
        one.dial(third)
        await one.up(third)
        assert [link.peer for link in one.transport.links()] == [third.key]


@transport_clauses.clause("Stopping the transport closes its links.")
async def stopped(subject: TransportSubject) -> None:
    one, other = pair(subject)
    async with running(other):
        async with trio.open_nursery() as life:
            await life.start(one.transport.run)
            one.dial(other)
            await one.up(other)
            await other.up(one)
            life.cancel_scope.cancel()
        await other.down(one)
        assert other.transport.links() == ()


@transport_clauses.clause("A peer of another chain, and one under another key than was dialled, get no link.")
async def strangers_to_the_chain(subject: TransportSubject) -> None:
    one, other = pair(subject)
    foreign, control = Node(subject, 3, OTHER_CHAIN_ID), Node(subject, 4)
    async with running(one, other, foreign, control):
        foreign.dial(one)
        one.transport.dial(control.key, (other.address,))
        one.dial(other)
        await one.up(other)
        control.dial(one)
        await control.up(one)
        peers = {link.peer for link in one.transport.links()}
        assert foreign.key not in peers, "a node of another chain has a link"
        assert foreign.transport.links() == ()
        inbound = {link.peer for link in one.transport.links() if link.inbound}
        assert control.key in inbound, "the link that was dialled under a wrong key stands"


@transport_clauses.clause("A node has no link to itself.")
async def not_to_itself(subject: TransportSubject) -> None:
    one = Node(subject, 1)
    async with running(one):
        try:
            one.dial(one)
        except ValueError:
            return
        raise AssertionError("dialling its own key is no ValueError")


@transport_clauses.clause("What the answerer sends as soon as its link is up arrives.")
async def sent_at_once(subject: TransportSubject) -> None:
    for _ in range(UPS):
        one, other = pair(subject)
        async with running(one, other):
            one.trust(other)
            other.trust(one)
            one.dial(other)
            await other.up(one)
            for channel in Channel:
                assert other.transport.send(one.key, channel, bytes([channel])) is SendResult.QUEUED
            got = [await one.frame() for _ in Channel]
            assert sorted(event.frame for event in got) == [bytes([channel]) for channel in Channel]


# --- frames -----------------------------------------------------------------------------------------------------------


@transport_clauses.clause("Frames of 0 to FRAME_BYTES_MAX bytes arrive whole, once, in order within their channel.")
async def frames(subject: TransportSubject) -> None:
    one, other = pair(subject)
    async with linked(one, other):
        sizes = (0, 1, 1000, 65535, 65536, 0, FRAME_BYTES_MAX)
        sent = {channel: [bytes([channel]) * size for size in sizes] for channel in Channel}
        for place in range(len(sent[Channel.BULK])):
            for channel, frames_of_channel in sent.items():
                assert one.transport.send(other.key, channel, frames_of_channel[place]) is SendResult.QUEUED
        got: dict[Channel, list[bytes]] = {channel: [] for channel in Channel}
        while sum(map(len, got.values())) < sum(map(len, sent.values())):
            event = await other.frame()
            assert event.peer == one.key
            got[event.channel].append(event.frame)
        assert got == sent


@transport_clauses.clause("A longer frame is a ValueError, a frame to nobody NO_LINK.")
async def not_sent(subject: TransportSubject) -> None:
    one, other = pair(subject)
    async with linked(one, other):
        try:
            one.transport.send(other.key, Channel.BULK, bytes(FRAME_BYTES_MAX + 1))
        except ValueError:
            pass
        else:
            raise AssertionError(f"a frame of {FRAME_BYTES_MAX + 1} bytes was taken")
        assert one.transport.send(bytes(32), Channel.REQUESTS, b"") is SendResult.NO_LINK
        assert one.transport.send(other.key, Channel.REQUESTS, b"still here") is SendResult.QUEUED
        assert (await other.frame()).frame == b"still here"


@transport_clauses.clause("A channel takes its credit, then says FULL; taking frames makes it Writable again.")
async def credit(subject: TransportSubject) -> None:
    one, other = pair(subject)
    async with linked(one, other):
        for channel in Channel:
            frame = bytes([channel]) * 50_000
            count = one.fill(other, channel, frame)
            assert count * len(frame) > CREDIT_BYTES[channel] - FRAME_BYTES_MAX, f"{channel.name} is full too early"
            for _ in range(count):
                assert (await other.frame()).frame == frame
            event = await one.until(lambda event: isinstance(event, Writable))
            assert event == Writable(peer=other.key, channel=channel)
            assert one.transport.send(other.key, channel, b"on") is SendResult.QUEUED
            assert (await other.frame()).frame == b"on"


@transport_clauses.clause("Empty frames are not free.")
async def empty_frames(subject: TransportSubject) -> None:
    one, other = pair(subject)
    async with linked(one, other):
        for _ in range(CREDIT_BYTES[Channel.BULK]):
            if one.transport.send(other.key, Channel.BULK, b"") is SendResult.FULL:
                return
        raise AssertionError("a channel takes as many empty frames as its credit has bytes")


@transport_clauses.clause("A full channel does not hold back another one.")
async def channels_apart(subject: TransportSubject) -> None:
    one, other = pair(subject)
    async with linked(one, other):
        for channel in (Channel.BULK, Channel.REQUESTS, Channel.GOSSIP):
            one.fill(other, channel, bytes(FRAME_BYTES_MAX))
        assert one.transport.send(other.key, Channel.CONSENSUS, b"urgent") is SendResult.QUEUED
        while (await other.frame()).channel is not Channel.CONSENSUS:
            pass


@transport_clauses.clause("Of frames that have arrived, receive returns those of the higher priority first.")
async def priority(subject: TransportSubject) -> None:
    one, other = pair(subject)
    async with linked(one, other):
        for channel in reversed(Channel):
            assert one.transport.send(other.key, channel, bytes(10)) is SendResult.QUEUED
        one.transport.send(other.key, Channel.CONSENSUS, b"last")
        seen = [await other.frame()]
        # All have arrived once the last one has: the sender had it behind the others, or sent it before them.
        await trio.testing.wait_all_tasks_blocked()
        seen += [await other.frame() for _ in Channel]
        rest = [event.channel for event in seen[1:]]
        assert rest == sorted(rest), f"received in the order {[channel.name for channel in rest]}"


# --- standing ---------------------------------------------------------------------------------------------------------


@transport_clauses.clause("No frame arrives on a channel that the sender's standing does not include.")
async def standing(subject: TransportSubject) -> None:
    for of in (Standing.STRANGER, Standing.FOLLOWER, Standing.PEER):
        one, other = pair(subject)
        async with running(one, other):
            one.trust(other)
            other.trust(one, standing=of)
            one.dial(other)
            await one.up(other)
            for channel in Channel:
                result = one.transport.send(other.key, channel, bytes([channel]))
                if channel in of.channels:
                    assert result is SendResult.QUEUED, f"{channel.name} is closed to a {of.name}"
            for _ in of.channels:
                assert (await other.frame()).channel in of.channels


@transport_clauses.clause("A REFUSED peer gets no link, and one once it is admitted.")
async def refused(subject: TransportSubject) -> None:
    one, other = pair(subject)
    control = Node(subject, 3)
    async with running(one, other, control):
        other.transport.set_admission(lambda key: Standing.REFUSED if key == one.key else Standing.STRANGER)
        one.dial(other)
        control.dial(other)
        await control.up(other)
        assert one.transport.links() == ()
        other.trust()
        await one.up(other)
        await other.up(one)


@transport_clauses.clause("set_admission asks again for every live link: REFUSED ends it, more channels open at once.")
async def asked_again(subject: TransportSubject) -> None:
    one, other = pair(subject)
    async with running(one, other):
        one.dial(other)
        await one.up(other)
        await other.up(one)
        assert one.transport.send(other.key, Channel.GOSSIP, b"early") is not SendResult.QUEUED
        other.trust(one)
        assert other.transport.links()[0].standing is Standing.VALIDATOR
        other.transport.send(one.key, Channel.REQUESTS, b"come in")  # goes behind the news of the standing
        await one.frame()
        assert one.transport.send(other.key, Channel.GOSSIP, b"now") is SendResult.QUEUED
        assert (await other.frame()).frame == b"now"
        other.transport.set_admission(lambda _key: Standing.REFUSED)
        assert other.transport.links() == ()
        await one.down(other)


CLAUSES = transport_clauses.all
