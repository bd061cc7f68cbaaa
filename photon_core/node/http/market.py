"""The HTTP API's routes of the market: accounts, providers, deployments, orders and leases."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from photon_core.api import bech32m
from photon_core.exchange.records import DeploymentState
from photon_core.node import answers

from . import request as read

ID_MAX = 2**64 - 1


async def account(request: Request) -> Response:
    ledger = read.node_of(request).ledger()
    return read.answer(ledger.account(read.address(request.path_params["address"], "the address")))


async def provider(request: Request) -> Response:
    address = read.address(request.path_params["address"], "the address")
    record = read.node_of(request).ledger().find_provider(address)
    return read.answer(read.found(record, f"provider {request.path_params['address']}"))


async def providers(request: Request) -> Response:
    node, after = read.node_of(request), request.query_params.get("after")
    ledger = node.ledger()
    ids = read.listed(node.listings.providers, None, read.address(after, "after") if after else None)
    return read.paged(request, ids, ledger.find_provider, bech32m.encode_address)


async def deployment(request: Request) -> Response:
    number = read.integer(request.path_params["id"], "a deployment's id", ID_MAX)
    detail = answers.deployment_detail(read.node_of(request).ledger(), number)
    return read.answer(read.found(detail, f"deployment {number}"))


async def deployments(request: Request) -> Response:
    """`owner` is required; `state` narrows to active, closing or closed."""
    node, query = read.node_of(request), request.query_params
    if "owner" not in query:
        raise HTTPException(400, "owner is missing: /v1/deployments?owner=photon1…")
    after = read.integer(query["after"], "after", ID_MAX) if "after" in query else None
    ledger = node.ledger()
    ids = read.listed(node.listings.deployments, read.address(query["owner"], "owner"), after)
    if "state" in query:
        names = {state.name.lower(): state for state in DeploymentState}
        if query["state"] not in names:
            raise HTTPException(400, f"state must be one of {', '.join(names)}, not {query['state'][:40]!r}")
        wanted = names[query["state"]]
        ids = (number for number in ids if ledger.deployment(number).state is wanted)
    return read.paged(request, ids, lambda number: answers.deployment_detail(ledger, number), str)


async def order(request: Request) -> Response:
    order_id = read.order_id(request.path_params["id"])
    return read.answer(read.found(answers.order_detail(read.node_of(request).ledger(), order_id), f"order {order_id}"))


async def orders(request: Request) -> Response:
    """Open orders only; those of a deployment come with it."""
    node, after = read.node_of(request), request.query_params.get("after")
    if request.query_params.get("state", "open") != "open":
        raise HTTPException(400, "only state=open can be listed; other orders come with their deployment")
    ledger = node.ledger()
    ids = read.listed(node.listings.open_orders, None, read.order_id(after) if after else None)
    return read.paged(request, ids, lambda order_id: answers.order_detail(ledger, order_id), str)


async def lease(request: Request) -> Response:
    lease_id = read.order_id(request.path_params["id"])
    return read.answer(read.found(answers.lease_detail(read.node_of(request).ledger(), lease_id), f"lease {lease_id}"))


async def leases(request: Request) -> Response:
    """Those of a provider that are not closed."""
    node, query = read.node_of(request), request.query_params
    if "provider" not in query:
        raise HTTPException(400, "provider is missing: /v1/leases?provider=photon1…")
    after = read.order_id(query["after"]) if "after" in query else None
    ledger = node.ledger()
    ids = read.listed(node.listings.leases, read.address(query["provider"], "provider"), after)
    return read.paged(request, ids, lambda lease_id: answers.lease_detail(ledger, lease_id), str)
