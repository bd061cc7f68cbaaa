"""Serving the API: hypercorn on trio, bounded against clients that are slow, huge or never done."""

from __future__ import annotations

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.types import ASGIApp

from photon_core.api.errors import UsageError

HEAD_BYTES_MAX = 16 * 2**10
"""Of a request line and its headers together."""
IDLE_TIMEOUT_S = 30
READ_TIMEOUT_S = 30
SHUTDOWN_TIMEOUT_S = 1.0
"""Streams never end by themselves; on shutdown they are cut, and their clients ask another node."""
BACKLOG = 128


async def serve_api(app: ASGIApp, bind: str, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
    """Until cancelled; `started` with the URL, in which port 0 has become the real one."""
    config = Config()
    config.bind = [bind]
    config.backlog = BACKLOG
    config.h11_max_incomplete_size = HEAD_BYTES_MAX
    config.keep_alive_timeout = IDLE_TIMEOUT_S
    config.read_timeout = READ_TIMEOUT_S
    config.graceful_timeout = SHUTDOWN_TIMEOUT_S
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.alpn_protocols = ["http/1.1"]
    try:
        async with trio.open_nursery() as nursery:
            urls = await nursery.start(
                lambda task_status: serve(app, config, shutdown_trigger=trio.sleep_forever, task_status=task_status)  # type: ignore[arg-type]  # hypercorn's own framework types
            )
            task_status.started(urls[0].replace("//0.0.0.0:", "//127.0.0.1:"))
    except* OSError as group:
        error = group.exceptions[0]
        raise UsageError(
            code="cannot-listen",
            where=bind,
            what=f"the API cannot listen there: {error}",
            remedy='Stop what uses the port, or choose another: api = "127.0.0.1:0" takes any free one.',
        ) from None
