"""What a provider answers over a link: a whole agent behind real `Peers`; only transport and runtime are in memory."""

import pytest
import trio
from attrs import evolve

from photon_core.api import fields
from photon_core.api.ids import InstanceId, LeaseId, OrderId
from photon_core.chain.keys import KeyPurpose, generate
from photon_core.exchange.records import LeaseState, LeaseStatus
from photon_core.manifest.records import SECTION_BYTES_MAX
from photon_core.peers.authorization import EVERY_PROVIDER, Scope
from photon_core.peers.errors import RemoteError
from photon_core.peers.methods import (
    Decision,
    DecisionRequest,
    Delivered,
    DeliverRequest,
    LeaseReport,
    LogsRequest,
    Method,
    StatusRequest,
    Verdict,
)
from photon_core.provider import gateway as gateway_module
from photon_core.provider.bidder import REASONS_MAX
from photon_core.provider.bidding import NoBid, Why
from photon_core.testing.exchange import address


@pytest.fixture
def delivery(caller, tenant):
    def make(lease, **changes):
        request = DeliverRequest(
            authorization=caller.paper(tenant.key), lease=lease, salt=tenant.sealed.salt, section=tenant.sealed.raw
        )
        return evolve(request, **changes)

    return make


# --- who may ----------------------------------------------------------------------------------------------------------


async def test_owner_learns_the_lease_and_with_a_paper_for_all_providers_too(caller, tenant, win):
    lease = await win()
    for provider in (address("alpha"), EVERY_PROVIDER):
        request = StatusRequest(authorization=caller.paper(tenant.key, provider=provider), lease=lease)
        report = await caller.call(Method.STATUS, request, LeaseReport)
        assert report.status is LeaseStatus.AWAITING_MANIFEST
        assert any("waiting for the manifest" in note for note in report.notes)


@pytest.mark.parametrize("method", [Method.STATUS, Method.DELIVER, Method.LOGS])
async def test_stranger_is_refused_by_name_whatever_is_asked(caller, tenant, win, delivery, method):
    lease = await win()
    paper = caller.paper(generate(KeyPurpose.ACCOUNT))
    requests = {
        Method.STATUS: StatusRequest(authorization=paper, lease=lease),
        Method.DELIVER: delivery(lease, authorization=paper),
        Method.LOGS: LogsRequest(authorization=paper, lease=lease),
    }
    assert await caller.refusal(method, requests[method]) == "not-your-lease"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"chain_id": bytes(32)}, "wrong-chain"),
        ({"caller": bytes([9]) * 32}, "wrong-caller"),
        ({"provider": address("beta")}, "wrong-provider"),
        ({"deployment": 999}, "wrong-deployment"),
        ({"scopes": int(Scope.LOGS)}, "out-of-scope"),
        ({"expires_ms": 1}, "expired"),
    ],
)
async def test_paper_for_something_else_is_refused_by_what_does_not_fit(caller, tenant, win, changes, code):
    request = StatusRequest(authorization=caller.paper(tenant.key, **changes), lease=await win())
    assert await caller.refusal(Method.STATUS, request) == code


async def test_forged_paper_is_refused(caller, tenant, win):
    """The owner's own words under another signature, and the owner's signature under other words."""
    lease = await win()
    true, other = caller.paper(tenant.key), caller.paper(tenant.key, expires_ms=caller.clock.now_ms + 1)
    forged = evolve(true, signature=bytes(64))
    stretched = evolve(other, authorization=true.authorization)
    for paper in (forged, stretched):
        assert await caller.refusal(Method.STATUS, StatusRequest(authorization=paper, lease=lease)) == "bad-signature"


async def test_paper_expires_by_the_providers_clock(caller, tenant, win, clock):
    request = StatusRequest(authorization=caller.paper(tenant.key), lease=await win())
    await caller.call(Method.STATUS, request, LeaseReport)
    clock.now_ms += 60_000
    assert await caller.refusal(Method.STATUS, request) == "expired"


async def test_lease_of_nobody_or_of_another_provider_is_unknown(caller, tenant, agent, win, chain):
    """`beta` wins what this provider does not bid for."""
    paper = caller.paper(tenant.key)
    assert await caller.refusal(Method.STATUS, StatusRequest(authorization=paper, lease=LeaseId(99, 0, 0))) == (
        "unknown-lease"
    )
    chain.world.register("beta")
    agent.parts.runtime._capacity = agent.capacity.__class__(cpu_milli=0, memory_bytes=0, storage_bytes=0)
    order = await tenant.deploy()
    chain.bid(order, "beta")
    chain.end_bidding()
    assert chain.world.exchange.ledger.lease(order).provider == address("beta")
    assert await caller.refusal(Method.STATUS, StatusRequest(authorization=paper, lease=order)) == "unknown-lease"


