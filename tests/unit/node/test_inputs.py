"""What waits for the core: the most urgent first, results always, others when there is room."""

from __future__ import annotations

import trio
import trio.testing

from photon_core.node import inputs as module
from photon_core.node import steps
from photon_core.node.inputs import Inputs, Urgency

GOSSIP = steps.TransactionsArrived(transactions=())
HEAD = steps.PeerHead(peer=b"\x01" * 32, height=3)
VOTE = steps.MessageArrived(sender=b"\x02" * 32, message=b"vote")
WRITTEN = steps.BlockWritten(height=1)


def test_the_most_urgent_first_and_each_kind_in_order() -> None:
    inputs = Inputs()
    inputs.put(GOSSIP, Urgency.TRANSACTIONS)
    inputs.put(HEAD, Urgency.PEERS)
    inputs.put(VOTE, Urgency.CONSENSUS)
    inputs.put(WRITTEN)
    inputs.put(steps.BlockWritten(height=2))
    taken = [inputs.take() for _ in range(6)]
    assert taken == [WRITTEN, steps.BlockWritten(height=2), VOTE, HEAD, GOSSIP, None]


async def test_who_brings_too_much_waits_until_some_is_taken() -> None:
    inputs = Inputs()
    for _ in range(module.WAITING_MAX[Urgency.TRANSACTIONS]):
        await inputs.room(Urgency.TRANSACTIONS)
        inputs.put(GOSSIP, Urgency.TRANSACTIONS)
    assert not inputs.has_room(Urgency.TRANSACTIONS)
    assert inputs.has_room(Urgency.CONSENSUS), "a flood of transactions delays no vote"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inputs.room, Urgency.TRANSACTIONS)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        inputs.take()


async def test_waiting_ends_when_something_comes_or_the_time_is_over(autojump_clock: trio.abc.Clock) -> None:
    inputs = Inputs()
    await inputs.wait(5)
    assert trio.current_time() > 0
    before = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inputs.wait, 60)
        await trio.testing.wait_all_tasks_blocked()
        inputs.put(WRITTEN)
    inputs.put(VOTE, Urgency.CONSENSUS)
    await inputs.wait(60)
    assert trio.current_time() == before
