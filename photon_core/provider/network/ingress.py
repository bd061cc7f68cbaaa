"""The way in from outside: HTTP by hostname on one port, TCP on a port of its own for each rule.

Every connection is bounded before it is understood: places in all and per outside address, time and size of the head.
What a hostname leads to is looked up in a table that `fabric` keeps; a name that nobody holds is a 404, a workload that
does not answer a 503.
"""

from __future__ import annotations

import ipaddress
import socket
from collections import Counter
from collections.abc import Callable

import trio
from attrs import frozen

from .grants import IngressRule
from .http_head import END, BadRequest, answer, forwarded, parse_head
from .limits import NetworkLimits
from .relay import receive, reset, send_all
from .wiring import LeaseWiring, NoServer

IPV6_PREFIX_BITS = 64


@frozen(kw_only=True)
class Route:
    wiring: LeaseWiring
    rule: IngressRule


class Gate:
    """Of ingress: places for connections by outside address."""

    def __init__(self, limits: NetworkLimits) -> None:
        self._limits = limits
        self._taken: Counter[str] = Counter()
        self._all = 0

    def enter(self, connection: socket.socket) -> str | None:
        """The address, or None when it or everybody has too many connections, or it has gone already."""
        try:
            address = str(connection.getpeername()[0])
        except OSError:
            return None
        network = network_of(address)
        if self._all >= self._limits.ingress_connections_max:
            return None
        if self._taken[network] >= self._limits.address_connections_max:
            return None
        self._taken[network] += 1
        self._all += 1
        return address

    def leave(self, address: str) -> None:
        network = network_of(address)
        self._all -= 1
        self._taken[network] -= 1
        if not self._taken[network]:
            del self._taken[network]


def network_of(address: str) -> str:
    """What one customer of a network has: an IPv4 address, or an IPv6 /64."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip), IPV6_PREFIX_BITS), strict=False))


class HttpIngress:
    def __init__(self, route: Callable[[str], Route | None], gate: Gate, limits: NetworkLimits) -> None:
        self._route, self._gate, self._limits = route, gate, limits

    async def handle(self, connection: socket.socket) -> None:
        address = self._gate.enter(connection)
        if address is None:
            reset(connection)
            return
        try:
            await self._serve(connection, address)
        except BadRequest as refusal:
            await self._answer(connection, refusal)
        finally:
            self._gate.leave(address)

    async def _serve(self, connection: socket.socket, address: str) -> None:
        head, rest = await self._read_head(connection)
        if not head:
            return
        request = parse_head(head)
        route = self._route(request.host)
        if route is None:
            raise BadRequest(404, f"no workload here answers to {request.host}")
        first = forwarded(request, address) + rest
        try:
            await route.wiring.carry(route.rule, route.rule.service, route.rule.port, connection, first)
        except NoServer as error:
            raise BadRequest(503, str(error)) from None

    async def _read_head(self, connection: socket.socket) -> tuple[bytes, bytes]:
        """The head and what came after it; nothing when the client said nothing."""
        data = bytearray()
        with trio.move_on_after(self._limits.head_timeout_s) as patience:
            while (end := data.find(END)) < 0:
                self._check_size(len(data))
                chunk = await receive(connection, 8192)
                if not chunk:
                    if data:
                        raise BadRequest(400, "the request ends in its head")
                    return b"", b""
                data += chunk
        if patience.cancelled_caught:
            raise BadRequest(408, "the head did not come in time")
        self._check_size(end)
        return bytes(data[: end + len(END)]), bytes(data[end + len(END) :])

    def _check_size(self, head_bytes: int) -> None:
        """Before more is read, and again of what came with its end in one piece."""
        if head_bytes > self._limits.head_bytes_max:
            raise BadRequest(431, f"more than {self._limits.head_bytes_max} bytes of head")

    async def _answer(self, connection: socket.socket, refusal: BadRequest) -> None:
        with trio.move_on_after(self._limits.connect_timeout_s):
            await send_all(connection, answer(refusal.status, refusal.why))
            connection.shutdown(socket.SHUT_WR)
            while await receive(connection):  # what is unread at close would reset the answer on its way
                pass


class TcpIngress:
    def __init__(self, route: Route, gate: Gate) -> None:
        self._route, self._gate = route, gate

    async def handle(self, connection: socket.socket) -> None:
        address = self._gate.enter(connection)
        if address is None:
            reset(connection)
            return
        try:
            rule = self._route.rule
            await self._route.wiring.carry(rule, rule.service, rule.port, connection)
        finally:
            self._gate.leave(address)
