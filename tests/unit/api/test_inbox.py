"""What transports share: the order of events, and credit."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from photon_core.api.errors import PeerProtocolError
from photon_core.api.inbox import Inbox, Lane, SendCredit, check_frame, frame_cost
from photon_core.api.transport import (
    CREDIT_BYTES,
    FRAME_BYTES_MAX,
    Channel,
    FrameReceived,
    LinkDown,
    LinkInfo,
    LinkUp,
    Standing,
)

PEER = bytes(32)
INFO = LinkInfo(peer=PEER, address="here", inbound=False, standing=Standing.PEER)


def up(inbox: Inbox) -> tuple[Lane, list[tuple[Channel, int]]]:
    taken: list[tuple[Channel, int]] = []
    return inbox.link_up(INFO, lambda channel, cost: taken.append((channel, cost))), taken


async def test_frames_by_priority_and_credit_when_they_are_taken() -> None:
    inbox = Inbox()
    lane, taken = up(inbox)
    lane.deliver(Channel.BULK, b"later")
    lane.deliver(Channel.CONSENSUS, b"now")
    assert await inbox.receive() == LinkUp(link=INFO)
    assert taken == []
    assert await inbox.receive() == FrameReceived(peer=PEER, channel=Channel.CONSENSUS, frame=b"now")
    assert await inbox.receive() == FrameReceived(peer=PEER, channel=Channel.BULK, frame=b"later")
    assert taken == [(Channel.CONSENSUS, frame_cost(b"now")), (Channel.BULK, frame_cost(b"later"))]


async def test_links_take_turns() -> None:
    inbox = Inbox()
    lanes = [
        inbox.link_up(LinkInfo(peer=bytes([n]) * 32, address="", inbound=True, standing=Standing.PEER), lambda *_: None)
        for n in range(3)
    ]
    for frame in (b"1", b"2", b"3"):
        lanes[0].deliver(Channel.REQUESTS, frame)
    lanes[1].deliver(Channel.REQUESTS, b"dropped")
    lanes[2].deliver(Channel.REQUESTS, b"alone")
    lanes[1].close("dropped", discard=True)
    events = [await inbox.receive() for _ in range(8)]
    frames = [event.frame for event in events if isinstance(event, FrameReceived)]
    assert frames == [b"1", b"alone", b"2", b"3"]


async def test_link_down_waits_for_what_had_arrived() -> None:
    inbox = Inbox()
    lane, taken = up(inbox)
    lane.deliver(Channel.BULK, b"goodbye")
    lane.close("gone")
    lane.deliver(Channel.BULK, b"too late")
    kinds = [type(await inbox.receive()) for _ in range(3)]
    assert kinds == [LinkUp, FrameReceived, LinkDown]
    assert taken == [], "a link that is down has no credit to give back"


@pytest.mark.parametrize("discard", [True, False])
async def test_peer_that_is_back_starts_anew(discard: bool) -> None:
    inbox = Inbox()
    former, _ = up(inbox)
    former.deliver(Channel.BULK, b"old")
    former.close("gone", discard=discard)
    latter, _ = up(inbox)
    former.deliver(Channel.CONSENSUS, b"of the former link")
    latter.deliver(Channel.BULK, b"new")
    events = [await inbox.receive() for _ in range(4)]
    assert [type(event) for event in events] == [LinkUp, LinkDown, LinkUp, FrameReceived]
    assert events[-1] == FrameReceived(peer=PEER, channel=Channel.BULK, frame=b"new")


async def test_cancelled_receiver_loses_nothing() -> None:
    inbox = Inbox()
    up(inbox)
    with trio.CancelScope() as scope:
        scope.cancel()
        await inbox.receive()
    assert isinstance(await inbox.receive(), LinkUp)


async def test_receive_waits() -> None:
    inbox = Inbox()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.receive)
        await trio.testing.wait_all_tasks_blocked()
        up(inbox)


async def test_more_than_the_credit_is_a_breach() -> None:
    lane, _ = up(Inbox())
    frame = bytes(FRAME_BYTES_MAX)
    for _ in range(CREDIT_BYTES[Channel.BULK] // frame_cost(frame)):
        lane.deliver(Channel.BULK, frame)
    with pytest.raises(PeerProtocolError, match="exceeds its credit"):
        lane.deliver(Channel.BULK, frame)


def test_sender_waits_for_half_of_the_credit() -> None:
    credit, whole = SendCredit(), CREDIT_BYTES[Channel.BULK]
    assert credit.take(Channel.BULK, whole)
    assert not credit.take(Channel.BULK, 1)
    assert not credit.give_back(Channel.BULK, whole // 2 - 1)
    assert credit.give_back(Channel.BULK, 1)
    assert not credit.give_back(Channel.BULK, 1), "said once"
    with pytest.raises(PeerProtocolError):
        credit.give_back(Channel.BULK, whole)


def test_longest_frame() -> None:
    check_frame(bytes(FRAME_BYTES_MAX))
    with pytest.raises(ValueError, match="send it in parts"):
        check_frame(bytes(FRAME_BYTES_MAX + 1))