async def test_garbage_instead_of_a_request_is_a_bad_request(caller):
    for plain in ([], [1, 2, 3], b"x", [[], [1, 0, 0]]):
        with pytest.raises(RemoteError) as raised:
            await caller.peers.call(caller.provider_key, Method.STATUS.value, plain)
        assert raised.value.code == "bad-request"


# --- manifest.deliver -------------------------------------------------------------------------------------------------


async def test_section_is_taken_once_kept_on_disk_and_starts_the_workload(caller, delivery, agent, win, until, runtime):
    lease = await win()
    assert (await caller.call(Method.DELIVER, delivery(lease), Delivered)).news
    assert agent.store.leases() == (lease,), "on disk before the tenant is told that it arrived"
    assert not (await caller.call(Method.DELIVER, delivery(lease), Delivered)).news
    await until(agent, lambda: InstanceId(lease, "db", 0) in runtime.instances)


async def test_section_that_is_not_the_one_on_chain_is_refused_and_nothing_is_kept(
    caller, delivery, agent, win, tenant
):
    lease = await win()
    sealed = tenant.sealed
    for changes in (
        {"salt": bytes(32)},
        {"section": sealed.raw + b"\0"},
        {"section": sealed.raw.replace(b"db", b"DB")},
    ):
        assert await caller.refusal(Method.DELIVER, delivery(lease, **changes)) == "wrong-version"
    assert agent.store.leases() == ()
    assert agent.section(lease) is None


async def test_section_over_the_limit_never_reaches_the_handler(caller, delivery, win):
    huge = delivery(await win())
    plain = fields.to_plain(huge)
    plain[-1] = bytes(SECTION_BYTES_MAX + 4096)
    with pytest.raises(RemoteError) as raised:
        await caller.peers.call(caller.provider_key, Method.DELIVER.value, plain)
    assert raised.value.code == "too-large"


async def test_section_for_a_lease_that_is_over_is_refused(caller, delivery, tenant, win, chain, until, agent):
    lease = await win()
    await tenant.close(lease)
    await until(agent, lambda: chain.world.exchange.ledger.lease(lease).state is LeaseState.CLOSED)
    assert await caller.refusal(Method.DELIVER, delivery(lease)) == "lease-closed"


async def test_lease_newer_than_the_view_is_looked_up(caller, delivery, agent, tenant, win):
    """A tenant may be a block ahead of the agent."""
    lease = await win()
    agent.view = evolve(agent.view, leases=())
    assert (await caller.call(Method.DELIVER, delivery(lease), Delivered)).news


async def test_update_newer_than_the_view_is_taken_and_the_version_before_is_refused_from_then_on(
    caller, delivery, agent, tenant, win
):
    """Whatever the agent saw last: what stands on chain now is what counts."""
    lease = await win()
    old = delivery(lease)
    assert (await caller.call(Method.DELIVER, old, Delivered)).news
    before = agent.view
    section = tenant.sealed.section
    await tenant.update(lease, evolve(section, services=tuple(evolve(s, args=("v2",)) for s in section.services)))
    agent.view = before
    assert await caller.refusal(Method.DELIVER, old) == "wrong-version"
    assert (await caller.call(Method.DELIVER, delivery(lease), Delivered)).news
    agent.view = before
    assert await caller.refusal(Method.DELIVER, old) == "wrong-version"
    assert agent.held[lease] == tenant.held()
    assert not (await caller.call(Method.DELIVER, delivery(lease), Delivered)).news


# --- lease.logs -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def logged(agent, runtime, tenant, win, until):
    lease = await win()
    await agent.take_section(lease, tenant.held())
    await until(agent, lambda: len(runtime.instances) == 2)
    runtime.logged[InstanceId(lease, "db", 0)] = b"one\ntwo\nthree\n"
    runtime.logged[InstanceId(lease, "web", 0)] = b"hello\n"
    return lease


async def test_logs_come_with_their_service_and_no_more_lines_than_asked_for(caller, logged, tenant):
    paper = caller.paper(tenant.key)
    both = await caller.logs(LogsRequest(authorization=paper, lease=logged, tail_lines=2))
    assert {(c.service, c.data) for c in both} == {("db", b"two\nthree\n"), ("web", b"hello\n")}
    one = await caller.logs(LogsRequest(authorization=paper, lease=logged, service="web"))
    assert [(c.service, c.data) for c in one] == [("web", b"hello\n")]
    unknown = LogsRequest(authorization=paper, lease=logged, service="nope")
    assert await caller.refusal(Method.LOGS, unknown) == "unknown-service"


