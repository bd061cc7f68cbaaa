"""Four validators as real processes over libp2p, and a full node beside them: alive while one of the four is not.

"Goes on" is measured from the kill to the acknowledgement of a transfer that was handed in after it; "comes back" from
the moment in which the process that returns is started. Its start is a fork of a warm parent, since how long Python
takes to import is a matter of the machine and not of the protocol; one return is that of a cold process, measured from
the moment in which it answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from live_cluster import Cluster, Member, figure
from payer import RECEIVER, Payer, require_all_acknowledged

PROGRESS_S = 5.0
"""What the chain may take to go on."""
CATCH_UP_S = 20.0
BATCH = 20
STANDSTILL_S = 3.0
LONG_STANDSTILL_S = 10.0
"""Patience that doubles at each vain try would be longer than PROGRESS_S by then."""
LOOK_EVERY_S = 0.2
STOPPED_S = 20.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
NewCluster = Callable[..., Awaitable[tuple[Cluster, list[Payer]]]]


@asynccontextmanager
async def under_load(cluster: Cluster, payers: list[Payer]) -> AsyncIterator[Payer]:
    """All but the first pay without a pause; the first is for probes. At the end nothing is lost and all agree."""
    probe, *others = payers
    async with trio.open_nursery() as nursery:
        for other in others:
            await nursery.start(other.pay_for_ever, BATCH)
        try:
            await probe.pay()
            yield probe
        except BaseException:
            figure(f"the probe was told last: {probe.said}\n{await cluster.describe()}")
            raise
        nursery.cancel_scope.cancel()
    await everything_is_there(cluster, payers)


async def everything_is_there(cluster: Cluster, payers: list[Payer]) -> None:
    assert cluster.living() == cluster.members
    blocks = await cluster.all_agree()
    require_all_acknowledged(blocks, payers)
    for member in cluster.members:
        assert await member.balance(RECEIVER) >= sum(len(block.transactions) for block in blocks)


async def within_limit(what: str, done: Callable[[], Awaitable[None]], since: float | None = None) -> None:
    """AssertionError when it takes longer than the chain may, counted from `since`."""
    began = trio.current_time() if since is None else since
    with trio.move_on_at(began + PROGRESS_S):
        await done()
        figure(f"{what}: {trio.current_time() - began:.2f} s")
        return
    raise AssertionError(f"{what}: no progress within {PROGRESS_S} s")


async def kill_and_go_on(what: str, cluster: Cluster, victim: Member, probe: Payer) -> None:
    began = trio.current_time()
    victim.stop()
    await within_limit(f"{what} ({victim.name}) was killed", probe.pay, began)
    assert all(member.is_alive for member in cluster.living())


async def come_back(cluster: Cluster, victim: Member) -> None:
    await victim.start(warm=True)
    await cluster.caught_up(victim, CATCH_UP_S)
    figure(f"{victim.name} is back, and has caught up: {trio.current_time() - victim.started_at:.2f} s after its start")


async def backup(cluster: Cluster) -> Member:
    primary = await cluster.primary()
    return next(member for member in reversed(cluster.validators) if member is not primary and member.runs)


async def test_with_one_of_four_killed_the_chain_goes_on(new_cluster: NewCluster) -> None:
    cluster, payers = await new_cluster()
    await cluster.start(warm=True)
    async with under_load(cluster, payers) as probe:
        victim = await backup(cluster)
        await kill_and_go_on("a backup", cluster, victim, probe)
        await come_back(cluster, victim)

        victim = await cluster.primary()
        await kill_and_go_on("the primary", cluster, victim, probe)
        await come_back(cluster, victim)

        second = await cluster.primary()
        if second is victim:  # its turn may have come again
            second = await backup(cluster)
        await kill_and_go_on("another", cluster, second, probe)  # the first has a vote again, or it would not
        await come_back(cluster, second)
        await within_limit("with all four", probe.pay)


async def test_with_two_of_four_killed_nothing_is_committed_until_one_is_back(new_cluster: NewCluster) -> None:
    cluster, payers = await new_cluster()
    await cluster.start(warm=True)
    async with under_load(cluster, payers) as probe:
        first, second = await cluster.primary(), await backup(cluster)
        async with standing_still(cluster, [first, second], probe, STANDSTILL_S) as paid:
            first.begin(warm=True)
            await within_limit("the primary came back", paid.wait, first.started_at)
        await first.ready()
        await come_back(cluster, second)

        first, second = await cluster.primary(), await backup(cluster)
        async with standing_still(cluster, [first, second], probe, LONG_STANDSTILL_S) as paid:
            await second.start()  # as an operator would
            await within_limit("a backup came back, cold", paid.wait)
        await come_back(cluster, first)
        await within_limit("with all four", probe.pay)


@asynccontextmanager
async def standing_still(
    cluster: Cluster, victims: list[Member], probe: Payer, for_s: float
) -> AsyncIterator[trio.Event]:
    """Kills them, and sees that the others do nothing wrong. The event: what a client tries all the while is done."""
    paid = trio.Event()

    async def pay() -> None:
        await probe.pay()
        paid.set()

    for victim in victims:
        victim.stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pay)
        before = await steady_heights(cluster)
        with trio.move_on_after(for_s):
            while True:
                assert await heights(cluster) == before
                await trio.sleep(LOOK_EVERY_S)
        assert not paid.is_set()
        assert all(member.is_alive for member in cluster.living())
        assert all([(await member.status()).halted == "" for member in cluster.living()])
        yield paid


async def steady_heights(cluster: Cluster) -> list[int]:
    """Once the votes that were under way have arrived."""
    with trio.fail_after(STANDSTILL_S):
        before = await heights(cluster)
        while True:
            await trio.sleep(LOOK_EVERY_S)
            now = await heights(cluster)
            if now == before:
                return now
            before = now


async def heights(cluster: Cluster) -> list[int]:
    return [(await member.status()).height for member in cluster.living()]


async def test_a_primary_that_was_stopped_for_long_is_passed_over_and_comes_back(new_cluster: NewCluster) -> None:
    cluster, payers = await new_cluster()
    await cluster.start(warm=True)
    async with under_load(cluster, payers) as probe:
        victim = await cluster.primary()
        began = trio.current_time()
        victim.pause()
        await within_limit(f"the primary ({victim.name}) was stopped", probe.pay, began)
        with trio.move_on_at(began + STOPPED_S):
            while True:
                with trio.fail_after(PROGRESS_S):
                    await probe.pay()
        began = trio.current_time()
        victim.resume()
        await within_limit("it goes on", probe.pay, began)
        await cluster.caught_up(victim, CATCH_UP_S)
        figure(f"and has caught up: {trio.current_time() - began:.2f} s")
        second = next(member for member in cluster.validators if member is not victim)
        await kill_and_go_on("another", cluster, second, probe)  # who was stopped has a vote again
        await come_back(cluster, second)


async def test_all_killed_at_once_go_on_with_all_that_was_acknowledged(new_cluster: NewCluster) -> None:
    cluster, payers = await new_cluster()
    await cluster.start(warm=True)
    async with under_load(cluster, payers) as probe:
        for member in cluster.members:
            member.stop()
        began = trio.current_time()
        await cluster.start(warm=True)
        figure(f"all answer: {trio.current_time() - began:.2f} s")
        await within_limit("all were killed", probe.pay)
