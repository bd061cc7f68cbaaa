import hashlib
import socket

import pytest
import trio
import trio.testing

from photon_core.provider.network.limits import NetworkLimits
from photon_core.provider.network.relay import Relay, Workers, receive, send_all

MIB = 2**20


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Real TCP: half-close and reset are what is tested."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    return client, accepted


def stream(sock: socket.socket) -> trio.SocketStream:
    return trio.SocketStream(trio.socket.from_stdlib_socket(sock))


@pytest.fixture
async def relayed(nursery):
    """Two streams with a relay between them."""

    def make(limits: NetworkLimits | None = None) -> tuple[trio.SocketStream, trio.SocketStream, Relay, Workers]:
        workers = Workers(limits or NetworkLimits())
        client, left = tcp_pair()
        right, server = tcp_pair()
        relay = Relay(left, right, workers)
        nursery.start_soon(relay.run)
        return stream(client), stream(server), relay, workers

    return make


async def read_all(source: trio.SocketStream) -> bytes:
    return b"".join([chunk async for chunk in source])


async def test_end_of_one_direction_is_passed_on_and_the_other_goes_on(relayed):
    client, server, _, _ = relayed()
    async with client, server:
        await client.send_all(b"question")
        await client.send_eof()
        assert await read_all(server) == b"question"
        await server.send_all(b"answer")
        await server.send_eof()
        assert await read_all(client) == b"answer"


async def test_busy_direction_moves_to_a_thread_and_nothing_is_lost(relayed):
    client, server, relay, workers = relayed()
    block = bytes(range(256)) * 4096
    sent, received = hashlib.blake2b(), hashlib.blake2b()

    async def send() -> None:
        for _ in range(50):
            sent.update(block)
            await client.send_all(block)
        await client.send_eof()

    async with client, server, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        async for chunk in server:
            received.update(chunk)
        await server.send_eof()
        assert await read_all(client) == b""

    assert received.digest() == sent.digest()
    assert relay.spliced_bytes > 40 * MIB
    assert workers.borrow()


async def test_thread_is_given_back_when_the_connection_rests_and_when_its_reader_does(relayed):
    limits = NetworkLimits(splice_after_bytes=1024, splice_threads_max=1, splice_idle_ms=20)
    client, server, relay, workers = relayed(limits)
    async with client, server:
        flood = bytes(32 * MIB)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send_all, flood)  # nobody reads: buffers fill, the thread has to come back
            with trio.fail_after(5):
                while not relay.spliced_bytes:  # noqa: ASYNC110 - the product has no event for it
                    await trio.sleep(0.01)
                received = 0
                while received < len(flood):
                    received += len(await server.receive_some())
        with trio.fail_after(5):
            while not workers.borrow():  # noqa: ASYNC110 - the product has no event for it
                await trio.sleep(0.01)
        workers.give_back()
        await client.send_all(b"again")
        assert await server.receive_some() == b"again"


async def test_without_a_free_thread_the_loop_carries_on(relayed):
    limits = NetworkLimits(splice_after_bytes=1024, splice_threads_max=1)
    client, server, relay, workers = relayed(limits)
    assert workers.borrow()
    async with client, server, trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, bytes(MIB))
        received = 0
        while received < MIB:
            received += len(await server.receive_some())
    assert relay.spliced_bytes == 0


@pytest.mark.parametrize("busy", [False, True])
async def test_close_from_outside_ends_both_sides_at_once(relayed, busy):
    limits = NetworkLimits(splice_after_bytes=1024 if busy else 2**40, splice_idle_ms=60_000)
    client, server, relay, _ = relayed(limits)
    async with client, server:
        await client.send_all(bytes(4096))
        received = 0
        while received < 4096:
            received += len(await server.receive_some())
        relay.close()
        with trio.fail_after(2):
            assert await read_all(server) == b""
            assert await read_all(client) == b""


async def test_cancelling_ends_a_connection_that_is_in_a_thread():
    workers = Workers(NetworkLimits(splice_after_bytes=1024, splice_idle_ms=60_000))
    client, left = tcp_pair()
    right, server = tcp_pair()
    with client, server, trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Relay(left, right, workers).run)
            reading = stream(server)
            await stream(client).send_all(bytes(4096))
            received = 0
            while received < 4096:
                received += len(await reading.receive_some())
            nursery.cancel_scope.cancel()


async def test_socket_that_is_always_ready_gives_others_their_turn():
    left, right = tcp_pair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        with trio.testing.assert_checkpoints():
            await send_all(left, b"here")
        await trio.lowlevel.wait_readable(right)
        with trio.testing.assert_checkpoints():
            assert await receive(right) == b"here"
