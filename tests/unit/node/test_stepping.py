"""The core's clock ticks when it is due, whatever else comes, and every input is stepped once, in order of urgency."""

from __future__ import annotations

import trio
from attrs import define, field

from photon_core.node import steps
from photon_core.node.inputs import Inputs, Urgency
from photon_core.node.stepping import Stepping

GOSSIP = steps.TransactionsArrived(transactions=())
TICK_MS = 20


@define
class ToyCore:
    """Wants the clock every so often, and says what it was given."""

    wants_ms: int = TICK_MS
    given: list[steps.Input] = field(factory=list)
    ticked_ms: list[int] = field(factory=list)

    def handle(self, event: steps.Input, now: steps.Now) -> tuple[steps.Effect, ...]:
        self.given.append(event)
        if isinstance(event, steps.ClockTicked):
            self.ticked_ms.append(now.monotonic_ms)
        if isinstance(event, steps.PeerHead):
            return (steps.GossipHead(height=event.height),)
        return ()

    def wake_in_ms(self, now: steps.Now) -> int:
        last_ms = self.ticked_ms[-1] if self.ticked_ms else now.monotonic_ms
        return max(1, last_ms + self.wants_ms - now.monotonic_ms)


async def test_timers_fire_under_a_flood() -> None:
    core, inputs = ToyCore(), Inputs()
    rests = 0

    def rested() -> None:
        nonlocal rests
        rests += 1

    async def flood() -> None:
        while len(core.ticked_ms) < 4:
            while inputs.has_room(Urgency.TRANSACTIONS):
                inputs.put(GOSSIP, Urgency.TRANSACTIONS)
            await trio.lowlevel.checkpoint()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Stepping(core, inputs, lambda _effect: None, rested).run)
            await flood()  # which has its turns
            nursery.cancel_scope.cancel()
    assert core.given.count(GOSSIP) > 4
    assert rests
    assert all(later - sooner >= TICK_MS for sooner, later in zip(core.ticked_ms[1:], core.ticked_ms[2:], strict=False))


async def test_the_most_urgent_is_stepped_first_and_effects_begin_in_order() -> None:
    core, inputs = ToyCore(wants_ms=60_000), Inputs()
    begun: list[steps.Effect] = []
    inputs.put(GOSSIP, Urgency.TRANSACTIONS)
    inputs.put(steps.PeerHead(peer=b"", height=1), Urgency.PEERS)
    inputs.put(steps.PeerHead(peer=b"", height=2), Urgency.PEERS)
    inputs.put(steps.BlockWritten(height=1))
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Stepping(core, inputs, begun.append, lambda: None).run)
            while len(core.given) < 5:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    kinds = [type(event).__name__ for event in core.given if not isinstance(event, steps.ClockTicked)]
    assert kinds == ["BlockWritten", "PeerHead", "PeerHead", "TransactionsArrived"]
    assert begun == [steps.GossipHead(height=1), steps.GossipHead(height=2)]
