"""Calls, streams and handlers over a transport's links: what the rest of Photon talks to its peers by.

One task (`run`) takes the transport's events and never waits for anything else. Requests travel on REQUESTS, or on
BULK when the caller says so; each channel of each link is a `Conversation`. Frames of the other channels go to
whoever asked for them by `on_frame`. A peer that breaks the protocol is dropped: counted always, logged once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from photon_core.api.codec import decode, encode
from photon_core.api.errors import CodecError, PeerProtocolError
from photon_core.api.fields import Plain
from photon_core.api.ids import NodeKey
from photon_core.api.transport import (
    Channel,
    FrameReceived,
    LinkDown,
    LinkInfo,
    LinkUp,
    Standing,
    Transport,
    TransportEvent,
    Writable,
)

from .conversation import Call, Conversation, Request
from .errors import CallTimeout, LinkLost, Refusal
from .limits import KIB, PeersLimits
from .service import Allow, Handler, Method, Service, Visitor
from .streams import ANSWER_WINDOW

log = logging.getLogger(__name__)

REQUEST_CHANNELS = (Channel.REQUESTS, Channel.BULK)
PARAMS_BYTES_MAX = 256 * KIB
REPLY_BYTES_MAX = 256 * KIB
ITEM_BYTES_MAX = 256 * KIB
STREAM_WINDOW_BYTES = 256 * KIB
"""Items on their way to a reader that does not read; a quarter of the channel's credit."""
CALL_TIMEOUT_S = 30.0
LOGGED_PEERS_MAX = 1024
"""Peers whose breach was logged and is not logged again; beyond that many, breaches are only counted."""


def everyone(_peer: NodeKey, _standing: Standing) -> bool:
    """For `serve(allow=…)`."""
    return True


def no_strangers(_peer: NodeKey, standing: Standing) -> bool:
    """For `serve(allow=…)`: followers, peers and validators."""
    return standing not in (Standing.REFUSED, Standing.STRANGER)


Breach = Callable[[NodeKey, PeerProtocolError], None]


class Items:
    """What a stream yields. An iterator that stops at the stream's end and raises what it broke with."""

    def __init__(
        self, conversation: Conversation, number: int, call: Call, item_bytes_max: int, breach: Breach
    ) -> None:
        self._conversation = conversation
        self._number = number
        self._call = call
        self._item_bytes_max = item_bytes_max
        self._breach = breach

    def __aiter__(self) -> Items:
        return self

    async def __anext__(self) -> Any:
        item = await self._call.next_item()
        if item is None:
            raise StopAsyncIteration
        taken = self._conversation.machine.take(self._number, len(item))
        if taken is not None:
            await self._conversation.send(taken)
        return self._decode(item)

    async def only(self, method: str) -> Any:
        """The answer of a plain call. Its END comes right behind it: waiting for that saves a CANCEL for each call."""
        item = await self._call.next_item()
        if item is None:
            raise LinkLost(f"{method}: the peer ended the call without an answer")
        answer = self._decode(item)
        await self._call.next_item()  # a second item would be out of the window
        return answer

    def _decode(self, item: bytes) -> Any:
        peer = self._conversation.peer
        try:
            return decode(item, max_bytes=self._item_bytes_max, where="item")
        except CodecError as error:
            self._breach(peer, PeerProtocolError(str(error)))
            raise LinkLost(f"dropped {peer.hex()[:16]}: {error}") from None


