"""One channel of one link, as the tasks that ask and answer on it see it: the machine, what is sent, and who waits.

Frames of one request leave in order because one task sends them; the first frames of requests leave in the order of
their numbers because a number is drawn and its frame sent under one lock. A channel that is full makes only those
wait who want to send on it: the task that receives never sends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio
from attrs import define, field

from photon_core.api.errors import PeerProtocolError
from photon_core.api.ids import NodeKey
from photon_core.api.transport import Channel, SendResult, Transport

from .errors import LinkLost, PeersError, RemoteError
from .limits import REFUSALS_WAITING_MAX
from .streams import (
    Ended,
    Failed,
    ItemReceived,
    ParamsComplete,
    RequestCancelled,
    RequestOpened,
    StreamMachine,
    WindowOpened,
)


@define
class Call:
    """A request of ours: what has come and was not taken, bounded by its window."""

    items: deque[bytes] = field(factory=deque)
    ended: bool = False
    error: PeersError | None = None
    wake: trio.Event = field(factory=trio.Event)

    def finish(self, error: PeersError | None = None) -> None:
        self.ended = True
        self.error = self.error or error
        self.wake.set()

    async def next_item(self) -> bytes | None:
        """None after the last one. Raises what the call ended with."""
        await trio.lowlevel.checkpoint()
        while not self.items:
            if self.error is not None:
                raise self.error
            if self.ended:
                return None
            self.wake = trio.Event()
            await self.wake.wait()
        return self.items.popleft()


@define(kw_only=True)
class Request:
    """A request of the peer. Its task's scope is cancelled when the caller gives up or the link is gone."""

    number: int
    method: str
    size: int
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    params: bytes | None = None
    complete: trio.Event = field(factory=trio.Event)
    window: trio.Event = field(factory=trio.Event)

    def let_go_of_params(self) -> None:
        """They are handled: while the answer waits for its turn, they no longer count."""
        self.size, self.params = 0, None


class Conversation:
    def __init__(
        self,
        transport: Transport,
        peer: NodeKey,
        channel: Channel,
        on_request: Callable[[Conversation, Request], None],
    ) -> None:
        self.peer = peer
        self.channel = channel
        self.machine = StreamMachine()
        self.calls: dict[int, Call] = {}
        self.requests: dict[int, Request] = {}
        self._transport = transport
        self._on_request = on_request
        self._refusals: deque[bytes] = deque()
        self._writable = trio.Event()
        self._opening = trio.Lock()
        self._lost: str | None = None

    # -- sending -----------------------------------------------------------------------------------------------------

    async def send(self, frame: bytes) -> None:
        """LinkLost when the link is gone or goes down while the channel is full."""
        while True:
            if self._lost is not None:
                raise LinkLost(self._lost)
            self._writable = trio.Event() if self._writable.is_set() else self._writable
            match self._transport.send(self.peer, self.channel, frame):
                case SendResult.QUEUED:
                    return
                case SendResult.NO_LINK:
                    raise LinkLost(f"no link that carries {self.channel.name} to {self.peer.hex()[:16]}")
                case SendResult.FULL:
                    await self._writable.wait()

    async def open(self, method: str, params: bytes, *, item_bytes_max: int, window: int, call: Call) -> int:
        """Sends a whole request; its number. Cancelled half-way, the server is told."""
        async with self._opening:
            number, frames = self.machine.open(method, params, item_bytes_max=item_bytes_max, window=window)
            self.calls[number] = call
            first = True
            try:
                await self.send(next(frames))
                first = False
            finally:
                if first:  # nothing was sent: the server never hears of this number
                    self.machine.forget(number)
                    self.calls.pop(number, None)
        try:
            for frame in frames:
                await self.send(frame)
        except BaseException:
            self.give_up(number)
            raise
        return number

    def give_up(self, number: int) -> None:
        """The caller is done with a request, wherever it stands. Never waits."""
        self.calls.pop(number, None)
        frame = self.machine.give_up(number)
        if frame is not None and self._lost is None:
            # A full channel loses the CANCEL: the server then stops at its window, or at the end of its one answer.
            self._transport.send(self.peer, self.channel, frame)

    # -- what comes in: never waits ------------------------------------------------------------------------------------

    def writable(self) -> None:
        self._say_refusals()
        self._writable.set()

    def lost(self, reason: str) -> None:
        self._lost = reason
        self._writable.set()
        for call in self.calls.values():
            call.finish(LinkLost(reason))
        self.calls.clear()
        for request in self.requests.values():
            request.scope.cancel()

    def receive(self, frame: bytes) -> None:
        """PeerProtocolError for a breach."""
        for event in self.machine.receive(frame):
            match event:
                case ItemReceived(number=number, item=item):
                    self.calls[number].items.append(item)
                    self.calls[number].wake.set()
                case Ended(number=number):
                    self.calls.pop(number).finish()
                case Failed(number=number, code=code, message=message):
                    self.calls.pop(number).finish(RemoteError(code, message))
                case RequestOpened(number=number, method=method, size=size):
                    request = self.requests[number] = Request(number=number, method=method, size=size)
                    self._on_request(self, request)
                case ParamsComplete(number=number, params=params):
                    self._params_complete(number, params)
                case RequestCancelled(number=number):
                    if number in self.requests:
                        self.requests[number].scope.cancel()
                case WindowOpened(number=number):
                    if number in self.requests:
                        self.requests[number].window.set()

    def _params_complete(self, number: int, params: bytes) -> None:
        request = self.requests.get(number)
        if request is not None:
            request.params = params
            request.complete.set()

    # -- the server's side -------------------------------------------------------------------------------------------

    def refuse(self, number: int, code: str, message: str) -> None:
        """Ends a request that is not admitted. Never waits: PeerProtocolError for who asks on and takes no answers."""
        self.requests.pop(number, None)
        if len(self._refusals) >= REFUSALS_WAITING_MAX:
            raise PeerProtocolError(f"asks on while {len(self._refusals)} refusals wait for it to take its answers")
        self._refusals.append(self.machine.fail(number, code, message))
        self._say_refusals()

    def _say_refusals(self) -> None:
        while self._refusals:
            if self._transport.send(self.peer, self.channel, self._refusals[0]) is SendResult.FULL:
                return  # `writable` follows
            self._refusals.popleft()  # sent, or of no use to anybody: the link is gone

    async def send_item(self, request: Request, item: bytes) -> None:
        """Waits for the window and for the channel."""
        while not self.machine.may_send_item(request.number):
            request.window = trio.Event()
            await request.window.wait()
            await trio.lowlevel.checkpoint_if_cancelled()  # a CANCEL may have come right behind the WINDOW
        for frame in self.machine.item(request.number, item):
            await self.send(frame)

    @property
    def params_open_bytes(self) -> int:
        return sum(request.size for request in self.requests.values())
