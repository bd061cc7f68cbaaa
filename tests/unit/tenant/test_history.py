"""What happened to a deployment, out of two places, over real links to real gateways."""

import pytest
import trio

from photon_core.api.errors import PhotonError
from photon_core.api.ids import LeaseId
from photon_core.chain import keys
from photon_core.chain.keys import KeyPurpose
from photon_core.exchange import events
from photon_core.exchange.messages import ConfirmClosed
from photon_core.peers.methods import EventKind, InstancePhase
from photon_core.provider.happenings import InstanceSight, Sight
from photon_core.tenant.client import open_tenant
from photon_core.tenant.history import Entry, about
from photon_core.tenant.papers import unix_ms

UP = InstanceSight(service="web", ordinal=0, phase=InstancePhase.READY, restarts=0, exit_code=None)


@pytest.fixture
async def lease(chain, tenant, plan, alpha):
    deployment = await tenant.deploy(plan)
    won = LeaseId(deployment, 0, 0)
    chain.bid(won, "alpha")
    chain.end_bidding()
    return won


async def told(tenant, deployment, **more):
    with trio.fail_after(10):
        async with tenant.history(deployment, **more) as channel:
            return [one async for one in channel]


def names(entries):
    return [
        one.event.kind.name if hasattr(one.event, "kind") else type(one.event).__name__
        for one in entries
        if isinstance(one, Entry)
    ]


async def test_chain_and_provider_are_told_together_in_the_order_of_time(tenant, lease, alpha):
    alpha.agent.chronicle.record({lease: Sight(instances=(UP,))})
    entries = await told(tenant, lease.deployment)
    assert names(entries)[:3] == ["DeploymentCreated", "OrderOpened", "BidPlaced"]
    assert {"LeaseCreated", "STARTED", "READY"} <= set(names(entries))
    assert [one.time_ms for one in entries] == sorted(one.time_ms for one in entries)
    assert len({one.key for one in entries}) == len(entries)
    assert entries[-1].about == f"{lease} web/0"


async def test_another_deployments_events_are_not_told(chain, tenant, plan, lease):
    other = await tenant.deploy(plan)
    assert {one.about.split("/")[0] for one in await told(tenant, lease.deployment)} == {str(lease.deployment)}
    assert {one.about.split("/")[0] for one in await told(tenant, other)} == {str(other)}


async def test_since_leaves_out_what_was_before_and_tells_that_instant_again(tenant, lease):
    everything = await told(tenant, lease.deployment)
    middle = everything[len(everything) // 2].time_ms
    again = await told(tenant, lease.deployment, since_ms=middle)
    assert [one.key for one in again] == [one.key for one in everything if one.time_ms >= middle]
    assert await told(tenant, lease.deployment, since_ms=unix_ms() + 10**9) == []


async def test_a_provider_that_is_away_is_a_note_and_the_chain_is_told(tenant, lease, alpha, monkeypatch):
    monkeypatch.setattr("photon_core.tenant.history.STATUS_LINK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(alpha.peers.transport, "listen", None)
    for link in alpha.peers.transport.links():
        alpha.peers.transport.drop(link.peer, "away")
    monkeypatch.setattr(type(tenant.courier), "events", away)
    entries = await told(tenant, lease.deployment)
    (note,) = [one for one in entries if not isinstance(one, Entry)]
    assert f"lease {lease}" in note.text
    assert "LeaseCreated" in names(entries)


async def away(*_args, **_named):
    raise PhotonError(code="provider-unreachable", what="the provider does not answer")


async def test_following_tells_what_comes_and_ends_with_the_deployment(tenant, lease, alpha):
    seen = []
    with trio.fail_after(10):
        async with tenant.history(lease.deployment, follow=True) as channel:
            while names(seen)[-1:] != ["LeaseCreated"]:
                seen.append(await channel.receive())
            alpha.agent.chronicle.record({lease: Sight(instances=(UP,))})
            while EventKind.READY.name not in names(seen):
                seen.append(await channel.receive())
            await tenant.close(lease.deployment)
            alpha.chain.world.must("alpha-op", ConfirmClosed(leases=(lease,)))
            seen += [one async for one in channel]
    assert names(seen)[-1] == "DeploymentClosed"
    assert len({one.key for one in seen}) == len(seen)
    assert sorted(names(await told(tenant, lease.deployment, follow=True))) == sorted(names(seen)), (
        "there is nothing to follow any more"
    )


async def test_a_stranger_is_refused(chain, lease, tmp_path, make_transport):
    key = keys.generate(KeyPurpose.ACCOUNT)
    async with open_tenant(chain, key, home=tmp_path / "other", make_transport=make_transport) as stranger:
        with pytest.raises(PhotonError) as raised:
            await told(stranger, lease.deployment)
    assert raised.value.code == "not-yours"


async def test_unknown_deployment(tenant):
    with pytest.raises(PhotonError) as raised:
        await told(tenant, 99)
    assert raised.value.code == "not-found"


def test_every_event_of_the_exchange_is_about_something_or_not_ours():
    for cls in events.EVENTS.values():
        assert cls in (events.Transferred, events.ProviderChanged) or {"deployment", "group", "order", "lease"} & set(
            cls.__annotations__
        )
    paused = events.GroupPaused(group=LeaseId(7, 1, 0).group_id, reason="")
    assert (about(paused, 7), about(paused, 8)) == ("7/1", "")
