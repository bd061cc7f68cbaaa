"""The client of a node's HTTP API, on trio: what agents, tenants, keepers and the CLI use.

A connection that fails is tried again for reads within `timeout_s`; a submission never is, since its transaction's id
tells whether it arrived. Answers are records (`views.py`, `exchange.records`), never dicts.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx
import trio

from photon_core.api import bech32m, codec, fields
from photon_core.api.errors import CodecError, PhotonError
from photon_core.api.ids import Address, Hash, LeaseId, OrderId
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import Account, Provider

from .views import BlockDetail, BlockEvents, DeploymentDetail, LeaseDetail, NodeStatus, OrderDetail, Submitted

T = TypeVar("T")

RETRY_AFTER_S = 0.1
PAGE_ITEMS = 100


class NodeUnreachable(PhotonError):
    """Exit code 5: nothing answers at the URL, or not in time."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            code="node-unreachable",
            what=f"no node answers at {url}",
            found=why,
            exit_code=5,
            remedy="start one with `photon node start`, or name another with --node URL",
        )


class ApiError(PhotonError):
    """The node answered with an error of its own."""


class NodeClient:
    """`async with NodeClient("http://127.0.0.1:4280") as node: await node.status()`."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        secure = self.url.startswith("https:")  # reading the system's certificates costs 25 ms: not for plain HTTP
        self._http = httpx.AsyncClient(base_url=self.url, timeout=timeout_s, trust_env=False, verify=secure)

    async def __aenter__(self) -> NodeClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    # --- the node ------------------------------------------------------------------------------------------------

    async def status(self) -> NodeStatus:
        return self._record(NodeStatus, await self._get("/v1/status"))

    async def parameters(self) -> Parameters:
        return self._record(Parameters, await self._get("/v1/parameters"))

    async def genesis(self) -> dict[str, Any]:
        """The genesis document as it is written in its file."""
        body = await self._get("/v1/genesis")
        assert isinstance(body, dict)
        return body

    async def block(self, height: int | str = "latest") -> BlockDetail | None:
        return self._maybe(BlockDetail, await self._get(f"/v1/blocks/{height}", missing_ok=True))

    # --- transactions --------------------------------------------------------------------------------------------

    async def submit(self, transactions: Sequence[bytes], *, wait_s: float = 0.0) -> tuple[Submitted, ...]:
        """Hands over signed transactions in order; with `wait_s` the answer comes once all are committed or it is
        over.
        """
        try:
            response = await self._http.post(
                "/v1/transactions",
                params={"wait_s": str(wait_s)},
                content=codec.encode(list(transactions)),
                headers={"content-type": "application/cbor"},
                timeout=self._timeout_s + wait_s,
            )
        except httpx.TransportError as error:
            raise NodeUnreachable(self.url, _why(error)) from None
        return tuple(self._record(Submitted, item) for item in self._body(response)["items"])

    async def transaction(self, transaction_id: Hash) -> Submitted | None:
        return self._maybe(Submitted, await self._get(f"/v1/transactions/{transaction_id.hex()}", missing_ok=True))

    # --- the exchange --------------------------------------------------------------------------------------------

    async def account(self, address: Address) -> Account:
        """An account that nobody has paid yet is an empty one."""
        body = await self._get(f"/v1/accounts/{bech32m.encode_address(address)}", missing_ok=True)
        return self._maybe(Account, body) or Account()

    async def provider(self, provider: Address) -> Provider | None:
        body = await self._get(f"/v1/providers/{bech32m.encode_address(provider)}", missing_ok=True)
        return self._maybe(Provider, body)

    async def providers(self) -> tuple[Provider, ...]:
        return await self._all(Provider, "/v1/providers", {})

    async def deployment(self, deployment: int) -> DeploymentDetail | None:
        return self._maybe(DeploymentDetail, await self._get(f"/v1/deployments/{deployment}", missing_ok=True))

    async def deployments(self, owner: Address) -> tuple[DeploymentDetail, ...]:
        return await self._all(DeploymentDetail, "/v1/deployments", {"owner": bech32m.encode_address(owner)})

    async def order(self, order: OrderId) -> OrderDetail | None:
        return self._maybe(OrderDetail, await self._get(f"/v1/orders/{order}", missing_ok=True))

    async def open_orders(self) -> tuple[OrderDetail, ...]:
        return await self._all(OrderDetail, "/v1/orders", {"state": "open"})

    async def lease(self, lease: LeaseId) -> LeaseDetail | None:
        return self._maybe(LeaseDetail, await self._get(f"/v1/leases/{lease}", missing_ok=True))

    async def leases(self, provider: Address) -> tuple[LeaseDetail, ...]:
        """Those of the provider that are not closed: active and closing."""
        return await self._all(LeaseDetail, "/v1/leases", {"provider": bech32m.encode_address(provider)})

    async def events(self, from_height: int) -> AsyncIterator[BlockEvents]:
        """Every block from `from_height` on, as it gets its certificate, without end; survives a restarted node."""
        height = from_height
        while True:
            try:
                async with self._http.stream(
                    "GET", "/v1/events", params={"from": str(height)}, timeout=httpx.Timeout(self._timeout_s, read=60.0)
                ) as response:
                    if response.status_code != 200:
                        await response.aread()
                        self._body(response)
                    async for line in response.aiter_lines():
                        if line.strip():  # an empty line is the server's heartbeat
                            block = self._record(BlockEvents, _parse(line))
                            height = block.height + 1
                            yield block
            except httpx.TransportError:
                pass
            await trio.sleep(RETRY_AFTER_S)

    # --- plumbing ------------------------------------------------------------------------------------------------

    async def _get(self, path: str, params: dict[str, str] | None = None, *, missing_ok: bool = False) -> Any:
        with trio.move_on_after(self._timeout_s):
            why = "no answer in time"
            while True:
                try:
                    response = await self._http.get(path, params=params or {})
                except httpx.ConnectError as error:
                    raise NodeUnreachable(self.url, _why(error)) from None
                except httpx.TransportError as error:
                    why = _why(error)
                    await trio.sleep(RETRY_AFTER_S)
                    continue
                if response.status_code == 404 and missing_ok:
                    return None
                return self._body(response)
        raise NodeUnreachable(self.url, why)

    async def _all(self, cls: type[T], path: str, params: dict[str, str]) -> tuple[T, ...]:
        found: list[T] = []
        after: str | None = None
        while True:
            body = await self._get(path, {**params, "limit": str(PAGE_ITEMS), **({"after": after} if after else {})})
            found += [self._record(cls, item) for item in body["items"]]
            after = body["after"]
            if after is None:
                return tuple(found)

    def _body(self, response: httpx.Response) -> Any:
        body = _parse(response.text)
        if response.status_code >= 400:
            error = body.get("error", {}) if isinstance(body, dict) else {}
            parts = {k: str(error[k])[:400] for k in ("what", "where", "expected", "found", "remedy") if k in error}
            parts.setdefault("what", f"the node answered {response.status_code} for {response.url.path}")
            raise ApiError(
                code=str(error.get("code", "api-error")), exit_code=3 if response.status_code == 404 else 1, **parts
            )
        return body

    def _record(self, cls: type[T], body: Any) -> T:
        try:
            return fields.from_json(cls, body)
        except CodecError as error:
            raise ApiError(
                code="node-speaks-otherwise",
                what=f"the node at {self.url} answers in a form that this client does not know",
                where=error.where,
                expected=error.expected,
                found=error.found,
                remedy="use the same version of photon for both",
            ) from None

    def _maybe(self, cls: type[T], body: Any) -> T | None:
        return None if body is None else self._record(cls, body)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"error": {"code": "not-json", "what": "the node's answer is not JSON; is this a Photon node?"}}


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