async def test_logs_of_a_lease_that_is_over_are_refused_as_such(caller, logged, tenant, chain, until, agent):
    """And not as one that waits for its manifest, which the agent has forgotten by then."""
    await tenant.close(logged)
    await until(agent, lambda: chain.world.exchange.ledger.lease(logged).state is LeaseState.CLOSED)
    request = LogsRequest(authorization=caller.paper(tenant.key), lease=logged)
    assert await caller.refusal(Method.LOGS, request) == "lease-closed"


async def test_before_the_manifest_there_are_no_logs_and_it_says_so(caller, win, tenant):
    request = LogsRequest(authorization=caller.paper(tenant.key), lease=await win())
    assert await caller.refusal(Method.LOGS, request) == "no-manifest"


async def test_followers_of_one_lease_are_bounded_and_a_place_is_given_back(caller, logged, tenant, monkeypatch):
    monkeypatch.setattr(gateway_module, "FOLLOWERS_PER_LEASE_MAX", 1)
    request = LogsRequest(authorization=caller.paper(tenant.key), lease=logged, follow=True)
    async with caller.peers.stream(caller.provider_key, Method.LOGS.value, fields.to_plain(request)) as items:
        await items.__anext__()
        assert await caller.refusal(Method.LOGS, request) == "busy"
    with trio.fail_after(10):
        while await reads_nothing(caller, request):  # until the agent has heard that the reader left
            await trio.lowlevel.checkpoint()


async def test_runtime_that_cannot_read_its_own_logs_ends_this_reading_and_nothing_else(
    caller, logged, tenant, agent, runtime, monkeypatch, caplog
):
    real = runtime.logs

    async def logs(instance, *, follow, tail_lines):
        if instance.service == "db":
            raise ValueError("not a header")
        async for chunk in real(instance, follow=follow, tail_lines=tail_lines):
            yield chunk

    monkeypatch.setattr(runtime, "logs", logs)
    request = LogsRequest(authorization=caller.paper(tenant.key), lease=logged)
    assert [chunk.service for chunk in await caller.logs(request)] == ["web"]
    assert "the logs of" in caplog.text
    assert await agent.look_and_act() is not None


async def reads_nothing(caller, request):
    """Whether the request is refused as one too many."""
    async with caller.peers.stream(caller.provider_key, Method.LOGS.value, fields.to_plain(request)) as items:
        try:
            await items.__anext__()
        except RemoteError as refusal:
            return refusal.code == "busy"
        return False


# --- order.decision ---------------------------------------------------------------------------------------------------


async def test_anybody_learns_why_there_is_no_bid_without_a_paper(caller, agent, tenant, until):
    agent.parts.runtime._capacity = agent.capacity.__class__(cpu_milli=50, memory_bytes=0, storage_bytes=0)
    order = await tenant.deploy()
    await until(agent, lambda: order in agent.desk.reasons)
    decision = await caller.call(Method.DECISION, DecisionRequest(order=order), Decision)
    assert (decision.verdict, decision.why) == (Verdict.NO_BID, "capacity")
    assert "cpu 200m wanted, 50m free" in decision.reason


async def test_order_that_was_bid_on_or_never_seen_is_told_apart(caller, agent, tenant, chain, until):
    order = await tenant.deploy()
    await until(agent, lambda: chain.world.exchange.ledger.order(order).bidders)
    assert (await caller.call(Method.DECISION, DecisionRequest(order=order), Decision)).verdict is Verdict.BID
    nobodys = DecisionRequest(order=OrderId(99, 0, 0))
    assert (await caller.call(Method.DECISION, nobodys, Decision)).verdict is Verdict.UNKNOWN


async def test_reasons_are_kept_for_the_newest_orders_only_and_fit_their_answer(caller, agent):
    for number in range(REASONS_MAX + 5):
        agent.desk._keep(OrderId(number, 0, 0), NoBid(why=Why.DECLINED, reason="ä" * 400))
    assert len(agent.desk.reasons) == REASONS_MAX
    last = DecisionRequest(order=OrderId(REASONS_MAX + 4, 0, 0))
    assert (await caller.call(Method.DECISION, last, Decision)).reason == "ä" * 200
