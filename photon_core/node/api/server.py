"""Serving the API: hypercorn's protocol on trio, bounded against clients that are slow, huge or never done."""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from typing import cast

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState, Framework
from hypercorn.utils import wrap_app
from starlette.types import ASGIApp

from photon_core.api.errors import UsageError
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
        # typed for TLS; it works on any stream that has the socket beside it
        return TCPServer(wrapped, config, context, ConnectionState({}), connection)  # type: ignore[arg-type]

    gate = Gate(handle)
    async with trio.open_nursery() as nursery:
        try:
            task_status.started(_url(listeners[0]))
            await trio.serve_listeners(gate.serve, listeners, handler_nursery=nursery)
        finally:
            gate.cut_all()  # streams never end by themselves; their clients ask again, or another node


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
