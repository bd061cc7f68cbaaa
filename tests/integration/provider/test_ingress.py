"""Two tenants' services behind one provider's HTTP port: nothing that one client sends reaches the other's.

Each service answers with its own name, so whoever answered is known from the answer. Raw sockets: no HTTP library sends
what is tried here.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from attrs import frozen
from deploying import closed, delivered, service
from harness import Network, endpoints_of, eventually

from photon_core.peers.methods import Endpoint
from photon_core.tenant.client import Tenant

ANSWERING = """
import socketserver, sys
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            while self.rfile.readline() not in (b"\\r\\n", b"\\n", b""):
                pass
            print("asked", line, flush=True)
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\n" + sys.argv[1].encode())
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
Server(("", 8080), Answer).serve_forever()
"""
PATIENCE_S = 20.0


@frozen
class Two:
    """Endpoints of two leases at one provider: `mine` answers `mine!`, `other` answers `other`."""

    mine: Endpoint
    other: Endpoint


async def deploy(tenant: Tenant, write: Callable[..., Path], name: str) -> Endpoint:
    lease = await delivered(tenant, write(name, web=service(["python3", "-c", ANSWERING, name])))
    (endpoint,) = await endpoints_of(tenant, lease.deployment)
    return endpoint


@pytest.fixture
async def two(network: Network, write: Callable[..., Path]) -> AsyncIterator[Two]:
    async with network.tenant() as tenant:
        mine, other = await deploy(tenant, write, "mine!"), await deploy(tenant, write, "other")
        assert (mine.address, mine.external_port) == (other.address, other.external_port)
        yield Two(mine, other)
        for endpoint in (mine, other):
            await closed(tenant, int(endpoint.hostnames[0].split(".")[1].split("-")[0]))


async def say(endpoint: Endpoint, request: bytes) -> bytes:
    """All that comes back; our side ends first, since the workload here does not end by itself."""
    with trio.fail_after(PATIENCE_S):
        async with await trio.open_tcp_stream(endpoint.address, endpoint.external_port) as stream:
            answer = b""
            with suppress(trio.BrokenResourceError):
                await stream.send_all(request)
                await stream.send_eof()
                async for chunk in stream:
                    answer += chunk
            return answer


def head(host: str, *lines: str, target: str = "/") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


async def test_requests_go_where_their_host_says_and_no_further(two: Two) -> None:
    mine, other = two.mine.hostnames[0], two.other.hostnames[0]

    assert (await say(two.mine, head(mine))).endswith(b"mine!"), "the controls: both are there to be reached"
    assert (await say(two.mine, head(other))).endswith(b"other")
    absolute = f"http://{mine}/"
    assert (await say(two.mine, head(mine, target=absolute))).endswith(b"mine!")

    for request, status in {
        head("nobody.example"): b"404",
        head(f"web.{mine}"): b"404",
        head(""): b"400",
        b"GET / HTTP/1.1\r\n\r\n": b"400",
        head(mine, f"Host: {other}"): b"400",
        head(f"{mine}, {other}"): b"400",
        head(f"{mine} {other}"): b"400",
        head(f"{other}@{mine}"): b"400",
        head(mine, target=f"http://{other}/"): b"400",
        head(mine, f" Host: {other}"): b"400",
        head(mine, f"Host : {other}"): b"400",
        head(mine, f"X: 1\nHost: {other}"): b"400",
        head(mine, f"X: 1\rHost: {other}"): b"400",
        head(mine, "Content-Length: 5", "Content-Length: 6"): b"400",
        head(mine, "Content-Length: 5", "Transfer-Encoding: chunked"): b"400",
        head(mine, "Content-Length: +5"): b"400",
        head(mine, "X: " + 40_000 * "x"): b"431",
        head(mine, *[f"X-{number}: 1" for number in range(200)]): b"431",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": b"505",
        f"CONNECT {other}:80 HTTP/1.1\r\nHost: {mine}\r\n\r\n".encode(): b"",
    }.items():
        answer = await say(two.mine, request)
        assert b"other" not in answer.partition(b"\r\n\r\n")[2][-5:], request[:200]
        assert answer.startswith(b"HTTP/1.1 " + status), (request[:200], answer[:200])


async def test_what_follows_the_first_request_stays_with_its_workload(network: Network, two: Two) -> None:
    """Pipelined, or hidden behind a body of any framing: only the first request's workload ever sees it."""
    mine, other = two.mine.hostnames[0], two.other.hostnames[0]
    second = head(other, target="/smuggled")
    for first in (
        head(mine, "Connection: close"),
        head(mine, "Connection: keep-alive"),
        head(mine, "Content-Length: 0"),
        head(mine, "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head(mine, "Transfer-Encoding: xchunked"),
        head(mine, "Connection: Upgrade", "Upgrade: websocket"),
    ):
        answer = await say(two.mine, first + second)
        assert b"mine!" in answer or answer.startswith(b"HTTP/1.1 400"), (first, answer)
        assert b"other" not in answer, first
    async with network.tenant() as tenant:
        number = int(other.split(".")[1].split("-")[0])
        async with tenant.logs(await tenant.active_lease(number)) as chunks:
            log = b"".join([chunk.data async for chunk in chunks])
    assert b"smuggled" not in log


async def test_slow_and_idle_clients_keep_nobody_out(two: Two) -> None:
    """Half of an address's places are held by heads that never end; whoever comes meanwhile is served."""
    where = two.mine.address, two.mine.external_port
    slow = [socket.create_connection(where) for _ in range(64)]
    try:
        for each in slow:
            each.sendall(f"GET / HTTP/1.1\r\nHost: {two.mine.hostnames[0]}\r\nX: ".encode())

        async def served() -> bytes:
            return await say(two.mine, head(two.mine.hostnames[0]))

        await eventually(served, lambda answer: answer.endswith(b"mine!"))
    finally:
        for each in slow:
            each.close()
