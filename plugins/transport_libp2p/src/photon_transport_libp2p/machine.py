"""What goes over a link's stream, without IO: bytes in and events out, frames in and bytes out.

Theory of operation. A link is one libp2p stream `/photon/link/1`, opened by the side that dialled, before any
traffic; both sides write and read it. All state of a link is in its machine and dies with its stream: credit and
acknowledgements travel on the stream that they are about, so nothing of an earlier connection can reach a later one.

A message is its payload's length (4 bytes), its kind (1) and the payload. The kinds 0-3 are frames of that channel.
HELLO is the first message of both sides: chain, this process, and the channels that the other side is granted. The
side that was dialled answers it with HELLO, and the link is up, or with BYE.

Two windows, counted apart. Credit (CREDIT, per channel) is what the receiver's program has not taken; it bounds
memory. The wire window (RECEIVED, per link) is what the receiver's reader has not seen; it keeps the sockets' buffers
from filling in both directions, where Yamux stops for ever (it answers pings out of its read loop). What gives back
more than there is, and what arrives beyond its credit, is a breach: PeerProtocolError, and the link must be closed.

Control messages go first and are never held back; then frames by priority, at most BATCH_BYTES at a time, so that a
consensus frame waits for one batch at most.
"""

from __future__ import annotations

import struct
from collections import deque
from enum import IntEnum

from attrs import frozen

from photon_core.api.errors import PeerProtocolError
from photon_core.api.ids import Hash
from photon_core.api.inbox import SendCredit, check_frame, frame_cost
from photon_core.api.transport import CREDIT_BYTES, FRAME_BYTES_MAX, Channel, SendResult

BATCH_BYTES = 64 * 1024
WIRE_WINDOW_BYTES = 512 * 1024
"""Sent and not yet seen by the peer's reader. Loopback at full speed needs no more; a link around the world (300 ms)
carries 1.7 MB/s with it."""
RECEIVED_STEP_BYTES = WIRE_WINDOW_BYTES // 4
CREDIT_STEPS = 8
"""Credit is given back when an eighth of it has gathered, and with whatever is written anyway."""
REASON_BYTES_MAX = 200
INSTANCE_BYTES = 8

_HEADER = struct.Struct(">IB")
_HELLO = struct.Struct(f">32s{INSTANCE_BYTES}sB")
_CREDIT = struct.Struct(">BI")
_NUMBER = struct.Struct(">I")
_CHANNELS = struct.Struct(">B")


class Kind(IntEnum):
    """After the channels' numbers."""

    HELLO = 16
    CREDIT = 17
    RECEIVED = 18
    PING = 19
    GRANT = 20
    BYE = 21


_PAYLOAD_MAX = {
    **{int(channel): FRAME_BYTES_MAX for channel in Channel},
    Kind.HELLO: _HELLO.size,
    Kind.CREDIT: _CREDIT.size,
    Kind.RECEIVED: _NUMBER.size,
    Kind.PING: 0,
    Kind.GRANT: _CHANNELS.size,
    Kind.BYE: REASON_BYTES_MAX,
}


@frozen(kw_only=True)
class Hello:
    """`instance` is drawn anew by each process: a peer that comes back as another one has lost all its links."""

    chain_id: Hash
    instance: bytes
    granted: frozenset[Channel]


@frozen
class FrameIn:
    channel: Channel
    frame: bytes


@frozen
class Room:
    """The channel had said FULL and has room again."""

    channel: Channel


@frozen
class Bye:
    reason: str


def message(kind: int, payload: bytes = b"") -> bytes:
    return _HEADER.pack(len(payload), kind) + payload


def hello_message(hello: Hello) -> bytes:
    return message(Kind.HELLO, _HELLO.pack(hello.chain_id, hello.instance, _bits(hello.granted)))


MachineEvent = Hello | FrameIn | Room | Bye


def _bits(channels: frozenset[Channel]) -> int:
    return sum(1 << channel for channel in channels)


def _channels(bits: int) -> frozenset[Channel]:
    return frozenset(channel for channel in Channel if bits >> channel & 1)


