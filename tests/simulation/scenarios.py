"""Small histories, each move by hand: every latency is 10 ms and every sync 1 ms, and nothing is drawn by lot."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from photon_core.api.consensus import Claim
from photon_core.chain.transactions import build_transaction, decode_transaction
from photon_core.exchange.messages import MESSAGE, Transfer
from photon_core.node import steps
from photon_core.testing.sim import Parts, engine_named
from photon_core.testing.sim.links import Quality
from photon_core.testing.sim.setting import setting
from photon_core.testing.sim.simulation import Simulation
from photon_core.testing.sim.trace import Names, Trace

from .describe import describe

PREPARE, COMMIT = 1, 2
"""The third part of a slot."""


class Calm(random.Random):
    """Dice that always fall the same way."""

    def random(self) -> float:
        return 0.5

    def randint(self, a: int, b: int) -> int:
        return a

    def choice(self, seq: Any) -> Any:
        return seq[0]


class Scenario:
    def __init__(self, *, liars: Sequence[int] = ()) -> None:
        self.lines: list[str] = []
        where = setting((1, 1, 1, 1), "pbft")
        trace = Trace(Names([key.public for key in where.keys]), self._write, describe)
        parts = Parts(engine=engine_named("pbft"))
        self.simulation = Simulation(where, parts, Calm(7), liars=liars, clients=1, sync_ms=((1, 1),) * 3, trace=trace)
        self.simulation.links.quality = Quality(latency_ms=(10, 10))
        self._sequence = 0

    def _write(self, line: str) -> None:
        """STATUS is the rhythm of all of it; only what follows from one is of interest."""
        if "STATUS" not in line and "timer status" not in line:
            self.lines.append(line)

    def start(self) -> None:
        for host in self.simulation.hosts:
            self.simulation.boot(host)
        self.run(30)

    def run(self, for_ms: int) -> None:
        self.simulation.schedule.run(self.simulation.schedule.now_ms + for_ms)

    def run_until_height(self, height: int, within_ms: int = 10_000) -> None:
        """At all honest nodes that are up."""
        simulation = self.simulation
        up = [node.name for node in simulation.honest() if node.up]
        until_ms = simulation.schedule.now_ms + within_ms
        assert simulation.schedule.run(until_ms, lambda: all(simulation.heads[name] >= height for name in up))

    def transfer(self, host: int) -> None:
        client, identity = self.simulation.setting.clients[0], self.simulation.setting.chain_id
        plain: list[Any] = [MESSAGE.to_plain(Transfer(to=b"\x77" * 20, amount_uptn=1))]
        raw = build_transaction(client.seed, identity, self._sequence, 0, 1_000, plain)
        self._sequence += 1
        self.simulation.tell(f"n{host}", f"--- a client sends transaction {self._sequence}")
        event = steps.TransactionsArrived(transactions=(decode_transaction(raw, identity),), ticket=0)
        for node in self.simulation.hosts[host].nodes:
            node.take(event)

    def crash(self, host: int) -> None:
        self.simulation.crash(self.simulation.hosts[host], all_lost=True)

    def boot(self, host: int) -> None:
        self.simulation.boot(self.simulation.hosts[host])

    def lose(self, phase: int, *, but_to: Sequence[int] = ()) -> None:
        self.simulation.tell("", f"--- statements of phase {phase} are lost, but for those to {list(but_to)}")

        def censor(_sender: int, to: int, claims: Sequence[Claim]) -> bool:
            single = len(claims) == 1 and claims[0].slot[2:] == (phase,)
            return single and to not in but_to

        self.simulation.censor = censor

    def lose_nothing(self) -> None:
        self.simulation.tell("", "--- nothing is lost any more")
        self.simulation.censor = None


def two_blocks() -> Scenario:
    """The normal case: two transactions, a block each."""
    scenario = Scenario()
    scenario.start()
    scenario.transfer(1)
    scenario.run(400)
    scenario.transfer(2)
    scenario.run_until_height(2)
    return scenario


def dead_primary() -> Scenario:
    """The primary is down; the others change the view and go on."""
    scenario = Scenario()
    scenario.start()
    scenario.crash(0)
    scenario.transfer(1)
    scenario.run_until_height(1)
    return scenario


def lost_commits() -> Scenario:
    """One alone learns that a block is committed, and dies. The others must come to the same block."""
    scenario = Scenario()
    scenario.start()
    scenario.lose(COMMIT, but_to=[2])
    scenario.transfer(0)
    scenario.run(80)
    scenario.crash(2)
    scenario.run(920)
    scenario.lose_nothing()
    scenario.run_until_height(1)
    scenario.boot(2)
    scenario.run_until_height(1)
    return scenario


def carried_over() -> Scenario:
    """A block is prepared everywhere and committed nowhere; the primary dies, and the next view begins with it."""
    scenario = Scenario()
    scenario.start()
    scenario.lose(COMMIT)
    scenario.transfer(1)
    scenario.run(80)
    scenario.crash(0)
    scenario.run(1_000)
    scenario.lose_nothing()
    scenario.run_until_height(1)
    return scenario


def restart_in_the_middle() -> Scenario:
    """One dies after it has prepared, with its proof on disk, and is back before the view has changed."""
    scenario = Scenario()
    scenario.start()
    scenario.lose(COMMIT)
    scenario.transfer(1)
    scenario.run(80)
    scenario.crash(3)
    scenario.run(50)
    scenario.lose_nothing()
    scenario.boot(3)
    scenario.run_until_height(1)
    return scenario


def second_proposal() -> Scenario:
    """The primary proposes one block to two validators and another one to the third."""
    scenario = Scenario(liars=[0])
    host = scenario.simulation.hosts[0]
    for peer in (1, 2, 3):
        host.tells[0, peer] = host.hears[0, peer] = peer < 3
        host.tells[1, peer] = host.hears[1, peer] = peer == 3
    host.nodes[1].skew_ms += 5  # another time, another block
    scenario.start()
    scenario.transfer(0)
    scenario.run_until_height(1, within_ms=20_000)
    return scenario


SCENARIOS: dict[str, Callable[[], Scenario]] = {
    made.__name__: made
    for made in (two_blocks, dead_primary, lost_commits, carried_over, restart_in_the_middle, second_proposal)
}
