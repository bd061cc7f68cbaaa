"""What peers may do to a node, one by one: it costs them their link, and nobody else anything."""

from __future__ import annotations

import logging
import struct
from contextlib import suppress

import pytest
import trio

from photon_core.api.transport import CREDIT_BYTES, FRAME_BYTES_MAX, Channel, SendResult
from photon_transport_libp2p.machine import Hello, Kind, hello_message, message


def hello(
    chain_id: bytes = b"\x01" * 32, instance: bytes = b"attacker", granted: tuple[Channel, ...] = tuple(Channel)
) -> bytes:
    return hello_message(Hello(chain_id=chain_id, instance=instance, granted=frozenset(granted)))


def cut_short(kind: int, payload: bytes, size: int) -> bytes:
    """A message that says it had `size` bytes."""
    return struct.pack(">IB", size, kind) + payload


BREACHES = {
    "a frame over the limit": cut_short(Channel.BULK, b"", FRAME_BYTES_MAX + 1),
    "a frame on a channel that it was not granted": message(Channel.CONSENSUS, b"vote"),
    "credit for frames that were never sent": message(Kind.CREDIT, struct.pack(">BI", Channel.BULK, 1)),
    "credit of no channel": message(Kind.CREDIT, struct.pack(">BI", 9, 0)),
    "an acknowledgement of bytes that were never sent": message(Kind.RECEIVED, struct.pack(">I", 1)),
    "an acknowledgement cut short": message(Kind.RECEIVED, b"\0"),
    "a second HELLO": hello(),
    "a message of no kind": message(200, b"?"),
    "a PING with a load": message(Kind.PING, b"!"),
}


@pytest.mark.parametrize("said", BREACHES.values(), ids=BREACHES.keys())
async def test_breach_costs_the_link(victim, attacker, proves_alive, caplog, said: bytes) -> None:
    async with victim() as node:
        async with attacker(node) as peer:
            await node.up(peer.key)
            await peer.say(said)
            await node.down(peer.key)
            assert node.transport.links() == ()
        await proves_alive(node)
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1, "logged once"


