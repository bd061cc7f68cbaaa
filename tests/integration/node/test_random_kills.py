"""A validator that is killed -9 at any moment, under load, starts again at a block border, with nothing lost.

Each kill is of a real process, whose start is a fork of a warm parent, so that hundreds are cheap. `-s` prints figures;
`PHOTON_TEST_KILLS` says how many, and `tox run -e kills` has 200.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable
from enum import Enum

import pytest
import trio
from live_cluster import Cluster, Member, figure
from payer import RECEIVER, Payer, require_all_acknowledged

KILLS = int(os.environ.get("PHOTON_TEST_KILLS", "25"))
BATCH = 20
CATCH_UP_S = 60.0


class Moment(Enum):
    """What the victim does when it is killed."""

    STARTING = "reads its disk, from its process's begin on"
    CATCHING_UP = "answers, and takes what the others did meanwhile"
    VOTING = "has all that they had, and votes"


WITHIN_MS = {Moment.STARTING: 250, Moment.CATCHING_UP: 500, Moment.VOTING: 700}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 5 * KILLS)]
NewCluster = Callable[..., Awaitable[tuple[Cluster, list[Payer]]]]


@pytest.mark.parametrize(("consensus", "validators"), [("solo", 1), ("pbft", 4)], ids=["alone", "one-of-four"])
async def test_killed_at_any_moment_it_goes_on_from_a_block_border(
    new_cluster: NewCluster, consensus: str, validators: int
) -> None:
    seed = random.randrange(2**32)
    figure(f"seed {seed}, {KILLS} kills")
    chance = random.Random(seed)
    cluster, payers = await new_cluster(consensus=consensus, payers=3, validators=validators, followers=1)
    await cluster.start(warm=True)
    victim = cluster.validators[0]
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for payer in payers:
            nursery.start_soon(payer.pay_for_ever, BATCH)
        for _ in range(KILLS):
            await kill_and_begin_again(cluster, payers, chance)
        await ready_with_all_it_had(victim, payers)
        took_s = trio.current_time() - began
        await cluster.caught_up(victim, CATCH_UP_S)
        nursery.cancel_scope.cancel()
    blocks = await cluster.all_agree(CATCH_UP_S)
    acknowledged = sum(len(payer.acknowledged) for payer in payers)
    figure(f"seed {seed}: {KILLS} kills in {took_s:.0f} s, {len(blocks)} blocks, {acknowledged} acknowledged")
    assert acknowledged > KILLS, "nothing was under way"
    require_all_acknowledged(blocks, payers)
    sent = sum(len(block.transactions) for block in blocks)
    for member in cluster.members:
        assert await member.balance(RECEIVER) >= sent


async def kill_and_begin_again(cluster: Cluster, payers: list[Payer], chance: random.Random) -> None:
    victim, moment = cluster.validators[0], chance.choice(list(Moment))
    if moment is not Moment.STARTING:
        await ready_with_all_it_had(victim, payers)
    if moment is Moment.VOTING:
        await cluster.caught_up(victim, CATCH_UP_S)
    await trio.sleep(chance.randrange(WITHIN_MS[moment]) / 1000)
    victim.stop()
    victim.begin(warm=True)


async def ready_with_all_it_had(victim: Member, payers: list[Payer]) -> None:
    """It starts, which it refuses with a log that has a gap or a state that is not the log's; and what it has told is
    there at once, without the others.
    """
    if not victim.is_behind:
        return  # it has not been killed yet
    await victim.ready()
    told = max(payer.told.get(victim.url, 0) for payer in payers)
    status = await victim.status()
    assert status.height >= told, f"it had acknowledged block {told}, and began again at {status.height}"
    assert status.halted == ""
    victim.is_behind = False  # clients ask it again, behind or not
