"""Serving the API: hypercorn's protocol on trio, bounded against clients that are slow, huge or never done."""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from typing import Any, cast

import trio
from hypercorn.config import Config
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState, Framework
from hypercorn.utils import parse_socket_addr, wrap_app
from starlette.types import ASGIApp

from photon_core.api.errors import PeerProtocolError, UsageError
from photon_core.node.config import parse_bind

from .connections import Connection, Gate

HEAD_BYTES_MAX = 16 * 2**10
"""Of a request line and its headers together."""
IDLE_TIMEOUT_S = 30
"""From the connection, or the last answer, until the head of a request is complete."""
BACKLOG = 128
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # what to dial when it listens everywhere


async def serve_api(app: ASGIApp, bind: str, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
    """Until cancelled; `started` with the URL, in which port 0 has become the real one."""
    listeners = await _listen(bind)
    config, context = _config(), WorkerContext(None)
    wrapped = wrap_app(cast(Framework, app), config.wsgi_max_body_size, "asgi")

    def handle(connection: Connection) -> Awaitable[None]:
        return _Http1(wrapped, config, context, ConnectionState({}), connection)  # type: ignore[arg-type]  # no TLS

    gate = Gate(handle)
    async with trio.open_nursery() as nursery:
        try:
            task_status.started(_url(listeners[0]))
            await trio.serve_listeners(gate.serve, listeners, handler_nursery=nursery)
        finally:
            gate.cut_all()  # streams never end by themselves; their clients ask again, or another node


class _PlainHttp(H11Protocol):
    """HTTP/1.1 and nothing else: what a client could upgrade to has no bound on idle connections in hypercorn."""

    async def _check_protocol(self, event: Any) -> None:
        if event.method == b"PRI":
            raise PeerProtocolError("HTTP/2 was begun without a question")

    async def _create_stream(self, request: Any) -> None:
        """An upgrade is an offer, which a server may pass over."""
        headers = [(name, value) for name, value in request.headers if name != b"upgrade"]
        await super()._create_stream(
            type(request)(
                method=request.method, target=request.target, headers=headers, http_version=request.http_version
            )
        )


class _Http1(TCPServer):
    """Hypercorn's connection, which ends when it is over, and not when it would have been idle for too long."""

    async def run(self) -> None:
        try:
            socket = cast(Connection, self.stream).socket
            client = parse_socket_addr(socket.family, socket.getpeername())
            own = parse_socket_addr(socket.family, socket.getsockname())
            async with TaskGroup() as tasks:
                self._task_group = tasks
                self.protocol = _PlainHttp(  # type: ignore[assignment]  # what the wrapper of all protocols chooses at first
                    self.app,
                    self.config,
                    self.context,
                    tasks,
                    ConnectionState(self.state),
                    False,
                    client,
                    own,
                    self.protocol_send,
                )
                await self.idle_task.restart(tasks, self._idle_timeout)
                await self._read_data()
                await self.idle_task.stop()
        except OSError:
            pass
        finally:
            await self._close()


async def _listen(bind: str) -> list[trio.SocketListener]:
    host, port = parse_bind(bind)
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as error:
        raise UsageError(
            code="cannot-listen",
            where=bind,
            what=f"the API cannot listen there: {error.strerror or error}",
            remedy='Stop what uses the port, or choose another: api = "127.0.0.1:0" takes any free one.',
        ) from None


def _url(listener: trio.SocketListener) -> str:
    """How this machine reaches it."""
    name = listener.socket.getsockname()
    host = ANY_ADDRESS.get(name[0], name[0])
    return f"http://[{host}]:{name[1]}" if listener.socket.family == socket.AF_INET6 else f"http://{host}:{name[1]}"


def _config() -> Config:
    config = Config()
    config.h11_max_incomplete_size = HEAD_BYTES_MAX
    config.keep_alive_timeout = IDLE_TIMEOUT_S
    config.read_timeout = None  # it would end whoever waits silently for an answer or reads a stream
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    return config
