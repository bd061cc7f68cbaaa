"""`Transport` over libp2p: who is listened to, who is dialled, and which of two links to one peer stays.

Theory of operation. A connection that comes in passes the gate, does its handshakes within `handshake_s`, and becomes
a link when its peer opens `/photon/link/1` and says HELLO. A peer that is to be dialled has a task that keeps a link
to it.

There is at most one link per peer. When a second one is about to come up:
- the peer is another process than before (its HELLO says so): the old link is dead, the new one stays;
- it was dialled by the same side: that side dials only when it has no link, so again the new one stays;
- it was dialled by the other side: both dialled at once, and both keep the one that the lower key dialled. While its
own
  HELLO is on the way, the side with the lower key already refuses, so that normally only one link ever comes up.
"""

from __future__ import annotations

import logging
import os
import random

import trio
from attrs import define, field

from photon_core.api.ids import NodeKey
from photon_core.api.inbox import Inbox, check_frame
from photon_core.api.transport import (
    Admission,
    Channel,
    LinkInfo,
    SendResult,
    Standing,
    TransportContext,
    TransportEvent,
)

from .addresses import network_of, parse, to_text
from .config import Libp2pConfig
from .connection import Connection, Handlers, Identity
from .gate import Gate, Pending
from .guard import guard
from .identify import IDENTIFY_PROTOCOL, PING_PROTOCOL, Identify, answer_ping
from .library import IMuxedStream, TProtocol
from .link import Link
from .machine import INSTANCE_BYTES, Bye, Hello

log = logging.getLogger(__name__)

LINK_PROTOCOL = TProtocol("/photon/link/1")
ANY_LOCAL_ADDRESS = "/ip4/127.0.0.1/tcp/0"
LISTEN_BACKLOG = 256
DIALLING_YOU = "this node is dialling you"
LINKED_ALREADY = "there is a link already"
ORDINARY = (DIALLING_YOU, LINKED_ALREADY)
"""Refusals that are nobody's fault: both sides dialled."""
LOGGED_MAX = 1024
LOG_AGAIN_S = 600.0
"""What was logged is not logged again for this long, and no more than LOGGED_MAX lines come of all peers together: who
invents keys and refusals fills neither the disk nor, for ever, the places of others."""


@define
class _Wanted:
    """A peer to keep a link to. `changed` is set when there may be something to do: dropped, or the link is lost."""

    addresses: tuple[str, ...]
    stopped: bool = False
    changed: trio.Event = field(factory=trio.Event)