class LinkMachine:
    """`granted` is what the peer may send; what it grants us comes in its HELLO."""

    def __init__(self) -> None:
        self.granted: frozenset[Channel] = frozenset()
        self._hello_seen = False
        self._granted_to_us: frozenset[Channel] = frozenset()
        self._credit = SendCredit()
        self._queues: dict[Channel, deque[bytes]] = {channel: deque() for channel in Channel}
        self._queued_cost = dict.fromkeys(Channel, 0)
        self._on_wire = 0
        self._control = bytearray()
        self._untold_credit = dict.fromkeys(Channel, 0)
        self._untold_received = 0
        self._buffer = bytearray()

    # -- what this side says -----------------------------------------------------------------------------------------

    def hello(self, chain_id: Hash, instance: bytes, granted: frozenset[Channel]) -> None:
        self.granted = granted
        self._control += hello_message(Hello(chain_id=chain_id, instance=instance, granted=granted))

    def grant(self, granted: frozenset[Channel]) -> None:
        """More than before; to take channels away, close the link: frames of those may be on their way."""
        self.granted = granted
        self._say(Kind.GRANT, _CHANNELS.pack(_bits(granted)))

    def ping(self) -> None:
        self._say(Kind.PING, b"")

    def bye(self, reason: str) -> None:
        """The last words: what is queued is not sent any more."""
        for queue in self._queues.values():
            queue.clear()
        self._say(Kind.BYE, reason.encode()[:REASON_BYTES_MAX])

    def send(self, channel: Channel, frame: bytes) -> SendResult:
        check_frame(frame)
        if channel not in self._granted_to_us:
            return SendResult.NO_LINK
        cost = frame_cost(frame)
        if not self._credit.take(channel, cost):
            return SendResult.FULL
        self._queues[channel].append(frame)
        self._queued_cost[channel] += cost
        return SendResult.QUEUED

    def taken(self, channel: Channel, cost: int) -> bool:
        """A frame was taken by the program: its credit goes back. True when that is worth a message now."""
        self._untold_credit[channel] += cost
        return self._untold_credit[channel] * CREDIT_STEPS >= CREDIT_BYTES[channel]

    def next_batch(self) -> bytes:
        """What to write now; empty when there is nothing that may be written."""
        frames: list[bytes] = []
        size = 0
        for channel, queue in self._queues.items():
            while queue and size < BATCH_BYTES and self._on_wire < WIRE_WINDOW_BYTES:
                frame = queue.popleft()
                self._queued_cost[channel] -= frame_cost(frame)
                frames += (_HEADER.pack(len(frame), channel), frame)
                size += len(frame) + _HEADER.size
                self._on_wire += len(frame) + _HEADER.size
        self._say_what_was_taken(also_little=bool(frames or self._control))
        control, self._control = self._control, bytearray()
        return b"".join((control, *frames))

    def _say_what_was_taken(self, *, also_little: bool) -> None:
        for channel, cost in self._untold_credit.items():
            if cost and (also_little or cost * CREDIT_STEPS >= CREDIT_BYTES[channel]):
                self._untold_credit[channel] = 0
                self._say(Kind.CREDIT, _CREDIT.pack(channel, cost))
        if self._untold_received and (also_little or self._untold_received >= RECEIVED_STEP_BYTES):
            received, self._untold_received = self._untold_received, 0
            self._say(Kind.RECEIVED, _NUMBER.pack(received))

    def _say(self, kind: Kind, payload: bytes) -> None:
        self._control += message(kind, payload)

    # -- what the peer says ------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[MachineEvent]:
        """PeerProtocolError for a breach. Whether frames keep to their credit is the inbox's to say."""
        self._buffer += data
        events: list[MachineEvent] = []
        position, have = 0, len(self._buffer)
        while have - position >= _HEADER.size:
            size, kind = _HEADER.unpack_from(self._buffer, position)
            if size > _PAYLOAD_MAX.get(kind, -1):
                raise PeerProtocolError(f"a message of kind {kind} and {size} bytes")
            end = position + _HEADER.size + size
            if end > have:
                break
            event = self._message(kind, bytes(self._buffer[position + _HEADER.size : end]))
            if event is not None:
                events.append(event)
            position = end
        del self._buffer[:position]
        return events

    def _message(self, kind: int, payload: bytes) -> MachineEvent | None:
        if (kind == Kind.HELLO) == self._hello_seen and kind != Kind.BYE:
            raise PeerProtocolError("a second HELLO" if self._hello_seen else f"kind {kind} before HELLO")
        try:
            return self._frame(Channel(kind), payload) if kind < Kind.HELLO else self._on_control(Kind(kind), payload)
        except struct.error:
            raise PeerProtocolError(f"{Kind(kind).name} of {len(payload)} bytes") from None

    def _frame(self, channel: Channel, frame: bytes) -> FrameIn:
        if channel not in self.granted:
            raise PeerProtocolError(f"a frame on {channel.name}, which it was not granted")
        self._untold_received += len(frame) + _HEADER.size
        return FrameIn(channel, frame)

    def _on_control(self, kind: Kind, payload: bytes) -> MachineEvent | None:
        match kind:
            case Kind.HELLO:
                self._hello_seen = True
                chain_id, instance, bits = _HELLO.unpack(payload)
                self._granted_to_us = _channels(bits)
                return Hello(chain_id=chain_id, instance=instance, granted=self._granted_to_us)
            case Kind.CREDIT:
                return self._on_credit(*_CREDIT.unpack(payload))
            case Kind.RECEIVED:
                (received,) = _NUMBER.unpack(payload)
                if received > self._on_wire:
                    raise PeerProtocolError(f"received {received} bytes, {self._on_wire} are on their way")
                self._on_wire -= received
            case Kind.GRANT:
                self._granted_to_us = _channels(_CHANNELS.unpack(payload)[0])
            case Kind.BYE:
                return Bye(payload.decode(errors="replace"))
            case Kind.PING:
                pass
        return None

    def _on_credit(self, number: int, cost: int) -> Room | None:
        if number not in set(Channel):
            raise PeerProtocolError(f"credit of channel {number}")
        channel = Channel(number)
        if cost > self._credit.outstanding[channel] - self._queued_cost[channel]:
            raise PeerProtocolError(f"gives back {cost} bytes of {channel.name}, more than were sent")
        return Room(channel) if self._credit.give_back(channel, cost) else None

    @property
    def wants_to_write(self) -> bool:
        return bool(self._control) or (self._on_wire < WIRE_WINDOW_BYTES and any(self._queues.values()))

    @property
    def received_enough(self) -> bool:
        return self._untold_received >= RECEIVED_STEP_BYTES
