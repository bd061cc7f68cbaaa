"""One TCP connection with Noise and Yamux on it: the handshakes, the streams, and their end.

Reads and writes of a connection are never cancelled while it is to live on: a cancelled write would leave half a
record on the wire. What takes too long, or is not wanted any more, is ended by closing the socket (`close`, which
never waits); every task of the connection then finds it closed and ends by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import trio

from photon_core.api.errors import PeerProtocolError
from photon_core.api.ids import NodeKey

from .addresses import to_text
from .buffered import BufferedTcpStream
from .guard import guard
from .library import (
    NOISE,
    YAMUX,
    IMuxedConn,
    IMuxedStream,
    Multiselect,
    MultiselectClient,
    MultiselectCommunicator,
    MuxerMultistream,
    NoiseTransport,
    PeerId,
    RawConnection,
    SecurityMultistream,
    TProtocol,
    Yamux,
    YamuxStream,
    key_pair_of_seed,
    new_noise_key_pair,
    node_key_of,
    peer_id_of,
)

STREAMS_MAX = 16
"""Streams of one connection that are being negotiated or served: the link's, and a few for identify and ping."""

BUFFERED_BYTES_MAX = 2 * 1024 * 1024
"""What a connection's streams may hold unread. A link's window is a quarter of it, and is read at once."""

WINDOW_STEP_BYTES = 32 * 1024
"""An eighth of a stream's first window: what was read before the peer is told that there is room again."""

StreamHandler = Callable[["Connection", IMuxedStream], Awaitable[None]]
Handlers = Mapping[TProtocol, StreamHandler]


class BoundedYamux(Yamux):
    """Yamux that holds no more than a bound. The library's own only warns of a peer that exceeds its windows."""

    async def _read_data_body(self, length: int) -> bytes:
        held = sum(map(len, self.stream_buffers.values()))
        if held + length > BUFFERED_BYTES_MAX:
            # The one exception that makes the library close the connection here.
            raise trio.TooSlowError(f"{held + length} bytes that nobody has read")
        return bytes(await super()._read_data_body(length))


class StreamReader:
    """Reads one stream. The library tells the peer of room after every read, a frame of its own for each that comes."""

    def __init__(self, stream: IMuxedStream) -> None:
        assert isinstance(stream, YamuxStream), "no other muxer is offered"
        self._stream = stream
        self._untold = 0

    async def read(self, bytes_max: int) -> bytes:
        """What there is, at least one byte; the library's errors at the end."""
        data = bytes(await self._stream.conn.read_stream(self._stream.stream_id, bytes_max))
        self._untold += len(data)
        if self._untold >= WINDOW_STEP_BYTES:
            told, self._untold = self._untold, 0
            await self._stream._auto_tune_and_send_window_update(bytes_read=told)  # noqa: SLF001  # what its read calls
        return data


class Identity:
    """This node to libp2p. Noise and Yamux are the only things offered: no TLS, no plaintext, no Mplex."""

    def __init__(self, node_seed: bytes) -> None:
        self.key_pair = key_pair_of_seed(node_seed)
        self.key: NodeKey = self.key_pair.public_key.to_bytes()
        noise = NoiseTransport(self.key_pair, noise_privkey=new_noise_key_pair().private_key)
        self._security = SecurityMultistream({NOISE: noise})
        self._muxer = MuxerMultistream({TProtocol(YAMUX): Yamux})

    async def upgrade(self, socket: trio.SocketStream, *, dialled: NodeKey | None) -> Connection:
        """Noise and Yamux over `socket`; `dialled` is whom it must be, None for a connection that came in.

        Raises whatever the library raises; the caller closes the socket then, and when it takes too long.
        """
        raw = RawConnection(BufferedTcpStream(socket), initiator=dialled is not None)
        if dialled is None:
            secured = await self._security.secure_inbound(raw)
        else:
            secured = await self._security.secure_outbound(raw, peer_id_of(dialled))
        peer_id: PeerId = secured.get_remote_peer()
        if dialled is not None and peer_id != peer_id_of(dialled):
            raise PeerProtocolError("the peer has another key than the one that was dialled")
        await self._muxer.select_transport(secured)
        muxed = BoundedYamux(secured, peer_id, is_initiator=secured.is_initiator)
        return Connection(socket, muxed, node_key_of(peer_id), inbound=dialled is None)


class Connection:
    """`peer` is None for libp2p peers that are not Photon nodes; they may identify and ping, until the handshake's
    time.
    """

    def __init__(self, socket: trio.SocketStream, muxed: IMuxedConn, peer: NodeKey | None, *, inbound: bool) -> None:
        self.peer = peer
        self.inbound = inbound
        self.host, port = socket.socket.getpeername()[:2]
        self.address = to_text(self.host, port)
        self._socket = socket
        self._muxed = muxed
        self._streams_open = 0
        self.has_link = False
        self.on_link: Callable[[], object] = lambda: None

    def close(self) -> None:
        self._socket.socket.close()

    async def run(self, handlers: Handlers, started: trio.Event) -> None:
        """Serves the peer's streams until the connection ends. `started` once streams can be opened."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._mux, nursery.cancel_scope)
            await self._muxed.event_started.wait()
            started.set()
            selector = Multiselect(dict.fromkeys(handlers))
            while True:
                stream = await self._muxed.accept_stream()
                if self._streams_open >= STREAMS_MAX:
                    raise PeerProtocolError(f"more than {STREAMS_MAX} streams")
                self._streams_open += 1
                nursery.start_soon(self._serve, stream, selector, handlers)

    async def _mux(self, scope: trio.CancelScope) -> None:
        await guard(self._muxed.start)
        scope.cancel()

    async def _serve(self, stream: IMuxedStream, selector: Multiselect, handlers: Handlers) -> None:
        async def negotiate_and_handle() -> None:
            protocol, _ = await selector.negotiate(MultiselectCommunicator(stream))
            if protocol is not None:
                await handlers[protocol](self, stream)

        try:
            await guard(negotiate_and_handle)
            await guard(stream.close)
        finally:
            self._streams_open -= 1

    async def open(self, protocol: TProtocol) -> IMuxedStream:
        stream = await self._muxed.open_stream()
        await MultiselectClient().select_one_of([protocol], MultiselectCommunicator(stream))
        return stream
