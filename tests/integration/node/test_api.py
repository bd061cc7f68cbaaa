"""The HTTP API of a real node: every route, and every kind of bad request with its named reason."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import httpx
import pytest
import trio

from photon_core.api import codec
from photon_core.api.bech32m import encode_address
from photon_core.api.ids import OrderId
from photon_core.api.resources import Resources, ResourceUnit
from photon_core.exchange.events import Outcome, Transferred
from photon_core.exchange.messages import CreateBid, CreateDeployment, RegisterProvider
from photon_core.exchange.records import UPTN_PER_PTN as PTN
from photon_core.exchange.records import GroupSpec
from photon_core.node.client import NodeClient
from photon_core.node.http import app as app_module
from photon_core.node.http import request as request_module
from photon_core.node.views import BlockEvents, Submitted
from photon_core.testing.live_node import CONSENSUS, POOR, RICH, LiveChain, transfer

GROUP = GroupSpec(
    name="here",
    units=(
        ResourceUnit(
            resources=Resources(cpu_milli=100, memory_bytes=2**26, storage_bytes=2**28), count=1, max_price=2 * 10**12
        ),
    ),
    collateral_uptn=1_000,
    section_hash=b"\x09" * 32,
)


async def submit(client: NodeClient, *raw: bytes, wait_s: float = 10) -> tuple[Submitted, ...]:
    return await client.submit(raw, wait_s=wait_s)


async def get(client: NodeClient, path: str) -> tuple[int, Any]:
    async with httpx.AsyncClient(base_url=client.url, trust_env=False) as http:
        response = await http.get(path)
        return response.status_code, response.json()


async def test_every_route_answers(chain: LiveChain) -> None:
    register = RegisterProvider(operator=POOR.address, node_key=b"\x05" * 32, addresses=("/x",), attributes=())
    deploy = CreateDeployment(groups=(GROUP,), version=b"\x07" * 32, deposit_uptn=10 * PTN)
    order = OrderId(1, 0, 0)
    rich = encode_address(RICH.address)
    async with chain.client() as client:
        done = await submit(
            client,
            chain.transaction(0),
            chain.transaction(1, register),
            chain.transaction(2, deploy),
            chain.transaction(0, CreateBid(order=order, price=10**12), key=POOR),
        )
        assert [(d.status, d.receipt.outcome if d.receipt else None) for d in done] == [("committed", Outcome.DONE)] * 4
        while (detail := await client.order(order)) is None or detail.lease is None:
            await client.block("latest")  # the bidding window of a development chain is half a second

        for path in (
            "/v1/status", "/v1/genesis", "/v1/parameters", "/v1/validators", "/v1/blocks/1", "/v1/blocks/latest",
            f"/v1/transactions/{done[0].id.hex()}", f"/v1/accounts/{rich}", "/v1/providers", f"/v1/providers/{rich}",
            f"/v1/deployments?owner={rich}", f"/v1/deployments?owner={rich}&state=active", "/v1/deployments/1",
            "/v1/orders", f"/v1/orders/{order}", f"/v1/leases?provider={rich}", f"/v1/leases/{order}",
        ):  # fmt: skip
            status, body = await get(client, path)
            assert status == 200, f"{path}: {body}"
            assert body, path

        status = await client.status()
        assert (status.chain_id, status.validator, status.halted) == (chain.chain_id, True, "")
        assert (await client.account(POOR.address)).balance_uptn == 1 * PTN + 1 - 1_000
        assert [p.operator for p in await client.providers()] == [POOR.address]
        assert [d.deployment.id for d in await client.deployments(RICH.address)] == [1]
        assert [lease.lease.provider for lease in await client.leases(RICH.address)] == [RICH.address]
        block = await client.block(done[0].height or 0)
        assert block is not None
        assert done[0].id in block.transaction_ids
        assert block.certificate is not None
        assert block.certificate.signatures[0].validator == CONSENSUS.public
        assert await client.transaction(done[1].id) == done[1]


BAD_REQUESTS = [
    ("/v1/nothing", 404, "not-found"),
    ("/v1/blocks/999999", 404, "block 999999"),
    ("/v1/blocks/-1", 400, "the height"),
    ("/v1/blocks/x", 400, "the height"),
    ("/v1/blocks/" + "9" * 19, 400, "the height"),
    ("/v1/blocks/" + "9" * 5_000, 400, "the height"),
    ("/v1/transactions/ab", 400, "64 hex digits"),
    ("/v1/transactions/" + "ab" * 32, 404, "no transaction"),
    ("/v1/accounts/photon1xyz", 400, "photon1"),
    ("/v1/accounts/%ff%fe", 400, "photon1"),
    ("/v1/providers/" + "a" * 5_000, 400, "photon1"),
    ("/v1/deployments", 400, "owner"),
    ("/v1/deployments?owner=x", 400, "owner"),
    ("/v1/deployments/7", 404, "deployment 7"),
    ("/v1/deployments/x", 400, "a deployment's id"),
    ("/v1/deployments/" + "9" * 20, 400, "a deployment's id"),
    ("/v1/deployments/" + "9" * 5_000, 400, "a deployment's id"),
    ("/v1/orders/1", 400, "order"),
    ("/v1/orders/1/2/3", 404, "order"),
    ("/v1/orders/1/2/" + "9" * 40, 400, ""),
    ("/v1/orders?state=closed", 400, "open"),
    ("/v1/orders?limit=1001", 400, "limit"),
    ("/v1/orders?after=x", 400, ""),
    ("/v1/leases", 400, "provider"),
    ("/v1/leases/a/b/c", 400, ""),
    ("/v1/events?from=x", 400, "from"),
]


async def test_bad_questions_get_a_reason(chain: LiveChain) -> None:
    async with chain.client() as client:
        for path, status, word in BAD_REQUESTS:
            found, body = await get(client, path)
            assert found == status, f"{path[:60]}: {body}"
            assert word in json.dumps(body), f"{path[:60]}: {body}"
            assert body["error"]["code"] != "internal"


async def test_bad_submissions_get_a_reason(chain: LiveChain) -> None:
    async with chain.client() as client, httpx.AsyncClient(base_url=client.url, trust_env=False) as http:
        good = chain.transaction(0)
        for content, query, word in (
            (b"", "", "body"),
            (b"\xff", "", "body"),
            (b"{}", "", "body"),
            (codec.encode([]), "", "1 to 2000"),
            (codec.encode([good] * 2_001), "", "1 to 2000"),
            (codec.encode([1]), "", "byte string"),
            (codec.encode([good]) + b"\0", "", "body"),
            (codec.encode([good]), "?wait_s=nan", "wait_s"),
            (codec.encode([good]), "?wait_s=-1", "wait_s"),
            (codec.encode([good]), "?wait_s=1e9", "wait_s"),
        ):
            response = await http.post("/v1/transactions" + query, content=content)
            assert response.status_code == 400, (content[:20], response.text)
            assert word in response.text, (content[:20], response.text)
        assert (await http.post("/v1/status")).status_code == 405
        assert (await client.account(RICH.address)).sequence == 0, "nothing of it was taken"


async def test_what_the_chain_refuses_is_named_with_both_values_and_changes_nothing(chain: LiveChain) -> None:
    async with chain.client() as client:
        forged = codec.decode(chain.transaction(0), max_bytes=10_000)
        cases = {
            "malformed": (b"\x00", "transaction"),
            "bad-signature": (codec.encode([forged[0], b"\x01" * 64]), "sender key"),
            "sequence-gap": (chain.transaction(5), "5"),
            "expired": (chain.transaction(0, expires_height=0), "0"),
            "expires-too-late": (chain.transaction(0, expires_height=10**9), str(10**9)),
            "fee-unpayable": (chain.transaction(0, key=POOR, fee_uptn=2 * PTN), str(2 * PTN)),
        }
        before = await client.status(), await client.account(RICH.address), await client.account(POOR.address)
        for code, (raw, word) in cases.items():
            (answer,) = await submit(client, raw)
            assert (answer.status, answer.code) == ("refused", code)
            assert word in answer.reason, answer.reason
        (other,) = await submit(client, chain.transaction(0, chain_id=b"\x01" * 32))
        assert other.status == "refused"
        assert chain.chain_id.hex() in other.reason
        after = await client.account(RICH.address), await client.account(POOR.address)
        assert after == before[1:]


async def test_insufficient_funds_cost_the_fee_and_the_sequence_and_nothing_else(chain: LiveChain) -> None:
    async with chain.client() as client:
        raw = chain.transaction(0, transfer(5 * PTN), key=POOR, fee_uptn=7)
        (answer,) = await submit(client, raw)
        assert answer.receipt is not None
        assert (answer.status, answer.receipt.outcome) == ("committed", Outcome.FAILED)
        assert answer.receipt.code == "insufficient-funds"
        assert str(5 * PTN) in answer.receipt.reason
        assert str(PTN - 7) in answer.receipt.reason
        account = await client.account(POOR.address)
        assert (account.balance_uptn, account.sequence) == (PTN - 7, 1)


async def test_the_same_transaction_twice_is_done_once_and_answered_twice(chain: LiveChain) -> None:
    async with chain.client() as client:
        raw = chain.transaction(0)
        (first,) = await submit(client, raw)
        assert await submit(client, raw) == (first,)
        (stale,) = await submit(client, chain.transaction(0, transfer(2)))
        assert (stale.status, stale.code) == ("refused", "stale-sequence")
        assert "0" in stale.reason
        assert "1" in stale.reason
        assert (await client.account(POOR.address)).balance_uptn == PTN + 1


async def test_a_batch_is_answered_in_order_the_good_among_the_bad(chain: LiveChain) -> None:
    async with chain.client() as client:
        answers = await submit(client, chain.transaction(0), b"junk", chain.transaction(9), chain.transaction(1))
        assert [(a.status, a.code) for a in answers] == [
            ("committed", ""), ("refused", "malformed"), ("refused", "sequence-gap"), ("committed", "")
        ]  # fmt: skip


async def test_a_body_over_the_limit_is_refused_as_it_comes(chain: LiveChain) -> None:
    size = 10 * request_module.BODY_BYTES_MAX
    async with chain.client() as client:
        host, port = client.url.removeprefix("http://").split(":")
        stream = await trio.open_tcp_stream(host, int(port))
        async with stream:
            await stream.send_all(
                f"POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n".encode()
            )
            answer = b""
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_zeros, stream, size)
                while b"too-large" not in answer:
                    answer += (more := await stream.receive_some())
                    assert more, "closed without an answer"
                nursery.cancel_scope.cancel()
        assert answer.startswith(b"HTTP/1.1 413")
        assert (await client.status()).halted == ""


async def send_zeros(stream: trio.SocketStream, size: int) -> None:
    with suppress(trio.BrokenResourceError):
        for _ in range(size // 2**16):
            await stream.send_all(bytes(2**16))


async def test_streams_over_the_limit_are_turned_away_and_leave_room_for_questions(
    chain: LiveChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "STREAMS_AT_ONCE_MAX", 2)
    async with chain.client() as client, httpx.AsyncClient(base_url=client.url, trust_env=False) as http:
        async with http.stream("GET", "/v1/events"), http.stream("GET", "/v1/events"):
            refused = await http.get("/v1/events")
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too-many-requests")
            assert (await client.status()).height >= 0
        with trio.fail_after(10):
            while (await streamed_status(http)) != 200:
                pass  # the server hears of a client that left a little later


async def streamed_status(http: httpx.AsyncClient) -> int:
    async with http.stream("GET", "/v1/events") as response:
        return response.status_code


async def test_requests_over_the_limit_are_turned_away(chain: LiveChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "REQUESTS_AT_ONCE_MAX", 1)
    async with (
        chain.client() as client,
        httpx.AsyncClient(base_url=client.url, trust_env=False) as http,
        http.stream("GET", "/v1/events"),
    ):
        assert (await http.get("/v1/status")).status_code == 429


async def events(client: NodeClient, first: int, transfers: int) -> list[BlockEvents]:
    """From `first` on, until so many transfers were seen."""
    seen: list[BlockEvents] = []
    with trio.CancelScope() as scope:
        async for block in client.events(first):
            seen.append(block)
            if sum(isinstance(event, Transferred) for b in seen for event in b.events) >= transfers:
                scope.cancel()
    return seen


async def test_events_resume_by_height_and_lose_nothing_across_a_restart(chain: LiveChain) -> None:
    async with chain.client() as client:
        await submit(client, chain.transaction(0))
        before = await events(client, 1, 1)
        await submit(client, chain.transaction(1), chain.transaction(2))
    async with chain.client() as client:
        await submit(client, chain.transaction(3))
        after = await events(client, before[-1].height + 1, 3)
        heights = [block.height for block in (*before, *after)]
        assert heights == list(range(1, len(heights) + 1)), "no block left out, none twice"
        assert await events(client, 1, 1) == before, "what was streamed live is what the disk says"


async def test_a_fault_of_ours_is_told_without_its_inside(
    chain: LiveChain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_self: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("photon_core.node.service.RunningNode.status", broken)
    async with chain.start() as info, httpx.AsyncClient(base_url=info.api, trust_env=False) as http:
        response = await http.get("/v1/status")
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "internal"
        assert "secret" not in response.text
    assert "internal error in /v1/status" in caplog.text
