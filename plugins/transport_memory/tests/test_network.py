"""What the network does to frames: delay, reordering across channels, loss, partitions; the same for the same seed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from photon_core.api.transport import (
    Channel,
    FrameReceived,
    LinkDown,
    LinkUp,
    SendResult,
    Standing,
    TransportContext,
    TransportEvent,
)
from photon_transport_memory.network import MemoryNetwork
from photon_transport_memory.transport import MemoryTransport


def make(network: MemoryNetwork, number: int) -> MemoryTransport:
    transport = MemoryTransport(
        TransportContext(node_seed=bytes([number]) * 32, chain_id=bytes(32), config=None), network
    )
    transport.set_admission(lambda _key: Standing.VALIDATOR)
    return transport


async def until(transport: MemoryTransport, kind: type[TransportEvent]) -> TransportEvent:
    while not isinstance(event := await transport.receive(), kind):
        pass
    return event


@asynccontextmanager
async def linked(network: MemoryNetwork) -> AsyncIterator[tuple[MemoryTransport, MemoryTransport]]:
    one, other = make(network, 1), make(network, 2)
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            await nursery.start(one.run)
            await nursery.start(other.run)
            one.dial(other.key, (await other.listen(""),))
            await until(one, LinkUp)
            await until(other, LinkUp)
            yield one, other
            nursery.cancel_scope.cancel()


async def history(seed: int) -> list[tuple[float, Channel, bytes]]:
    """When which frame arrived, of 40 that were sent at once."""
    async with linked(MemoryNetwork(seed, latency_ms=10, jitter_ms=50)) as (one, other):
        start = trio.current_time()
        for number in range(40):
            one.send(other.key, Channel(number % 4), bytes([number]))
        arrived = []
        for _ in range(40):
            event = await until(other, FrameReceived)
            arrived.append((round(trio.current_time() - start, 6), event.channel, event.frame))
        return arrived


async def test_same_seed_same_fate(autojump_clock) -> None:
    assert await history(1) == await history(1)
    assert await history(1) != await history(2)


async def test_channels_overtake_each_other_and_never_themselves(autojump_clock) -> None:
    arrived = await history(3)
    numbers = [frame[0] for _, _, frame in arrived]
    assert numbers != sorted(numbers)
    for channel in Channel:
        of_channel = [frame[0] for _, of, frame in arrived if of is channel]
        assert of_channel == sorted(of_channel)
    assert all(time >= 0.010 for time, _, _ in arrived)


async def test_lost_frame_takes_the_link_down_at_both_ends_and_it_comes_back(autojump_clock) -> None:
    network = MemoryNetwork(1)
    async with linked(network) as (one, other):
        network.loss_ppm = 1_000_000
        assert one.send(other.key, Channel.GOSSIP, b"gone") is SendResult.QUEUED
        for end in (one, other):
            assert (await until(end, LinkDown)).reason == "a frame was lost"
        network.loss_ppm = 0
        await until(one, LinkUp)
        await until(other, LinkUp)
        one.send(other.key, Channel.GOSSIP, b"here")
        assert (await until(other, FrameReceived)).frame == b"here"


async def test_partition_lasts_until_it_is_healed(autojump_clock) -> None:
    network = MemoryNetwork(1)
    async with linked(network) as (one, other):
        network.partition({one.key}, {other.key})
        await until(one, LinkDown)
        await until(other, LinkDown)
        with trio.move_on_after(60) as waited:  # of the test's clock, which jumps
            await one.receive()
        assert waited.cancelled_caught, "a link came up across the partition"
        network.heal()
        await until(one, LinkUp)
        network.partition({one.key, other.key})
        assert len(one.links()) == 1


async def test_frames_in_flight_do_not_outlive_their_link(autojump_clock) -> None:
    network = MemoryNetwork(1, latency_ms=1000)
    async with linked(network) as (one, other):
        one.send(other.key, Channel.BULK, b"old")
        network.cut(one.key, other.key)
        await until(one, LinkUp)
        one.send(other.key, Channel.BULK, b"new")
        assert (await until(other, FrameReceived)).frame == b"new"


async def test_address_in_use_and_no_address() -> None:
    network = MemoryNetwork()
    one = make(network, 1)
    assert await one.listen("memory:validator") == "memory:validator"
    with pytest.raises(OSError, match="in use"):
        await make(network, 2).listen("memory:validator")
    with pytest.raises(ValueError, match="they look like memory:"):
        await one.listen("/ip4/127.0.0.1/tcp/0")
