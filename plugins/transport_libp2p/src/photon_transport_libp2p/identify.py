"""What every libp2p peer expects of another one: identify, and ping. So a go- or js-libp2p node keeps a connection to
us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .connection import Connection, Identity
from .library import IMuxedStream, TProtocol

IDENTIFY_PROTOCOL = TProtocol("/ipfs/id/1.0.0")
PING_PROTOCOL = TProtocol("/ipfs/ping/1.0.0")
PING_BYTES = 32
PROTOCOL_VERSION = "photon/1"
AGENT_VERSION = "photon-transport-libp2p"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def identify_message(public_key: bytes, protocols: Iterable[str]) -> bytes:
    """The Identify protobuf (libp2p specs, identify) with its length. Addresses are left out: they are on chain."""
    message = _field(1, public_key)
    message += b"".join(_field(3, protocol.encode()) for protocol in protocols)
    message += _field(5, PROTOCOL_VERSION.encode()) + _field(6, AGENT_VERSION.encode())
    return _varint(len(message)) + message


class Identify:
    def __init__(self, identity: Identity, protocols: Callable[[], Iterable[str]]) -> None:
        self._public_key: bytes = identity.key_pair.public_key.serialize()
        self._protocols = protocols

    async def answer(self, _connection: Connection, stream: IMuxedStream) -> None:
        await stream.write(identify_message(self._public_key, self._protocols()))


async def answer_ping(_connection: Connection, stream: IMuxedStream) -> None:
    """Echoes until the other side closes, which ends the read by an exception."""
    buffer = b""
    while True:
        buffer += await stream.read(PING_BYTES - len(buffer))
        if len(buffer) == PING_BYTES:
            await stream.write(buffer)
            buffer = b""
