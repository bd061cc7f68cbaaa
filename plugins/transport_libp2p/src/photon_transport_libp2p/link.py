"""A live link: the tasks that move one machine's bytes over one stream, and its way into the inbox.

One task reads, one writes, one watches the time. Whatever ends one of them ends the link; ending is closing the
connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import trio
from attrs import evolve

from photon_core.api.errors import PeerProtocolError
from photon_core.api.inbox import Inbox, Lane
from photon_core.api.transport import Channel, LinkInfo, SendResult, Standing

from .config import Libp2pConfig
from .connection import Connection, StreamReader
from .guard import guard
from .library import IMuxedStream
from .machine import Bye, FrameIn, Hello, LinkMachine, MachineEvent, Room

READ_BYTES = 64 * 1024
FAREWELL_S = 1.0
"""How long a BYE may take to leave before the connection is closed all the same."""


class Link:
    """A stream on its way to be a link; `info` and `lane` once it is one."""

    def __init__(self, connection: Connection, stream: IMuxedStream, config: Libp2pConfig) -> None:
        self.connection = connection
        self.machine = LinkMachine()
        self.info: LinkInfo | None = None
        self.instance = b""
        self.reason = ""
        self.breach: PeerProtocolError | None = None
        self._stream = stream
        self._incoming = StreamReader(stream)
        self._config = config
        self._lane: Lane | None = None
        self._on_down: Callable[[Link], None] = lambda _link: None
        self._wake = trio.Event()
        self._heard_s = trio.current_time()
        self._leaving_s = float("inf")
        self._early: list[MachineEvent] = []

    # -- before it is up ---------------------------------------------------------------------------------------------

    async def read_hello(self) -> Hello | Bye:
        while True:
            events = self.machine.receive(await self._read())
            for place, event in enumerate(events):
                if isinstance(event, Hello | Bye):
                    self._early = events[place + 1 :]
                    return event

    async def flush(self) -> None:
        """Only before `run`, which has a task for it."""
        await self._stream.write(self.machine.next_batch())

    async def _read(self) -> bytes:
        data = await self._incoming.read(READ_BYTES)
        if not data:
            raise PeerProtocolError("the stream ended")
        return data

    # -- up ----------------------------------------------------------------------------------------------------------

    def go_up(self, info: LinkInfo, instance: bytes, inbox: Inbox, on_down: Callable[[Link], None]) -> None:
        """`on_down` is called once, before anybody hears that the link is down."""
        self.info = info
        self._on_down = on_down
        self.instance = instance
        self._lane = inbox.link_up(info, self._taken)

    async def run(self) -> None:
        """Until the link ends, whatever ends it."""
        async with trio.open_nursery() as nursery:

            async def until_it_ends(task: Callable[[], Awaitable[None]]) -> None:
                await guard(task)
                self.close("the connection was lost")
                nursery.cancel_scope.cancel()

            for task in (self._reader, self._writer, self._watch):
                nursery.start_soon(until_it_ends, task)

    async def _reader(self) -> None:
        try:
            early, self._early = self._early, []  # what came together with the HELLO
            self._handle(early)
            while True:
                data = await self._read()
                self._heard_s = trio.current_time()
                self._handle(self.machine.receive(data))
        except PeerProtocolError as error:
            if not self.reason:
                self.breach = error
                self.close(str(error), discard=True)

    def _handle(self, events: Iterable[MachineEvent]) -> None:
        assert self._lane is not None
        for event in events:
            match event:
                case FrameIn(channel=channel, frame=frame):
                    self._lane.deliver(channel, frame)
                case Room(channel=channel):
                    self._lane.writable(channel)
                case Bye(reason=reason):
                    self.close(f"the peer closed it: {reason}")
                    return
        if self.machine.received_enough or self.machine.wants_to_write:
            self._wake.set()

    async def _writer(self) -> None:
        while True:
            batch = self.machine.next_batch()
            if batch:
                await self._stream.write(batch)
            elif self._leaving_s < float("inf"):
                return
            else:
                self._wake = trio.Event()
                await self._wake.wait()

    async def _watch(self) -> None:
        while True:
            with trio.move_on_at(self._leaving_s):
                await trio.sleep(self._config.heartbeat_s)
            now = trio.current_time()
            if now >= self._leaving_s:
                return
            if now - self._heard_s >= self._config.silence_s:
                self.close(f"nothing heard for {self._config.silence_s:g} s")
                return
            self.machine.ping()
            self._wake.set()

    # -- what the transport does with it; none of it waits ---------------------------------------------------------

    def send(self, channel: Channel, frame: bytes) -> SendResult:
        if self.reason:
            return SendResult.NO_LINK
        result = self.machine.send(channel, frame)
        if result is SendResult.QUEUED:
            self._wake.set()
        return result

    def _taken(self, channel: Channel, cost: int) -> None:
        if self.machine.taken(channel, cost):
            self._wake.set()

    def change_standing(self, standing: Standing) -> None:
        assert self.info is not None
        if standing is not Standing.REFUSED and self.info.standing.channels <= standing.channels:
            self.info = evolve(self.info, standing=standing)
            self.machine.grant(standing.channels)
            self._wake.set()
        else:
            self.leave(f"its standing is now {standing.name}")

    def leave(self, reason: str, *, discard: bool = False) -> None:
        """Down at once for this side; the peer is told why, if that takes no longer than FAREWELL_S."""
        if self._finish(reason, discard=discard):
            self.machine.bye(reason)
            self._leaving_s = trio.current_time() + FAREWELL_S
            self._wake.set()

    def close(self, reason: str, *, discard: bool = False) -> None:
        self._finish(reason, discard=discard)
        self.connection.close()

    def _finish(self, reason: str, *, discard: bool) -> bool:
        if self.reason:
            return False
        self.reason = reason
        self._on_down(self)
        if self._lane is not None:
            self._lane.close(reason, discard=discard)
        return True
