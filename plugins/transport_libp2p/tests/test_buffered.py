"""The socket under a connection: what was sent comes in order, however it is asked for."""

from __future__ import annotations

import trio
from trio.testing import open_stream_to_socket_listener

from photon_transport_libp2p.buffered import READ_BYTES, BufferedTcpStream


async def pair(nursery: trio.Nursery) -> tuple[trio.SocketStream, BufferedTcpStream]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        sending = await open_stream_to_socket_listener(listener)
        return sending, BufferedTcpStream(await listener.accept())


async def test_gives_the_bytes_in_order_and_never_more_than_asked(nursery: trio.Nursery) -> None:
    sending, reading = await pair(nursery)
    sent = bytes(index % 251 for index in range(3 * READ_BYTES))
    nursery.start_soon(sending.send_all, sent)

    found = bytearray()
    for wanted in (2, 1, 70_000):
        piece = await reading.read(wanted)
        assert 0 < len(piece) <= wanted
        found += piece
    while len(found) < len(sent):
        found += await reading.read()
    assert found == sent
    await sending.aclose()
    await reading.close()


async def test_is_at_its_end_when_the_other_side_is(nursery: trio.Nursery) -> None:
    sending, reading = await pair(nursery)
    await sending.send_all(b"last")
    await sending.aclose()
    assert await reading.read(3) == b"las"
    assert await reading.read(3) == b"t"
    assert await reading.read(3) == b""
    await reading.close()