async def test_more_than_the_credit_costs_the_link(victim, attacker, proves_alive) -> None:
    """The receiver counts for itself: nobody takes these frames, and one more than the credit is too many."""
    async with victim() as node:
        async with attacker(node) as peer:
            await node.up(peer.key)
            frame = message(Channel.REQUESTS, bytes(FRAME_BYTES_MAX))
            with suppress(Exception):  # closed in the middle of the last one
                for _ in range(CREDIT_BYTES[Channel.REQUESTS] // FRAME_BYTES_MAX + 1):
                    await peer.say(frame)
            await peer.hears_the_end()
            assert node.transport.links() == ()
        await proves_alive(node)


@pytest.mark.parametrize(
    "first", [message(Channel.REQUESTS, b"x"), message(Kind.PING), message(Kind.HELLO, b"short"), b"\xff" * 64]
)
async def test_no_link_without_a_hello(victim, attacker, proves_alive, first: bytes) -> None:
    async with victim() as node:
        async with attacker(node, first) as peer:
            await peer.hears_the_end()
            assert node.transport.links() == ()
        await proves_alive(node)


async def test_foreign_chain_is_told_why(victim, attacker) -> None:
    async with victim() as node, attacker(node, hello(chain_id=b"\x09" * 32)) as peer:
        heard = await peer.hears_the_end()
        assert heard[4] == Kind.BYE
        assert b"this node is of the chain 0101" in heard
        assert node.transport.links() == ()


async def test_peer_that_vanishes_in_the_middle_of_a_frame(victim, attacker, proves_alive) -> None:
    async with victim() as node:
        async with attacker(node) as peer:
            await node.up(peer.key)
            await peer.say(message(Channel.REQUESTS, b"whole"), cut_short(Channel.REQUESTS, b"half", 1000))
            assert (await node.frame()).frame == b"whole"
            peer.connection.close()
            await node.down(peer.key)
        await proves_alive(node)


async def test_peer_that_falls_silent(victim, attacker) -> None:
    async with victim() as node, attacker(node) as peer:
        await node.up(peer.key)
        assert "nothing heard" in (await node.down(peer.key)).reason


async def test_second_stream_on_one_connection(victim, attacker, proves_alive) -> None:
    async with victim() as node:
        async with attacker(node) as peer:
            await node.up(peer.key)
            await peer.connection.open("/photon/link/1")
            await node.down(peer.key)
        await proves_alive(node)


async def test_streams_without_end(victim, attacker, proves_alive) -> None:
    async with victim() as node:
        async with attacker(node) as peer:
            await node.up(peer.key)
            with suppress(Exception):  # closed on it, as it should be
                for _ in range(100):
                    await peer.connection._muxed.open_stream()
            await node.down(peer.key)
        await proves_alive(node)


async def test_data_beyond_every_window_is_not_hoarded(victim, attacker, proves_alive) -> None:
    async with victim(handshake_s=10.0) as node:
        async with attacker(node, b"", protocol="/ipfs/ping/1.0.0") as peer:
            header = struct.pack("!BBHII", 0, 0, 0, peer.stream.stream_id, 60_000)
            with suppress(Exception):  # closed on it, as it should be
                for _ in range(2000):
                    await peer.connection._muxed._write_frame(header + bytes(60_000))
            await peer.hears_the_end()
        await proves_alive(node)


async def test_new_process_of_a_peer_replaces_its_dead_link(victim, attacker) -> None:
    async with victim() as node, attacker(node, hello(instance=b"process1")) as former:
        await node.up(former.key)
        async with attacker(node, hello(instance=b"process2")) as latter:
            assert (await node.down(former.key)).reason == "replaced by a new link"
            await node.up(latter.key)
            await latter.say(message(Channel.REQUESTS, b"here"))
            assert (await node.frame()).frame == b"here"
            assert len(node.transport.links()) == 1


async def test_sender_stays_within_what_the_peer_gives(victim, attacker) -> None:
    """A peer that reads and never acknowledges gets a window of bytes, not the whole credit; the rest waits here."""
    async with victim(silence_s=5.0) as node, attacker(node) as peer:
        await node.up(peer.key)
        count = 0
        while node.transport.send(peer.key, Channel.CONSENSUS, bytes(100_000)) is SendResult.QUEUED:
            count += 1
        assert count * 100_000 <= CREDIT_BYTES[Channel.CONSENSUS]
        heard = 0
        with trio.move_on_after(0.3):  # what would be too much has no event of its own
            while True:
                heard += len(await peer.stream.read(65536))
        assert 500_000 < heard < 800_000


async def test_channels_can_be_granted_later_and_taken_away(victim, attacker) -> None:
    async with victim() as node, attacker(node, hello(granted=(Channel.REQUESTS,))) as peer:
        await node.up(peer.key)
        assert node.transport.send(peer.key, Channel.GOSSIP, b"") is SendResult.NO_LINK
        await peer.say(message(Kind.GRANT, bytes([0b0110])), message(Channel.REQUESTS, b"granted"))
        await node.frame()
        assert node.transport.send(peer.key, Channel.GOSSIP, b"") is SendResult.QUEUED


# --- below the link: sockets that only hold a place ------------------------------------------------------------------


async def test_flood_of_idle_connections_keeps_nobody_out(victim, proves_alive) -> None:
    async with victim(handshake_s=30.0) as node:
        sockets = [await trio.open_tcp_stream("127.0.0.1", node.port) for _ in range(300)]
        try:
            with trio.fail_after(3):
                await proves_alive(node)
            assert node.transport._gate.pending <= 32
        finally:
            for socket in sockets:
                await socket.aclose()


@pytest.mark.parametrize("said", [b"", b"\x13/multistream/1.0.0\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4096])
async def test_connection_that_is_no_peer_is_closed_in_time(victim, proves_alive, said: bytes) -> None:
    async with victim() as node:
        async with await trio.open_tcp_stream("127.0.0.1", node.port) as socket:
            if said:
                await socket.send_all(said)
            try:
                while await socket.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
        await proves_alive(node)


async def test_peer_without_a_link_is_closed_in_time(victim, attacker) -> None:
    async with victim() as node, attacker(node, b"", protocol="/ipfs/ping/1.0.0") as peer:
        await peer.stream.write(bytes(32))
        assert await peer.stream.read(32) == bytes(32)
        await peer.hears_the_end()
        await trio.testing.wait_all_tasks_blocked()
        assert node.transport._gate.pending == 0


async def test_peer_that_throws_every_link_out_is_dialled_with_back_off(victim, make_transport) -> None:
    backoff_s, links = 0.05, 6
    async with victim() as fickle, trio.open_nursery() as nursery:
        dialler = make_transport(2, backoff_first_s=backoff_s, backoff_max_s=60)
        await nursery.start(dialler.run)
        started_s = trio.current_time()
        dialler.dial(fickle.transport.key, (fickle.address,))
        for _ in range(links):
            await fickle.up(dialler.key)
            fickle.transport.drop(dialler.key, "not you")
        shortest_s = sum(backoff_s * 2**n for n in range(links - 1)) * 0.75  # by the spread
        assert trio.current_time() - started_s >= shortest_s
        nursery.cancel_scope.cancel()
