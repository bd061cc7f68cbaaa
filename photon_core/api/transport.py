"""Kind `transport`: authenticated, encrypted links between peers.

The seam is a **link** between two nodes (Ed25519 node keys). A link carries frames of at most 256 KiB on four channels;
a frame arrives at most once and in order within its channel, and while the link stands without a gap: what cannot be
delivered takes the link down. Each channel has its own credit: what the receiver has not yet taken by `receive` counts
against the sender, whose `send` says FULL instead of waiting or growing a queue; `Writable` follows. Channels
have a priority in the order of their numbers. Requests, retransmission, chunking and streams are core's
(`photon_core.peers`), built on frames.

Who may use which channel is core's to say (`set_admission`), frame by frame the transport's to enforce: a frame on a
channel that the peer's standing does not include drops the link.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum
from typing import Protocol

import trio
from attrs import frozen

from .ids import Hash, NodeKey
from .plugin import PluginRecord

FRAME_BYTES_MAX = 256 * 1024
LINKS_MAX = 256
"""Links of all standings together."""
LINKS_KEPT = 32
"""Of these places only validators and peers may take; strangers and followers are let in beside them."""


class Channel(IntEnum):
    """In order of priority."""

    CONSENSUS = 0
    GOSSIP = 1
    REQUESTS = 2
    BULK = 3


CREDIT_BYTES = {
    Channel.CONSENSUS: 4 * 2**20,
    Channel.GOSSIP: 2 * 2**20,
    Channel.REQUESTS: 1 * 2**20,
    Channel.BULK: 1 * 2**20,
}
"""Bytes per link, channel and direction that may be sent and not yet taken at the other end."""

FRAME_OVERHEAD_BYTES = 32
"""What a frame costs of the credit besides its bytes, so that empty frames are not free."""


class Standing(Enum):
    """What a peer is to this node; decides the channels that it may use and how many of its kind are let in.

    A PEER is known to the operator. A FOLLOWER may use the same channels, but nobody knows it: it is bounded in number
    and rate as strangers are.
    """

    REFUSED = "refused"
    STRANGER = "stranger"
    FOLLOWER = "follower"
    PEER = "peer"
    VALIDATOR = "validator"

    @property
    def channels(self) -> frozenset[Channel]:
        """Those on which the peer may send."""
        return _CHANNELS[self]

    @property
    def is_known(self) -> bool:
        """Whether all LINKS_MAX places are open to it."""
        return self in (Standing.PEER, Standing.VALIDATOR)


_CHANNELS = {
    Standing.REFUSED: frozenset[Channel](),
    Standing.STRANGER: frozenset({Channel.REQUESTS}),
    Standing.FOLLOWER: frozenset({Channel.GOSSIP, Channel.REQUESTS, Channel.BULK}),
    Standing.PEER: frozenset({Channel.GOSSIP, Channel.REQUESTS, Channel.BULK}),
    Standing.VALIDATOR: frozenset(Channel),
}


class SendResult(Enum):
    """NO_LINK: there is no link to the peer, or the peer does not grant this node the channel."""

    QUEUED = "queued"
    FULL = "full"
    NO_LINK = "no-link"


@frozen(kw_only=True)
class LinkInfo:
    """`address` is where the peer was dialled or came from, in the transport's own notation."""

    peer: NodeKey
    address: str
    inbound: bool
    standing: Standing


@frozen(kw_only=True)
class LinkUp:
    link: LinkInfo


@frozen(kw_only=True)
class LinkDown:
    peer: NodeKey
    reason: str


@frozen(kw_only=True)
class FrameReceived:
    peer: NodeKey
    channel: Channel
    frame: bytes


@frozen(kw_only=True)
class Writable:
    """A channel whose `send` said FULL has room again. Once per FULL; not sent when the link goes down first."""

    peer: NodeKey
    channel: Channel


TransportEvent = LinkUp | LinkDown | FrameReceived | Writable

Admission = Callable[[NodeKey], Standing]


class Transport(Protocol):
    """At most one link per peer. All methods belong to the trio task tree that runs `run`."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Owns every task of the transport; `started()` once ready to listen and dial. Cancelling it closes all
        links.
        """
        ...

    async def listen(self, address: str) -> str:
        """Starts to accept links at `address`; returns the address that peers can dial (port 0 replaced by the real
        one).

        An empty address is one of the transport's choice that only this machine reaches.
        """
        ...

    def dial(self, peer: NodeKey, addresses: tuple[str, ...]) -> None:
        """Keep a link to `peer`: dial now, and again with back-off whenever it is lost, until `drop`."""
        ...

    def drop(self, peer: NodeKey, reason: str) -> None:
        """Close the link, if there is one, and stop dialling. `LinkDown` follows if there was a link."""
        ...

    def links(self) -> tuple[LinkInfo, ...]: ...

    def send(self, peer: NodeKey, channel: Channel, frame: bytes) -> SendResult:
        """Never waits. ValueError for a frame over FRAME_BYTES_MAX."""
        ...

    async def receive(self) -> TransportEvent:
        """The next event, frames of a higher priority first; taking a frame gives its credit back. One caller only."""
        ...

    def set_admission(self, admission: Admission) -> None:
        """Asked for each new link, and again for every live one when this is called. Default: everybody is a
        STRANGER.
        """
        ...


@frozen(kw_only=True)
class TransportContext:
    """`node_seed` is the 32-byte Ed25519 seed of the node key. `chain_id` keeps networks apart: a peer of another chain
    is refused at the handshake.
    """

    node_seed: bytes
    chain_id: Hash
    config: object


TransportProvider = PluginRecord[TransportContext, Transport]
