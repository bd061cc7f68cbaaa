"""Following logs through restarts, cuts, moves and the end, over real links to real gateways."""

from contextlib import asynccontextmanager

import pytest
import trio

from photon_core.api.errors import PhotonError
from photon_core.api.ids import InstanceId, LeaseId
from photon_core.exchange.messages import CloseLease, ConfirmClosed, ProviderCloseReason
from photon_core.tenant import log_follow
from photon_core.tenant.lines import LogLine

ALL_LINES = 1000


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(log_follow, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(log_follow, "BURST_QUIET_S", 0.1)
    monkeypatch.setattr(log_follow, "LOOK_EVERY_S", 0.05)


@pytest.fixture
async def lease(chain, tenant, plan, alpha):
    """Won by `alpha`, which has its manifest and has printed a line."""
    deployment = await tenant.deploy(plan)
    won = LeaseId(deployment, 0, 0)
    chain.bid(won, "alpha")
    chain.end_bidding()
    await tenant.deliver(won)
    alpha.logged(won, "web", b"one\n")
    return won


class Reader:
    def __init__(self, told):
        self._told = told
        self.notes = []

    async def lines(self, count):
        found = []
        with trio.fail_after(10):
            while len(found) < count:
                one = await self._told.receive()
                if isinstance(one, LogLine):
                    found.append(one.text)
                else:
                    self.notes.append(one.text)
        return found

    async def rest(self):
        found = []
        with trio.fail_after(10):
            async for one in self._told:
                if isinstance(one, LogLine):
                    found.append(one.text)
                else:
                    self.notes.append(one.text)
        return found


@asynccontextmanager
async def following(tenant, of, **more):
    async with tenant.following_logs(of.deployment, **more) as told:
        yield Reader(told)


def web(lease):
    return InstanceId(lease, "web", 0)


async def test_lines_come_as_they_are_printed(tenant, lease, alpha):
    async with following(tenant, lease) as reader:
        assert await reader.lines(1) == [b"one"]
        alpha.runtime.say(web(lease), b"two\nthr")
        assert await reader.lines(1) == [b"two"]
        alpha.runtime.say(web(lease), b"ee\n")
        assert await reader.lines(1) == [b"three"]
        assert reader.notes == []


async def test_nothing_is_repeated_and_nothing_lost_when_the_reading_is_interrupted(tenant, lease, alpha):
    async with following(tenant, lease) as reader:
        assert await reader.lines(1) == [b"one"]
        for turn in range(3):
            alpha.runtime.logged[web(lease)] += b"while away %d\n" % turn
            alpha.runtime.cut_logs(web(lease))
            assert await reader.lines(1) == [b"while away %d" % turn]
            assert "interrupted" in reader.notes[-2]
            assert reader.notes[-1] == "reading again"


async def test_a_provider_that_restarts_is_waited_for(tenant, lease, alpha):
    async with following(tenant, lease) as reader:
        assert await reader.lines(1) == [b"one"]
        for link in alpha.peers.transport.links():
            alpha.peers.transport.drop(link.peer, "restarting")
        alpha.runtime.logged[web(lease)] += b"two\n"
        assert await reader.lines(1) == [b"two"]
        assert any("does not answer" in note for note in reader.notes), reader.notes


async def test_tail_of_nothing_shows_what_is_printed_from_now_on(tenant, lease, alpha):
    async with following(tenant, lease, tail_lines=0) as reader:
        await trio.sleep(0.3)
        alpha.runtime.say(web(lease), b"new\n")
        assert await reader.lines(1) == [b"new"]


async def test_it_waits_for_the_manifest(chain, tenant, plan, alpha):
    deployment = await tenant.deploy(plan)
    won = LeaseId(deployment, 0, 0)
    async with following(tenant, won) as reader, trio.open_nursery() as nursery:

        async def win_later():
            await trio.sleep(0.05)
            chain.bid(won, "alpha")
            chain.end_bidding()
            await trio.sleep(0.05)
            alpha.logged(won, "web", b"begun\n")
            await tenant.deliver(won)

        nursery.start_soon(win_later)
        assert await reader.lines(1) == [b"begun"]
    assert any("no active lease" in note for note in reader.notes), reader.notes


async def test_the_lease_that_moves_is_gone_after(chain, tenant, lease, make_provider):
    async with following(tenant, lease) as reader:
        assert await reader.lines(1) == [b"one"]
        chain.world.must("alpha-op", CloseLease(lease=lease, reason=ProviderCloseReason.FAULT))
        chain.world.must("alpha-op", ConfirmClosed(leases=(lease,)))
        chain.world.pass_time(1_100)
        next_lease = LeaseId(lease.deployment, 0, 1)
        beta = await make_provider("beta")
        chain.bid(next_lease, "beta")
        chain.end_bidding()
        beta.logged(next_lease, "web", b"one\n")
        await tenant.deliver(next_lease)
        assert await reader.lines(1) == [b"one"], "another workload's line, though it looks the same"
        assert any(f"going on with lease {next_lease} at photon1" in note for note in reader.notes), reader.notes


async def test_the_end_of_the_deployment_is_the_end(tenant, lease):
    async with following(tenant, lease) as reader:
        assert await reader.lines(1) == [b"one"]
        await tenant.close(lease.deployment)
        assert await reader.rest() == []
        assert reader.notes[-1] == f"deployment {lease.deployment} is closed"


async def test_a_lease_that_was_named_is_not_left_for_another(tenant, lease):
    async with following(tenant, lease, lease=lease) as reader:
        assert await reader.lines(1) == [b"one"]
        await tenant.close(lease.deployment)
        assert await reader.rest() == []
        assert reader.notes[-1] == f"lease {lease} is over"


async def test_what_waiting_cannot_mend_is_an_error(tenant, lease):
    with pytest.raises(PhotonError) as raised:
        async with following(tenant, lease, service="nope", lease=lease) as reader:
            await reader.rest()
    assert raised.value.code == "unknown-service"
