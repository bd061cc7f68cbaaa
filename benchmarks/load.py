"""The client's two loads, and what it saw: a closed loop that keeps the chain full, an open one at a steady rate.

Both hand over batches by `POST /v1/transactions?wait_s=…`, which answers when every transaction of the batch has a
certificate. Latency counts from the moment for which the batch was planned, not from when the client got round to it.
What a node refuses for the moment (a full mempool) is handed over again, and counted.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable, Sequence

import trio
from attrs import define, field

from benchmarks.accounts import Lane
from benchmarks.network import Network
from photon_core.exchange.events import Outcome
from photon_core.node.client import NodeClient
from photon_core.node.views import Submitted

WAIT_S = 60.0
"""A transaction without a certificate after so long is a failure of the chain, and of the benchmark."""
AGAIN_AFTER_S = 0.05
BATCHES_PER_S = 40
"""Of the open loop: one of 25 every 25 ms at 1 000/s, as a gateway would gather them."""
REPORT_EVERY_S = 5.0


class LoadFailed(Exception):
    """What the figures would not be worth: a failed or lost transaction, or too few of them."""


@define
class Measured:
    """What happened between the two ends of the steady part."""

    seconds: float = 0.0
    transactions: int = 0
    client_cpu_s: float = 0.0
    validators_cpu_s: float = 0.0
    commit_ms: list[float] = field(factory=list)

    @property
    def per_s(self) -> float:
        return self.transactions / self.seconds

    def percentile(self, share: float) -> float:
        """The smallest value that this share of them does not exceed."""
        ordered = sorted(self.commit_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@define
class Client:
    nodes: Sequence[NodeClient]
    network: Network
    say: Callable[[str], None]
    refusals: Counter[str] = field(factory=Counter)
    transactions: int = 0
    """Acknowledged as done, so far."""
    commit_ms: list[float] = field(factory=list)

    async def saturate(self, lanes: Sequence[Lane], ramp_s: float, seconds: float) -> Measured:
        """Every lane sends its next batch as soon as the one before is committed."""

        async def follow(lane: Lane) -> None:
            while not stop.is_set():
                if (taken := lane.next_batch(len(lane.accounts))) is None:
                    raise LoadFailed("all transactions signed beforehand are used up: raise --signed-per-s")
                await self._commit(lane, *taken, trio.current_time())

        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            for lane in lanes:
                nursery.start_soon(follow, lane)
            measured = await self._measure(ramp_s, seconds)
            stop.set()
        return measured

    async def offer(self, lanes: Sequence[Lane], per_s: int, ramp_s: float, seconds: float) -> Measured:
        """`per_s` transactions in even batches, whether or not those before are committed."""
        size = max(1, round(per_s / BATCHES_PER_S))
        done = trio.Event()

        async def keep_time(nursery: trio.Nursery) -> None:
            begun, sent = trio.current_time(), 0
            while not done.is_set():
                lane = lanes[sent // size % len(lanes)]
                planned = begun + sent / per_s
                await trio.sleep_until(planned)
                if (taken := lane.next_batch(size)) is None:
                    raise LoadFailed("all transactions signed beforehand are used up: raise --signed-per-s")
                nursery.start_soon(self._commit, lane, *taken, planned)
                sent += len(taken[1])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_time, nursery)
            measured = await self._measure(ramp_s, seconds)
            done.set()
        return measured

    async def _measure(self, ramp_s: float, seconds: float) -> Measured:
        await self._wait(ramp_s)
        begun, transactions, validators = trio.current_time(), self.transactions, sum(self.network.cpu_s())
        client, samples = _own_cpu_s(), len(self.commit_ms)
        await self._wait(seconds)
        if self.transactions == transactions:
            raise LoadFailed(f"nothing was committed in {seconds:g} s")
        return Measured(
            seconds=trio.current_time() - begun,
            transactions=self.transactions - transactions,
            client_cpu_s=_own_cpu_s() - client,
            validators_cpu_s=sum(self.network.cpu_s()) - validators,
            commit_ms=self.commit_ms[samples:],
        )

    async def _wait(self, seconds: float) -> None:
        """Telling now and then how it goes."""
        until = trio.current_time() + seconds
        while (left_s := until - trio.current_time()) > 0:
            before, begun = self.transactions, trio.current_time()
            await trio.sleep(min(left_s, REPORT_EVERY_S))
            rate = (self.transactions - before) / max(0.001, trio.current_time() - begun)
            self.say(f"{self.transactions} committed, {rate:.0f}/s")

    # --- one batch -----------------------------------------------------------------------------------------------

    async def _commit(self, lane: Lane, first: int, batch: Sequence[bytes], planned: float) -> None:
        """Until every transaction of it is committed and done."""
        node, left = self.nodes[lane.validator], list(batch)
        while left:
            answers = await node.submit(left, wait_s=WAIT_S)
            left = [raw for raw, answer in zip(left, answers, strict=True) if not self._is_done(answer)]
            if left:
                await trio.sleep(AGAIN_AFTER_S)
        lane.acknowledged(first, len(batch))
        self.transactions += len(batch)
        self.commit_ms += [1_000 * (trio.current_time() - planned)] * len(batch)

    def _is_done(self, answer: Submitted) -> bool:
        if answer.status == "refused":
            self.refusals[answer.code] += 1
            return False
        if answer.receipt is None:
            raise LoadFailed(f"transaction {answer.id.hex()[:16]} has no certificate after {WAIT_S:g} s")
        if answer.receipt.outcome is not Outcome.DONE:
            raise LoadFailed(f"transaction {answer.id.hex()[:16]}: {answer.receipt.code} {answer.receipt.reason}")
        return True


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