class Peers:
    """`transport` must run elsewhere (its `run` in a nursery of the caller's); only this object calls its `receive`."""

    def __init__(self, transport: Transport, *, limits: PeersLimits | None = None) -> None:
        self.transport = transport
        self.breaches: Counter[NodeKey] = Counter()
        self._limits = limits or PeersLimits()
        self._service = Service(self._limits, self.drop)
        self._conversations: dict[NodeKey, dict[Channel, Conversation]] = {}
        self._visitors: dict[NodeKey, Visitor] = {}
        self._on_frame: dict[Channel, Callable[[NodeKey, bytes], None]] = {}
        self._on_link: list[Callable[[LinkUp | LinkDown], None]] = []
        self._on_writable: list[Callable[[NodeKey, Channel], None]] = []
        self._link_changed = trio.Event()
        self._nursery: trio.Nursery | None = None

    # -- set-up ------------------------------------------------------------------------------------------------------

    def serve(
        self,
        method: str,
        handler: Handler,
        *,
        allow: Allow = no_strangers,
        max_params_bytes: int = PARAMS_BYTES_MAX,
        concurrency_per_peer: int = 8,
        timeout_s: float = 60.0,
    ) -> None:
        """`handler(peer, params)` answers calls of `method`: an async function, or an async generator for a stream.

        It may raise `Refusal(code, message)`; a CodecError becomes `bad-request`; a PeerProtocolError drops the peer;
        anything else becomes `internal`, is logged here and tells the peer nothing. `timeout_s` is for functions; a
        stream lives until its caller leaves.
        """
        self._service.add(
            method,
            Method(
                handler=handler,
                allow=allow,
                params_bytes_max=max_params_bytes,
                concurrency_per_peer=concurrency_per_peer,
                timeout_s=timeout_s,
            ),
        )

    def on_frame(self, channel: Channel, callback: Callable[[NodeKey, bytes], None]) -> None:
        """Frames of `channel` go to `callback(peer, frame)`, which must not wait. PeerProtocolError drops the peer."""
        if channel in REQUEST_CHANNELS or channel in self._on_frame:
            raise ValueError(f"frames of {channel.name} have a reader")
        self._on_frame[channel] = callback

    def on_link(self, callback: Callable[[LinkUp | LinkDown], None]) -> None:
        self._on_link.append(callback)

    def on_writable(self, callback: Callable[[NodeKey, Channel], None]) -> None:
        """A channel of `on_frame` whose `transport.send` said FULL has room again."""
        self._on_writable.append(callback)

    # -- links -------------------------------------------------------------------------------------------------------

    def link(self, peer: NodeKey) -> LinkInfo | None:
        """The link to `peer`, once `run` has seen it come up."""
        if peer not in self._conversations:
            return None
        return next((link for link in self.transport.links() if link.peer == peer), None)

    async def wait_link(self, peer: NodeKey, timeout_s: float) -> LinkInfo:
        """CallTimeout when there is no link in time. Does not dial."""
        with trio.move_on_after(timeout_s):
            while True:
                link = self.link(peer)
                if link is not None:
                    return link
                await self._link_changed.wait()
        raise CallTimeout(f"no link to {peer.hex()[:16]} within {timeout_s:g} s")

    # -- asking ------------------------------------------------------------------------------------------------------

    async def call(
        self,
        peer: NodeKey,
        method: str,
        params: Plain,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        max_reply_bytes: int = REPLY_BYTES_MAX,
        channel: Channel = Channel.REQUESTS,
    ) -> Any:
        """The answer. Raises RemoteError, LinkLost, CallTimeout; after the last two it may have happened all the
        same.
        """
        with trio.move_on_after(timeout_s):
            async with self._asked(peer, method, params, max_reply_bytes, ANSWER_WINDOW, channel) as items:
                return await items.only(method)
        raise CallTimeout(f"{method}: no answer of {peer.hex()[:16]} within {timeout_s:g} s")

    @asynccontextmanager
    async def stream(
        self,
        peer: NodeKey,
        method: str,
        params: Plain,
        *,
        max_item_bytes: int = ITEM_BYTES_MAX,
        window_bytes: int = STREAM_WINDOW_BYTES,
        channel: Channel = Channel.REQUESTS,
    ) -> AsyncIterator[Items]:
        """`async with peers.stream(…) as items: async for item in items: …`. Leaving it tells the peer to stop."""
        async with self._asked(peer, method, params, max_item_bytes, window_bytes, channel) as items:
            yield items

    @asynccontextmanager
    async def _asked(
        self, peer: NodeKey, method: str, params: Plain, item_bytes_max: int, window: int, channel: Channel
    ) -> AsyncIterator[Items]:
        conversation = self._conversations.get(peer, {}).get(channel)
        if conversation is None:
            raise LinkLost(f"no link to {peer.hex()[:16]}")
        call = Call()
        number = await conversation.open(
            method, encode(params), item_bytes_max=item_bytes_max, window=window, call=call
        )
        try:
            yield Items(conversation, number, call, item_bytes_max, self.drop)
        finally:
            conversation.give_up(number)

    # -- the task ----------------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                self._on_event(await self.transport.receive())

    def _on_event(self, event: TransportEvent) -> None:
        match event:
            case FrameReceived(peer=peer, channel=channel, frame=frame):
                self._receive(peer, channel, frame)
            case Writable(peer=peer, channel=channel):
                conversation = self._conversations.get(peer, {}).get(channel)
                if conversation is not None:
                    conversation.writable()
                else:
                    for callback in self._on_writable:
                        callback(peer, channel)
            case LinkUp(link=link):
                self._link_up(link)
                self._tell(event)
            case LinkDown(peer=peer, reason=reason):
                self._link_down(peer, reason)
                self._tell(event)

    def _tell(self, event: LinkUp | LinkDown) -> None:
        self._link_changed.set()
        self._link_changed = trio.Event()
        for callback in self._on_link:
            callback(event)

    def _link_up(self, link: LinkInfo) -> None:
        peer = link.peer
        self._conversations[peer] = {
            channel: Conversation(self.transport, peer, channel, self._request) for channel in REQUEST_CHANNELS
        }
        self._visitors[peer] = self._service.visitor(lambda: self._standing(peer))

    def _link_down(self, peer: NodeKey, reason: str) -> None:
        self._visitors.pop(peer, None)
        for conversation in self._conversations.pop(peer, {}).values():
            conversation.lost(reason)

    def _standing(self, peer: NodeKey) -> Standing:
        link = self.link(peer)
        return Standing.REFUSED if link is None else link.standing

    def _receive(self, peer: NodeKey, channel: Channel, frame: bytes) -> None:
        try:
            conversation = self._conversations.get(peer, {}).get(channel)
            if conversation is not None:
                conversation.receive(frame)
            elif channel in self._on_frame:
                self._on_frame[channel](peer, frame)
        except PeerProtocolError as error:
            self.drop(peer, error)

    def _request(self, conversation: Conversation, request: Request) -> None:
        if self._nursery is not None:
            visitor = self._visitors[conversation.peer]
            try:
                method = self._service.admit(conversation, request, visitor)
            except Refusal as refusal:
                conversation.refuse(request.number, refusal.code, refusal.message)
            else:
                self._nursery.start_soon(self._service.answer, conversation, request, method, visitor)

    def drop(self, peer: NodeKey, error: PeerProtocolError) -> None:
        """It broke the protocol. For callers who find out later than in the callback that gave them its frame."""
        if peer not in self.breaches and len(self.breaches) < LOGGED_PEERS_MAX:
            log.warning("dropped the peer %s, which broke the protocol: %s", peer.hex()[:16], error)
        if peer in self.breaches or len(self.breaches) < LOGGED_PEERS_MAX:
            self.breaches[peer] += 1
        self.transport.drop(peer, str(error))
        self._link_down(peer, str(error))