class Libp2pTransport:
    def __init__(self, context: TransportContext) -> None:
        self._config = context.config if isinstance(context.config, Libp2pConfig) else Libp2pConfig()
        self._chain_id = context.chain_id
        self._identity = Identity(context.node_seed)
        self.key: NodeKey = self._identity.key
        self._instance = os.urandom(INSTANCE_BYTES)
        self._admission: Admission = lambda _peer: Standing.STRANGER
        self._inbox = Inbox()
        self._gate = Gate(self._config)
        self._links: dict[NodeKey, Link] = {}
        self._wanted: dict[NodeKey, _Wanted] = {}
        self._hello_on_its_way: set[NodeKey] = set()
        self._nursery: trio.Nursery | None = None
        self._logged: set[object] = set()
        self._logged_since_s = float("-inf")
        identify = Identify(self._identity, lambda: self._handlers)
        self._handlers: Handlers = {
            LINK_PROTOCOL: self._link_opened_by_peer,
            IDENTIFY_PROTOCOL: identify.answer,
            PING_PROTOCOL: answer_ping,
        }

    # -- Transport ---------------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for peer, wanted in self._wanted.items():
                    nursery.start_soon(self._keep, peer, wanted)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None
            for link in list(self._links.values()):
                link.close("the transport was stopped")

    async def listen(self, address: str) -> str:
        host, port = parse(address or ANY_LOCAL_ADDRESS)
        if self._nursery is None:
            raise RuntimeError("the transport is not running")
        listeners = await trio.open_tcp_listeners(port, host=host, backlog=LISTEN_BACKLOG)
        self._nursery.start_soon(trio.serve_listeners, self._accept, listeners)
        return to_text(*listeners[0].socket.getsockname()[:2])

    def dial(self, peer: NodeKey, addresses: tuple[str, ...]) -> None:
        if peer == self.key:
            raise ValueError("a node has no link to itself")
        for address in addresses:
            parse(address)
        wanted = self._wanted.get(peer)
        if wanted is not None:
            wanted.addresses = addresses
            return
        wanted = self._wanted[peer] = _Wanted(addresses)
        if self._nursery is not None:
            self._nursery.start_soon(self._keep, peer, wanted)

    def drop(self, peer: NodeKey, reason: str) -> None:
        wanted = self._wanted.pop(peer, None)
        if wanted is not None:
            wanted.stopped = True
            wanted.changed.set()
        link = self._links.get(peer)
        if link is not None:
            link.leave(reason, discard=True)

    def links(self) -> tuple[LinkInfo, ...]:
        return tuple(link.info for link in self._links.values() if link.info is not None)

    def send(self, peer: NodeKey, channel: Channel, frame: bytes) -> SendResult:
        check_frame(frame)
        link = self._links.get(peer)
        return SendResult.NO_LINK if link is None else link.send(channel, frame)

    async def receive(self) -> TransportEvent:
        return await self._inbox.receive()

    def set_admission(self, admission: Admission) -> None:
        self._admission = admission
        for peer, link in list(self._links.items()):
            assert link.info is not None
            before, standing = link.info.standing, admission(peer)
            if standing is before:
                continue
            link.change_standing(standing)
            if not link.reason:
                self._gate.give_back(before, network_of(link.connection.host))
                self._gate.take(standing, network_of(link.connection.host))

    # -- connections that come in ------------------------------------------------------------------------------------

    async def _accept(self, socket: trio.SocketStream) -> None:
        await guard(self._inbound, socket)
        socket.socket.close()

    async def _inbound(self, socket: trio.SocketStream) -> None:
        host = socket.socket.getpeername()[0]
        pending = Pending(network_of(host), lambda _reason: socket.socket.close())
        self._gate.arrive(pending)
        try:
            async with trio.open_nursery() as nursery:
                connected = trio.Event()
                nursery.start_soon(self._close_when_late, socket, connected)
                connection = await self._identity.upgrade(socket, dialled=None)

                def on_link() -> None:
                    self._gate.leave(pending)
                    connected.set()

                connection.on_link = on_link
                await connection.run(self._handlers, trio.Event())
                nursery.cancel_scope.cancel()
        finally:
            self._gate.leave(pending)

    async def _close_when_late(self, socket: trio.SocketStream, connected: trio.Event) -> None:
        with trio.move_on_after(self._config.handshake_s):
            await connected.wait()
            return
        socket.socket.close()

    async def _link_opened_by_peer(self, connection: Connection, stream: IMuxedStream) -> None:
        """The answering side of a link, from its stream to its end."""
        peer = connection.peer
        if peer is None or not connection.inbound or connection.has_link:
            connection.close()
            return
        connection.has_link = True
        link = Link(connection, stream, self._config)
        hello = await link.read_hello()
        if isinstance(hello, Bye):
            connection.close()
            return
        refusal = self._refusal(peer, link, hello)
        if refusal is not None:
            where = f"{peer.hex()[:16]} at {connection.host}"
            self._log_once((peer, refusal), "refused a link of %s: %s", where, refusal)
            link.machine.bye(refusal)
            await link.flush()
            return
        link.machine.hello(self._chain_id, self._instance, self._admission(peer).channels)
        await self._run_link(peer, link, hello, connection.address)

    def _refusal(self, peer: NodeKey, link: Link, hello: Hello) -> str | None:
        if peer == self.key:
            return "this is your own key"
        if hello.chain_id != self._chain_id:
            return f"this node is of the chain {self._chain_id.hex()[:16]}, you said {hello.chain_id.hex()[:16]}"
        if peer in self._hello_on_its_way and self.key < peer:
            return DIALLING_YOU
        former = self._links.get(peer)
        if former is not None and not self._replaces(peer, link, hello, former):
            return LINKED_ALREADY
        if former is None:
            return self._gate.refusal(self._admission(peer), network_of(link.connection.host))
        return None if self._admission(peer) is not Standing.REFUSED else "not admitted"

    def _replaces(self, peer: NodeKey, link: Link, hello: Hello, former: Link) -> bool:
        """Whether a new link to a peer takes the place of the former one; see the module."""
        if hello.instance != former.instance or link.connection.inbound == former.connection.inbound:
            return True
        return (peer < self.key) == link.connection.inbound

    # -- links -------------------------------------------------------------------------------------------------------

    async def _run_link(
        self, peer: NodeKey, link: Link, hello: Hello, address: str, attempt: _Attempt | None = None
    ) -> None:
        former = self._links.get(peer)
        if former is not None:
            former.close("replaced by a new link")
        standing = self._admission(peer)
        info = LinkInfo(peer=peer, address=address, inbound=link.connection.inbound, standing=standing)
        self._links[peer] = link
        self._gate.take(standing, network_of(link.connection.host))
        link.go_up(info, hello.instance, self._inbox, self._forget)
        link.connection.on_link()
        if attempt is not None:
            attempt.started("")
        try:
            await link.run()
        finally:
            link.close("the transport was stopped")
            if link.breach is not None:
                self._log_once(peer, "dropped the peer %s, which broke the protocol: %s", peer.hex()[:16], link.breach)

    def _forget(self, link: Link) -> None:
        assert link.info is not None
        peer = link.info.peer
        del self._links[peer]
        self._gate.give_back(link.info.standing, network_of(link.connection.host))
        if peer in self._wanted:
            self._wanted[peer].changed.set()

    # -- links that this side dials ----------------------------------------------------------------------------------

    async def _keep(self, peer: NodeKey, wanted: _Wanted) -> None:
        """Keeps the link to one peer until it is dropped. All such tasks dial at the same time.

        A link that was lost sooner than the longest back-off is as good as none: a peer that lets this node in and
        throws it out again would else be dialled without a pause.
        """
        backoff_s, attempt = self._config.backoff_first_s, 0
        while not wanted.stopped:
            wanted.changed = trio.Event()
            if peer not in self._links and wanted.addresses and self._nursery is not None:
                address = wanted.addresses[attempt % len(wanted.addresses)]
                attempt += 1
                problem = await self._nursery.start(self._dialled, peer, address, wanted)
                if problem:
                    self._log_once((peer, problem), "no link to %s at %s: %s", peer.hex()[:16], address, problem)
            if peer in self._links:
                up_s = trio.current_time()
                await wanted.changed.wait()
                if peer in self._links or trio.current_time() - up_s >= self._config.backoff_max_s:
                    backoff_s = self._config.backoff_first_s
                    continue
            if self._wanted.get(peer) is not wanted:  # dropped meanwhile
                return
            wanted.changed = trio.Event()  # that the link was lost is known
            spread = random.uniform(0.75, 1.25)  # noqa: S311  # no secret: who lost one link should not dial as one
            with trio.move_on_after(backoff_s * spread):
                await wanted.changed.wait()
            backoff_s = min(backoff_s * 2, self._config.backoff_max_s)

    async def _dialled(
        self, peer: NodeKey, address: str, wanted: _Wanted, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """One attempt, and the link's whole life. Started with what went wrong, or with nothing."""
        attempt = _Attempt(task_status)
        await guard(self._dial_once, peer, address, wanted, attempt)
        attempt.started("the connection was lost, or took too long")

    async def _dial_once(self, peer: NodeKey, address: str, wanted: _Wanted, attempt: _Attempt) -> None:
        socket = await self._connect(address, attempt)
        if socket is None:
            return
        try:
            async with trio.open_nursery() as nursery:
                connected = trio.Event()
                nursery.start_soon(self._close_when_late, socket, connected)
                connection = await self._identity.upgrade(socket, dialled=peer)
                connection.on_link = connected.set
                started = trio.Event()
                nursery.start_soon(guard, connection.run, self._handlers, started)
                await started.wait()
                await self._open_link(peer, address, connection, wanted, attempt)
                nursery.cancel_scope.cancel()
        finally:
            self._hello_on_its_way.discard(peer)
            socket.socket.close()

    async def _connect(self, address: str, attempt: _Attempt) -> trio.SocketStream | None:
        host, port = parse(address)
        with trio.move_on_after(self._config.handshake_s):
            try:
                return await trio.open_tcp_stream(host, port)
            except OSError as error:
                attempt.started(str(error))
                return None
        attempt.started(f"no connection within {self._config.handshake_s:g} s")
        return None

    async def _open_link(
        self, peer: NodeKey, address: str, connection: Connection, wanted: _Wanted, attempt: _Attempt
    ) -> None:
        stream = await connection.open(LINK_PROTOCOL)
        if peer in self._links:  # the peer was quicker
            attempt.started(LINKED_ALREADY)
            return
        link = Link(connection, stream, self._config)
        link.machine.hello(self._chain_id, self._instance, self._admission(peer).channels)
        self._hello_on_its_way.add(peer)
        await link.flush()
        hello = await link.read_hello()
        self._hello_on_its_way.discard(peer)
        refusal = hello.reason if isinstance(hello, Bye) else self._refusal(peer, link, hello)
        if wanted.stopped:
            refusal = "not wanted any more"
        if refusal is not None or isinstance(hello, Bye):
            attempt.started(refusal or "refused")
            return
        await self._run_link(peer, link, hello, address, attempt)

    def _log_once(self, what: object, message: str, *arguments: object) -> None:
        if arguments[-1] in ORDINARY:
            log.debug(message, *arguments)
            return
        now_s = trio.current_time()
        if now_s - self._logged_since_s >= LOG_AGAIN_S:
            self._logged.clear()
            self._logged_since_s = now_s
        if what not in self._logged and len(self._logged) < LOGGED_MAX:
            self._logged.add(what)
            log.warning(message, *arguments)


class _Attempt:
    """A task status that may be told twice; the first counts."""

    def __init__(self, task_status: trio.TaskStatus[str]) -> None:
        self._task_status = task_status
        self._told = False

    def started(self, problem: str) -> None:
        if not self._told:
            self._told = True
            self._task_status.started(problem)
