"""`/v1/events?from=H`: every block from height H on, one JSON object a line, without end.

A client that lost the connection asks again from the height after the last that it saw, and misses nothing. An empty
line now and then says that the node is alive.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

import trio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from photon_core.api import fields

from . import request as read
from .chain import HEIGHT_MAX
from .surface import NodeSurface

ALIVE_EVERY_S = 15.0


async def events(request: Request) -> Response:
    node = read.node_of(request)
    height = read.integer(request.query_params.get("from", str(node.feed.height + 1)), "from", HEIGHT_MAX)
    return ClosingStream(_lines(node, max(height, 1)), media_type="application/x-ndjson")


class ClosingStream(StreamingResponse):
    """Its generator ends with it, not some time later, when it is found abandoned."""

    async def stream_response(self, send: Send) -> None:
        async with aclosing(cast(AsyncGenerator[bytes, None], self.body_iterator)):
            await super().stream_response(send)


async def _lines(node: NodeSurface, height: int) -> AsyncIterator[bytes]:
    while True:
        with trio.move_on_after(ALIVE_EVERY_S) as waited:
            await node.feed.wait_for(height)
        if waited.cancelled_caught:
            yield b"\n"
            continue
        block = await node.block_events(height)
        if block is None:  # pruned or not ours: the client's next request will say so
            return
        yield json.dumps(fields.to_json(block), separators=(",", ":")).encode() + b"\n"
        height += 1
