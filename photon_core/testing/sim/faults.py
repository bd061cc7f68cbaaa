"""The weather of a run: which faults come, when, and for how long. All of it ends at `clear`.

Theory of operation
-------------------
`Weather` draws a fault every now and then out of a table of kinds, each an own small method that begins it and plans
its end. Faults overlap as they come. Each seed has its own weights: a run with a few kinds of faults, often, goes
deeper than one with a little of all.

Some are aimed, because chance alone would take thousands of runs to come by: at the validator that proposes, at the
moment just after a sync, at the moment in which a validator gives up a view, and at that in which the first one commits
a block. Others lose one kind of statement towards all hosts but one, and then take that one away, so that it alone
knows what was decided; or all that is said of one height, while those above it go on.

Safety is never at stake by any of this, so any number of hosts may be hit at once. Only how many lie is bounded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from attrs import define, field

from photon_core.api.consensus import Claim

from .climate import Climate, draw_climate
from .links import PERFECT
from .node import Node
from .simulation import Host, Simulation

MANY = (-1,)
"""The kind of a message that holds claims of several kinds: proofs."""
Kind = tuple[int, ...]


@define(eq=False)
class _Ban:
    """Frames of `kind` (None: any), of `height` (None: any), from `senders` to `receivers` are lost."""

    kind: Kind | None
    senders: tuple[int, ...]
    receivers: tuple[int, ...]
    height: int | None = None


@define(eq=False)
class Weather:
    simulation: Simulation
    climate: Climate
    dice: random.Random
    over: bool = False
    _bans: list[_Ban] = field(factory=list)
    _kinds: list[Kind] = field(factory=list)
    """Of the messages that were seen so far, in the order of their first."""
    _endings: dict[int, Callable[[], None]] = field(factory=dict)
    """Of what has begun and has not ended."""
    _count: int = 0
    _ambush: dict[int, Callable[[], None]] = field(factory=dict)
    """What befalls a host when it is the first to commit a block."""

    # --- begin and end -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        simulation = self.simulation
        simulation.links.quality = self.climate.quality
        simulation.censor = self._censored
        simulation.on_synced = self._synced
        simulation.on_round_closed = self._round_closed
        simulation.on_committed = self._committed
        self._next()

    def clear(self) -> None:
        """Everything ends: links are perfect, whoever is down comes back. Who lies goes on."""
        self.over = True
        simulation = self.simulation
        simulation.tell("", "=== the weather clears")
        simulation.links.quality = PERFECT
        simulation.censor = None
        simulation.on_synced = simulation.on_round_closed = lambda _: None
        simulation.on_committed = lambda _: None
        for ending in list(self._endings.values()):
            ending()
        self._endings.clear()
        for host in simulation.hosts:
            if not host.up:
                simulation.boot(host)
        for one, two in simulation.links.pairs:
            simulation.dial(one, two)

    def _next(self) -> None:
        self._after(self.dice.randint(1, 2 * self.climate.pace_ms), self._strike)

    def _strike(self) -> None:
        alone = len(self.simulation.hosts) == 1
        kind = Weather.crash if alone else self.dice.choices(_KINDS, self.climate.weights)[0]
        kind(self)
        self._next()

    def _after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self.simulation.schedule.after(delay_ms, lambda: None if self.over else action())

    def _until(self, after_ms: int, ending: Callable[[], None]) -> None:
        """`ending` is due then, or when the weather clears."""
        self._count += 1
        number = self._count
        self._endings[number] = ending
        self._after(after_ms, lambda: self._end(number))

    def _end(self, number: int) -> None:
        self._endings.pop(number)()

    def _span_ms(self) -> int:
        """Most faults are short; some outlast several views."""
        return self.dice.choice(
            [self.dice.randint(20, 400), self.dice.randint(400, 2_500), self.dice.randint(20, 6_000)]
        )

    def _some(self, count: int) -> list[Host]:
        return self.dice.sample(self.simulation.hosts, count)

    def _leader(self) -> Host:
        return self.simulation.hosts[self.simulation.last_proposer]

    # --- hosts ---------------------------------------------------------------------------------------------------

    def _down(self, host: Host, for_ms: int, *, all_lost: bool = False) -> None:
        if not host.up or host.lies:
            return
        simulation = self.simulation
        simulation.crash(host, all_lost=all_lost)

        def back() -> None:
            if not host.up:
                simulation.boot(host)

        self._until(for_ms, back)

    def crash(self) -> None:
        self._down(self._some(1)[0], self._span_ms())

    def crash_leader(self) -> None:
        self._down(self._leader(), self._span_ms())

    def power_cut(self) -> None:
        """All at once; one comes back later than the others."""
        self._cut_power(self._some(1)[0])

    def _cut_power(self, late: Host) -> None:
        for host in self.simulation.hosts:
            if host is late and self.dice.random() < 0.7:
                self._down(host, self.dice.randint(1_500, 6_000), all_lost=True)
            else:
                self._down(host, self.dice.randint(20, 400), all_lost=True)

    def lose_quorum(self) -> None:
        """So long that nothing of before can be on its way any more."""
        count = (len(self.simulation.hosts) - 1) // 3 + 1
        for host in self._some(count):
            self._down(host, self.dice.randint(4_000, 6_000))

    def stop(self) -> None:
        host = self.dice.choice([self._some(1)[0], self._leader()])
        if not host.up or host.lies or host.nodes[0].stopped:
            return
        node = host.nodes[0]
        life = node.life
        self.simulation.tell(node.name, "--- is stopped")
        node.stop()

        def go_on() -> None:
            if node.life == life:
                self.simulation.tell(node.name, "--- goes on")
                self.simulation.quorum.disturbed(self.simulation.schedule.now_ms)
                node.go_on()

        self._until(self._span_ms(), go_on)

    # --- links ---------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """A link drops and comes back at once: what is on it is lost."""
        one, two = self.dice.choice(self.simulation.links.pairs)
        self.simulation.links.disconnect(one, two)
        self.simulation.dial(one, two)

    def split(self) -> None:
        hosts = self._some(len(self.simulation.hosts))
        at = self.dice.randint(1, len(hosts) - 1)
        self._cut([(one, two) for one in hosts[:at] for two in hosts[at:]], self._span_ms())

    def isolate_leader(self) -> None:
        leader = self._leader()
        self._cut([(leader, other) for other in self.simulation.hosts if other is not leader], self._span_ms())

    def _cut(self, pairs: Sequence[tuple[Host, Host]], for_ms: int) -> None:
        """Torn, so that both ends know; or stalled, so that what is sent comes later."""
        simulation, links = self.simulation, self.simulation.links
        stalls = self.dice.random() < 0.4
        begin, end = (links.stall, links.release) if stalls else (links.block, links.unblock)
        where = " ".join(f"{one.index}-{two.index}" for one, two in pairs)
        simulation.tell("", f"--- {'stalled' if stalls else 'cut'} for {for_ms} ms: {where}")
        for one, two in pairs:
            begin(one.index, two.index)

        def heal() -> None:
            simulation.quorum.disturbed(simulation.schedule.now_ms)
            for one, two in pairs:
                end(one.index, two.index)
                simulation.dial(one.index, two.index)

        self._until(for_ms, heal)

    # --- what is said --------------------------------------------------------------------------------------------

    def lose_kind(self) -> None:
        """One kind of message, from some to some."""
        if self._kinds:
            self._ban(self.dice.choice(self._kinds), self._any(), self._any(), self._span_ms())

    def lonely(self) -> None:
        """One kind of message reaches one host alone, which is then away for long: it alone knows what follows."""
        if self._kinds:
            self._favour(self._some(1)[0], self.dice.choice(self._kinds))

    def lonely_twice(self) -> None:
        """And then another host is favoured with another kind; the first comes back when the second goes away."""
        kinds = self._statements()
        if len(kinds) < 2:
            return
        one, two = self._some(2)
        first, second = self.dice.sample(kinds, 2)
        self._favour(one, first, then=lambda: self._favour(two, second))

    def _favour(self, host: Host, kind: Kind, then: Callable[[], None] = lambda: None) -> None:
        """It goes away when it commits something that nobody has committed before, or after a while. What the proposer
        says may be exempt, or nobody had anything to say.
        """
        for_ms = self.dice.randint(200, 1_500)
        silent = [one for one in self.simulation.hosts if self.dice.random() < 0.5 or one is not self._leader()]
        others = [one for one in self.simulation.hosts if one is not host]
        self._ban(kind, _indices(silent), _indices(others), for_ms)
        waiting = True

        def away() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                self._ambush.pop(host.index, None)
                self._take_away(host)
                then()

        self._ambush[host.index] = away
        self._after(for_ms, away)

    def _take_away(self, host: Host) -> None:
        for_ms = self.dice.randint(1_500, 5_000)
        if self.dice.random() < 0.5:
            self._cut([(host, other) for other in self.simulation.hosts if other is not host], for_ms)
        else:
            self._down(host, for_ms)

    def lose_height(self) -> None:
        """What all but the proposer say of the height that is next is lost, but not of those above it; and another kind
        of message reaches one host alone.
        """
        kinds = self._statements()
        if len(kinds) < 2:
            return
        lost, rare = self.dice.sample(kinds, 2)
        others = [host for host in self.simulation.hosts if host is not self._leader()]
        height = max(self.simulation.checkers.chain) + 1
        self._ban(lost, _indices(others), _indices(self.simulation.hosts), self.dice.randint(1_000, 2_500), height)
        self._favour(self._some(1)[0], rare)

    def _statements(self) -> list[Kind]:
        return [kind for kind in self._kinds if kind not in {(), MANY}]

    def _any(self) -> tuple[int, ...]:
        return _indices(self._some(self.dice.randint(1, len(self.simulation.hosts))))

    def _ban(
        self,
        kind: Kind | None,
        senders: tuple[int, ...],
        receivers: tuple[int, ...],
        for_ms: int,
        height: int | None = None,
    ) -> None:
        ban = _Ban(kind, senders, receivers, height)
        which = f"{kind}" + ("" if height is None else f" of height {height}")
        self.simulation.tell("", f"--- lost for {for_ms} ms: {which} from {senders} to {receivers}")
        self._bans.append(ban)
        self._until(for_ms, lambda: self._bans.remove(ban))

    def _censored(self, sender: int, to: int, claims: Sequence[Claim]) -> bool:
        kind = kind_of(claims)
        if kind not in self._kinds:
            self._kinds.append(kind)
        return any(
            sender in ban.senders
            and to in ban.receivers
            and (ban.kind is None or ban.kind == kind)
            and (ban.height is None or any(claim.slot[:1] == (ban.height,) for claim in claims))
            for ban in self._bans
        )

    # --- moments -------------------------------------------------------------------------------------------------

    def _synced(self, node: Node) -> None:
        """The node does not know yet that it is synced, and never will."""
        host = self.simulation.hosts[node.host]
        if self.climate.crash_after_sync and self.dice.random() < self.climate.crash_after_sync:
            self._down(host, self._span_ms())

    def _committed(self, node: Node) -> None:
        """Its engine commits a block that none has committed before."""
        if self.dice.random() < self.climate.cut_at_commit:
            self._after(self.dice.randint(0, 3), partial(self._cut_power, self.simulation.hosts[node.host]))
        if (away := self._ambush.get(node.host)) is not None:
            self._after(self.dice.randint(0, 3), away)

    def _round_closed(self, _node: Node) -> None:
        """A validator is giving up a view: now is the time to strike."""
        if self.dice.random() < self.climate.hit_round_change:
            strike = self.dice.choice(_AT_ROUND_CHANGE)
            self._after(self.dice.randint(1, 150), partial(strike, self))

    # --- those that lie ------------------------------------------------------------------------------------------

    def deal(self) -> None:
        """Which of its nodes a liar shows to whom; sometimes none, sometimes both."""
        for host in self.simulation.hosts:
            if not host.lies:
                continue
            for peer in range(len(self.simulation.hosts)):
                first, both = self.dice.random() < 0.5, self.dice.random() < 0.3
                silent = self.dice.random() < 0.1
                for i in range(len(host.nodes)):
                    host.hears[i, peer] = both or first == (i == 0)
                    host.tells[i, peer] = not silent and host.hears[i, peer]


_KINDS: tuple[Callable[[Weather], None], ...] = (
    Weather.crash,
    Weather.crash_leader,
    Weather.power_cut,
    Weather.lose_quorum,
    Weather.stop,
    Weather.reset,
    Weather.split,
    Weather.isolate_leader,
    Weather.lose_kind,
    Weather.lonely,
    Weather.lonely_twice,
    Weather.lose_height,
    Weather.deal,
)
_AT_ROUND_CHANGE: tuple[Callable[[Weather], None], ...] = (
    Weather.crash,
    Weather.split,
    Weather.isolate_leader,
    Weather.lose_kind,
    Weather.power_cut,
    Weather.deal,
)


def _indices(hosts: Sequence[Host]) -> tuple[int, ...]:
    return tuple(sorted(host.index for host in hosts))


def kind_of(claims: Sequence[Claim]) -> Kind:
    """What engines tell their statements apart by, as far as a slot says it: all behind height and round."""
    slots = [claim.slot for claim in claims if claim.slot]
    if not slots:
        return ()
    return slots[0][2:] if len(slots) == 1 else MANY


KINDS = tuple(kind.__name__ for kind in _KINDS)


def weather_for(simulation: Simulation, dice: random.Random, focus: str = "") -> Weather:
    """Of a seed, whose dice these are; with a `focus` out of `KINDS` there is mostly that."""
    climate = draw_climate(dice, len(_KINDS), KINDS.index(focus) if focus else None)
    return Weather(simulation, climate, random.Random(dice.getrandbits(64)))  # noqa: S311  # a replay, no secret
