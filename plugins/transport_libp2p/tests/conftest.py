"""A node of ours, and a peer that speaks libp2p and the link's language, and does with them what it likes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from attrs import define

from photon_core.api.transport import (
    Channel,
    FrameReceived,
    LinkDown,
    LinkUp,
    Standing,
    TransportContext,
)
from photon_transport_libp2p.machine import Hello, hello_message

CHAIN_ID = b"\x01" * 32
TIMEOUT_S = 20
HELLO = hello_message(Hello(chain_id=CHAIN_ID, instance=b"attacker", granted=frozenset(Channel)))
QUICK = {"handshake_s": 0.5, "heartbeat_s": 0.1, "silence_s": 0.5, "backoff_first_s": 0.02, "backoff_max_s": 0.1}


def seed(number: int) -> bytes:
    return bytes([number]) * 32


@define
class Victim:
    """A running node with short times, at which attackers aim."""

    transport: object
    address: str
    port: int

    async def up(self, key: bytes) -> LinkUp:
        while not (isinstance(event := await self.transport.receive(), LinkUp) and event.link.peer == key):
            pass
        return event

    async def down(self, key: bytes) -> LinkDown:
        while not (isinstance(event := await self.transport.receive(), LinkDown) and event.peer == key):
            pass
        return event

    async def frame(self) -> FrameReceived:
        while not isinstance(event := await self.transport.receive(), FrameReceived):
            pass
        return event


@define
class Attacker:
    """A link that was opened by hand: `stream` carries what the test writes, `socket` is what is below."""

    key: bytes
    connection: object
    stream: object
    socket: trio.SocketStream

    async def say(self, *messages: bytes) -> None:
        await self.stream.write(b"".join(messages))

    async def hears_the_end(self) -> bytes:
        """All that the victim still says until it closes."""
        heard = b""
        with suppress(Exception):  # the library has many ways to say that a stream is over
            while data := await self.stream.read(65536):
                heard += data
        return heard


@pytest.fixture
def make_transport() -> Callable[..., object]:
    from photon_transport_libp2p.config import Libp2pConfig
    from photon_transport_libp2p.transport import Libp2pTransport

    def make(number: int, chain_id: bytes = CHAIN_ID, **config: float) -> Libp2pTransport:
        context = TransportContext(
            node_seed=seed(number), chain_id=chain_id, config=Libp2pConfig(**{**QUICK, **config})
        )
        return Libp2pTransport(context)

    return make


@pytest.fixture
def victim(make_transport) -> Callable[..., object]:
    @asynccontextmanager
    async def run(number: int = 1, **config: float) -> AsyncIterator[Victim]:
        transport = make_transport(number, **config)
        with trio.fail_after(TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                await nursery.start(transport.run)
                transport.set_admission(lambda _key: Standing.PEER)
                address = await transport.listen("")
                yield Victim(transport, address, int(address.rsplit("/", 1)[1]))
                nursery.cancel_scope.cancel()

    return run


@pytest.fixture
def attacker() -> Callable[..., object]:
    from photon_transport_libp2p.connection import Identity
    from photon_transport_libp2p.guard import guard
    from photon_transport_libp2p.transport import LINK_PROTOCOL

    @asynccontextmanager
    async def attack(
        victim: Victim, first: bytes | None = None, number: int = 99, protocol: str = LINK_PROTOCOL
    ) -> AsyncIterator[Attacker]:
        """A connection to the victim with a stream on which `first` (normally HELLO) was said."""
        identity = Identity(seed(number))
        socket = await trio.open_tcp_stream("127.0.0.1", victim.port)
        async with socket, trio.open_nursery() as nursery:
            connection = await identity.upgrade(socket, dialled=victim.transport.key)
            started = trio.Event()
            nursery.start_soon(guard, connection.run, {}, started)
            await started.wait()
            stream = await connection.open(protocol)
            await stream.write(HELLO if first is None else first)
            yield Attacker(identity.key, connection, stream, socket)
            nursery.cancel_scope.cancel()

    return attack


@pytest.fixture
def proves_alive(make_transport) -> Callable[..., object]:
    async def prove(victim: Victim, number: int = 50) -> None:
        """Positive control: an honest node still gets a link, and a frame through it."""
        honest = make_transport(number)
        async with trio.open_nursery() as nursery:
            await nursery.start(honest.run)
            honest.dial(victim.transport.key, (victim.address,))
            while not isinstance(await honest.receive(), LinkUp):
                pass
            honest.send(victim.transport.key, Channel.REQUESTS, b"honest")
            while (await victim.frame()).frame != b"honest":
                pass
            nursery.cancel_scope.cancel()

    return prove
