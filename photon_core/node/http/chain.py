"""The HTTP API's routes of the chain: status, genesis, blocks, and transactions in and out."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from photon_core.api import codec, fields
from photon_core.node.views import Submitted, page

from . import request as read

WAIT_S_MAX = 120.0
TRANSACTIONS_PER_REQUEST_MAX = 2_000
HEIGHT_MAX = 2**63


async def status(request: Request) -> Response:
    return read.answer(read.node_of(request).status())


async def genesis(request: Request) -> Response:
    return JSONResponse(read.node_of(request).genesis_json())


async def parameters(request: Request) -> Response:
    return read.answer(read.node_of(request).ledger().parameters)


async def validators(request: Request) -> Response:
    return JSONResponse(page(read.node_of(request).ledger().validators(), None))


async def block(request: Request) -> Response:
    node, text = read.node_of(request), request.path_params["height"]
    height = node.feed.height if text == "latest" else read.integer(text, "the height", HEIGHT_MAX)
    return read.answer(read.found(await node.block(height), f"block {height}"))


async def submit(request: Request) -> Response:
    """Body: a CBOR list of signed transactions. `wait_s`: answer when all are committed, or then."""
    wait_s = read.seconds(request.query_params.get("wait_s", "0"), "wait_s", WAIT_S_MAX)
    plain = codec.decode(await read.body(request), max_bytes=read.BODY_BYTES_MAX, where="body")
    if type(plain) is not list or not 0 < len(plain) <= TRANSACTIONS_PER_REQUEST_MAX:
        raise HTTPException(400, f"the body must be a CBOR list of 1 to {TRANSACTIONS_PER_REQUEST_MAX} transactions")
    if not all(type(raw) is bytes for raw in plain):
        raise HTTPException(400, "each transaction must be a byte string: the signed envelope as it was made")
    return JSONResponse(page(await read.node_of(request).submit(plain, wait_s), None))


async def transaction(request: Request) -> Response:
    node = read.node_of(request)
    transaction_id = read.hex32(request.path_params["id"], "a transaction's id")
    if (outcome := await node.outcome(transaction_id)) is not None:
        height, receipt = outcome
        return read.answer(Submitted(id=transaction_id, status="committed", height=height, receipt=receipt))
    if node.is_waiting(transaction_id):
        return JSONResponse(fields.to_json(Submitted(id=transaction_id, status="pending", height=None, receipt=None)))
    raise HTTPException(404, f"there is no transaction {transaction_id.hex()}: it never came here, or it was void")
