"""The ASGI application: its routes on one page, errors as JSON, and the bounds that every request meets.

Errors are `{"error": {"code", "what", …}}` with 400 (bad request), 404, 408 (too slow), 413 (too large), 429 (too many
at once) and 500 (our fault).
Nothing is authenticated: everything readable is public, everything that changes is a signed transaction.
"""

from __future__ import annotations

import logging
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from photon_core.api.errors import CodecError, ExitCode, PhotonError

from . import chain, market, stream
from .surface import NodeSurface

log = logging.getLogger(__name__)

REQUESTS_AT_ONCE_MAX = 256
"""Streams and waiting submissions included; past it 429, so that a flood cannot use up memory."""
STREAMS_AT_ONCE_MAX = 128
"""Of those: streams last for ever, and must leave room for questions and submissions."""
EVENTS = "/v1/events"
HEADER_NOT_CACHED = {"cache-control": "no-store"}

ROUTES = [
    Route("/v1/status", chain.status),
    Route("/v1/genesis", chain.genesis),
    Route("/v1/parameters", chain.parameters),
    Route("/v1/validators", chain.validators),
    Route("/v1/blocks/{height}", chain.block),
    Route("/v1/transactions", chain.submit, methods=["POST"]),
    Route("/v1/transactions/{id}", chain.transaction),
    Route(EVENTS, stream.events),
    Route("/v1/accounts/{address}", market.account),
    Route("/v1/providers", market.providers),
    Route("/v1/providers/{address}", market.provider),
    Route("/v1/deployments", market.deployments),
    Route("/v1/deployments/{id}", market.deployment),
    Route("/v1/orders", market.orders),
    Route("/v1/orders/{id:path}", market.order),
    Route("/v1/leases", market.leases),
    Route("/v1/leases/{id:path}", market.lease),
]


def make_app(node: NodeSurface) -> ASGIApp:
    app = Starlette(
        routes=ROUTES,
        exception_handlers={
            HTTPException: _http_error,
            PhotonError: _photon_error,
            CodecError: _codec_error,
            Exception: _internal,
        },
    )
    app.state.node = node
    return _Bounded(app)


class _Bounded:
    """Counts requests under way, streams apart."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._under_way, self._streams = app, 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # a lifespan or a web socket, which nothing here answers
            return
        streams = int(scope["path"] == EVENTS)
        if self._under_way >= REQUESTS_AT_ONCE_MAX or self._streams + streams > STREAMS_AT_ONCE_MAX:
            refusal = _error(429, "too-many-requests", "too many requests are under way; try again soon")
            await refusal(scope, receive, send)
            return
        self._under_way += 1
        self._streams += streams
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1
            self._streams -= streams


def _error(status: int, code: str, what: str, **more: str) -> JSONResponse:
    body: dict[str, Any] = {"code": code, "what": what, **{k: v for k, v in more.items() if v}}
    return JSONResponse({"error": body}, status_code=status, headers=HEADER_NOT_CACHED)


def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "not-found", 405: "method-not-allowed", 408: "too-slow", 413: "too-large"}
    return _error(error.status_code, codes.get(error.status_code, "bad-request"), str(error.detail))


def _photon_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PhotonError)
    status = {ExitCode.NOT_FOUND: 404, ExitCode.USAGE: 400}.get(ExitCode(error.exit_code), 500)
    return JSONResponse({"error": error.as_json()}, status_code=status)


def _internal(request: Request, error: Exception) -> JSONResponse:
    """A fault of ours: told here in full, and to the client as little as it can use."""
    log.error("internal error in %s", request.url.path, exc_info=error)
    return _error(500, "internal", "the node has met a fault of its own; its log says more")


def _codec_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CodecError)
    return _error(
        400, "bad-request", "the request is malformed", where=error.where, expected=error.expected, found=error.found
    )
