"""Reading requests: every parameter checked, with an error that says what it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from itertools import islice
from typing import Any, TypeVar

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from photon_core.api import bech32m, fields
from photon_core.api.ids import Address, OrderId
from photon_core.exchange.listings import Listing
from photon_core.node.views import page

from .surface import NodeSurface

PAGE_MAX = 1000
BODY_BYTES_MAX = 2 * 2**20
"""Of a submission: about a block's worth."""
BODY_TIMEOUT_S = 30.0
"""From the head of a request to the end of its body: 70 kB/s for the largest."""

K = TypeVar("K")
T = TypeVar("T")


def node_of(request: Request) -> NodeSurface:
    node: NodeSurface = request.app.state.node
    return node


def answer(record: object) -> JSONResponse:
    return JSONResponse(fields.to_json(record))


def found(record: T | None, what: str) -> T:
    if record is None:
        raise HTTPException(404, f"there is no {what}")
    return record


def integer(text: str, name: str, maximum: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20 or int(text) > maximum:
        raise HTTPException(400, f"{name} must be a number from 0 to {maximum}, not {text[:40]!r}")
    return int(text)


def seconds(text: str, name: str, maximum: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= maximum:
        raise HTTPException(400, f"{name} must be seconds from 0 to {maximum:g}, not {text[:40]!r}")
    return value


def address(text: str, name: str) -> Address:
    try:
        return bech32m.decode_address(text)
    except ValueError as error:
        raise HTTPException(400, f"{name} must be an address such as photon1…: {str(error)[:200]}") from None


def order_id(text: str) -> OrderId:
    try:
        return OrderId.parse(text)
    except ValueError as error:
        raise HTTPException(400, str(error)[:200]) from None


def hex32(text: str, name: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise HTTPException(400, f"{name} must be 64 hex digits")
    return value


async def body(request: Request) -> bytes:
    """The whole body; 413 as soon as it is too large, 408 when it does not come."""
    read = bytearray()
    chunks = request.stream()
    with trio.move_on_after(BODY_TIMEOUT_S) as waited:
        async with aclosing(chunks):
            async for chunk in chunks:
                read += chunk
                if len(read) > BODY_BYTES_MAX:
                    raise HTTPException(413, f"a request has at most {BODY_BYTES_MAX} bytes")
    if waited.cancelled_caught:
        raise HTTPException(408, f"the whole request must be here within {BODY_TIMEOUT_S:g} s")
    return bytes(read)


def listed(listing: Listing[K], owner: K, after: Any) -> Iterator[Any]:
    """All ids of `owner` behind `after`, read page by page."""
    while ids := listing.page(owner, after):
        yield from ids
        after = ids[-1]


def paged(request: Request, ids: Iterable[T], detail: Callable[[T], Any], text: Callable[[T], str]) -> JSONResponse:
    """One page of `ids`, each turned into its record; `after` of the answer is the last id when there may be more."""
    limit = integer(request.query_params.get("limit", "100"), "limit", PAGE_MAX) or 1
    rest: Iterator[T] = iter(ids)
    taken = list(islice(rest, limit))
    more = len(taken) == limit and next(rest, None) is not None
    records = tuple(record for record in map(detail, taken) if record is not None)
    return JSONResponse(page(records, text(taken[-1]) if more else None))
