"""Events of leases: kept on disk, bounded, told to whoever waits, and asked for over a link."""

import os

import pytest
import trio

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.chain.keys import KeyPurpose, generate
from photon_core.peers.authorization import Scope
from photon_core.peers.methods import (
    LEASE_EVENTS_MAX,
    EventKind,
    EventsRequest,
    InstancePhase,
    LeaseEvents,
    Method,
)
from photon_core.provider import chronicle as chronicle_module
from photon_core.provider.chronicle import Chronicle
from photon_core.provider.driver import Agent
from photon_core.provider.happenings import InstanceSight, Sight

LEASE = LeaseId(17, 0, 1)
UP = InstanceSight(service="web", ordinal=0, phase=InstancePhase.READY, restarts=0, exit_code=None)
DOWN = InstanceSight(service="web", ordinal=0, phase=InstancePhase.EXITED, restarts=0, exit_code=3)


def seen(*instances, lease=LEASE):
    return {lease: Sight(instances=instances)}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(chronicle_module, "SAVE_EVERY_S", 0.0)


@pytest.fixture
def make(tmp_path, clock):
    return lambda: Chronicle(tmp_path / "events", clock)


async def on_disk(tmp_path, count=1):
    with trio.fail_after(10):
        while len(list((tmp_path / "events").glob("*.cbor"))) != count:  # noqa: ASYNC110 - a file has no event
            await trio.sleep(0.01)


def kinds(events):
    return [(event.sequence, event.kind) for event in events]


async def test_events_are_numbered_and_asked_for_after_one(make, nursery):
    one = make()
    await nursery.start(one.run)
    one.record(seen(UP))
    one.record(seen(DOWN))
    assert kinds(await one.events(LEASE)) == [(1, EventKind.STARTED), (2, EventKind.READY), (3, EventKind.EXITED)]
    assert kinds(await one.events(LEASE, after=2)) == [(3, EventKind.EXITED)]
    assert await one.events(LeaseId(1, 0, 0)) == ()


async def test_the_next_agent_goes_on_where_this_one_ended(make, tmp_path):
    async with trio.open_nursery() as nursery:
        one = make()
        await nursery.start(one.run)
        one.record(seen(UP))
        await on_disk(tmp_path)
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        other = make()
        await nursery.start(other.run)
        assert len(await other.events(LEASE)) == 2
        with trio.fail_after(10):
            while len(await other.events(LEASE)) == 2:
                other.record(seen(DOWN))  # the first look finds that the file has to be read
                await trio.sleep(0.01)
        assert kinds(await other.events(LEASE, after=2)) == [(3, EventKind.EXITED)]
        nursery.cancel_scope.cancel()


async def test_the_newest_are_kept(make, nursery):
    one = make()
    await nursery.start(one.run)
    for _ in range(LEASE_EVENTS_MAX):
        one.record(seen(UP))
        one.record(seen(DOWN))
    events = await one.events(LEASE)
    assert len(events) == LEASE_EVENTS_MAX
    assert events[-1].sequence - events[0].sequence == LEASE_EVENTS_MAX - 1


async def test_a_lease_that_is_over_keeps_its_events_on_disk_until_there_are_too_many_others(
    make, tmp_path, nursery, monkeypatch
):
    monkeypatch.setattr(chronicle_module, "LEASES_KEPT_MAX", 2)
    one = make()
    await nursery.start(one.run)
    leases = [LeaseId(number, 0, 0) for number in range(1, 4)]
    for number, lease in enumerate(leases):
        one.record(seen(UP, lease=lease))
        one.record({})
        await on_disk(tmp_path, min(number + 1, 2))
        with trio.fail_after(10):
            while one._live:  # noqa: ASYNC110 - until it has saved them
                await trio.sleep(0.01)
        for path in (tmp_path / "events").glob("*.cbor"):
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 10**9))
    assert await one.events(leases[0]) == ()
    assert [event.kind for event in await one.events(leases[2])] == [
        EventKind.STARTED,
        EventKind.READY,
        EventKind.STOPPED,
    ]


async def test_a_damaged_file_begins_anew(make, tmp_path, nursery, caplog):
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / f"{LEASE.label}.cbor").write_bytes(b"\xff")
    one = make()
    await nursery.start(one.run)
    assert await one.events(LEASE) == ()
    assert "begins anew" in caplog.text


async def test_a_disk_that_takes_nothing_loses_nothing_of_this_run(make, tmp_path, nursery):
    (tmp_path / "events").write_text("in the way")
    one = make()
    await nursery.start(one.run)
    one.record(seen(UP))
    await trio.sleep(0.05)
    assert len(await one.events(LEASE)) == 2


async def test_who_waits_is_told(make, nursery):
    one = make()
    await nursery.start(one.run)
    one.record(seen(UP))

    async def later():
        await trio.sleep(0.02)
        one.record(seen(DOWN))

    nursery.start_soon(later)
    with trio.fail_after(5):
        await one.wait_news(LEASE, 2, 60.0)
    assert kinds(await one.events(LEASE, 2)) == [(3, EventKind.EXITED)]
    with trio.fail_after(5):
        await one.wait_news(LEASE, 3, 0.02)


# --- a whole agent, over a link ---------------------------------------------------------------------------------------


async def test_a_workloads_life_is_told_to_its_tenant_also_by_the_next_agent(
    caller, tenant, running, runtime, agent, until, make_parts, tmp_path
):
    request = EventsRequest(authorization=caller.paper(tenant.key), lease=running)

    async def told():
        reply = await caller.call(Method.EVENTS, request, LeaseEvents)
        return [(event.service, event.kind.name) for event in reply.events]

    await until(agent, lambda: ("web", EventKind.STARTED) in [(e.service, e.kind) for e in live(agent, running)])
    assert (await told())[0] == ("", "MANIFEST_TAKEN")
    runtime.exited(InstanceId(running, "web", 0), code=3)
    await until(agent, lambda: "RESTARTED" in [event.kind.name for event in live(agent, running)])
    names = await told()
    assert names.index(("web", "EXITED")) < names.index(("web", "RESTARTED"))
    await on_disk(tmp_path / "agent")
    again = Agent(make_parts())
    assert next(event.kind.name for event in await again.chronicle.events(running)) == "MANIFEST_TAKEN"


def live(agent, lease):
    return agent.chronicle._live[lease].kept.events


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"scopes": int(Scope.LOGS)}, "out-of-scope"),
        ({"expires_ms": 1}, "expired"),
        ({"deployment": 9}, "wrong-deployment"),
    ],
)
async def test_a_paper_for_something_else_is_refused(caller, tenant, running, changes, code):
    request = EventsRequest(authorization=caller.paper(tenant.key, **changes), lease=running)
    assert await caller.refusal(Method.EVENTS, request) == code


async def test_a_stranger_is_refused(caller, running):
    request = EventsRequest(authorization=caller.paper(generate(KeyPurpose.ACCOUNT)), lease=running)
    assert await caller.refusal(Method.EVENTS, request) == "not-your-lease"
