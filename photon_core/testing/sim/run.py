"""One seed, one run: bad weather, then fair, then judgement.

`run(Options(seed=7))` draws everything else out of the seed: powers, clocks, links, faults, who lies. The same code and
the same options give the same run, event by event.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable

from attrs import evolve, field, frozen

from .checkers import Violation
from .executor import CountingMachine, ExchangeMachine
from .faults import Weather, weather_for
from .node import Parts
from .setting import setting
from .simulation import Simulation
from .trace import Describe, Names, Trace

BAD_WEATHER_MS = 20_000
HEALING_MS_MAX = 180_000
"""Views double their timeouts; after a bad time the next change may be a minute away."""
BLOCKS_AFTER = 3
"""Of progress that is demanded once the weather is fair."""


@frozen(kw_only=True)
class Options:
    """`liars` None: some seeds have as many as the protocol bears, others none."""

    seed: int
    validators: int = 4
    engine: str = "pbft"
    liars: bool | None = None
    exchange: bool = False
    focus: str = ""
    """A kind of fault (`faults.KINDS`) that there is most of; without it the seed decides."""


@frozen(kw_only=True)
class Outcome:
    """`failure` is empty when all went well."""

    options: Options
    failure: str
    blocks: int
    transactions: int
    events: int
    virtual_ms: int
    crashes: int
    details: str = field(default="", repr=False)


def run(
    options: Options, parts: Parts, *, write: Callable[[str], None] | None = None, describe: Describe | None = None
) -> Outcome:
    simulation, weather = prepare(options, parts, write=write, describe=describe)
    failure = details = ""
    try:
        play(simulation, weather)
    except Violation as violation:
        failure = str(violation)
    except Exception as error:  # noqa: BLE001  # whatever breaks in the code under test is what is looked for
        failure = f"broken: {type(error).__name__}: {error}"
        details = traceback.format_exc()
    simulation.tell("", f"=== {failure or 'all is well'}")
    return Outcome(
        options=options,
        failure=failure,
        details=details,
        blocks=simulation.checkers.finals,
        transactions=len(simulation.clients.acknowledged),
        events=simulation.schedule.done,
        virtual_ms=simulation.schedule.now_ms,
        crashes=sum(node.life // 2 for node in simulation.nodes()),
    )


def prepare(
    options: Options, parts: Parts, *, write: Callable[[str], None] | None = None, describe: Describe | None = None
) -> tuple[Simulation, Weather]:
    dice = random.Random(f"photon/{options.seed}/{options.validators}")  # noqa: S311  # a replay, no secret
    powers = draw_powers(dice, options.validators)
    where = setting(powers, options.engine)
    lies = dice.random() < 0.3 if options.liars is None else options.liars
    liars = draw_liars(dice, powers) if lies else ()
    trace = None
    if write is not None:
        names = Names([key.public for key in where.keys])
        trace = Trace(names, write, describe or _by_size)
    simulation = Simulation(
        where,
        evolve(parts, machine=ExchangeMachine if options.exchange else CountingMachine),
        random.Random(dice.getrandbits(64)),  # noqa: S311
        liars=liars,
        clients=dice.randint(1, 5),
        trace=trace,
    )
    simulation.tell("", f"=== powers {powers}, liars {liars}")
    return simulation, weather_for(simulation, dice, options.focus)


def _by_size(message: bytes, _names: Names) -> str:
    return f"{len(message)} bytes"


def play(simulation: Simulation, weather: Weather) -> None:
    """Violation when something is wrong."""
    weather.begin()
    weather.deal()
    simulation.start()
    simulation.schedule.run(BAD_WEATHER_MS)
    simulation.clients.closed = True
    weather.clear()
    heal(simulation)
    simulation.checkers.ended({node.name: node.disk for node in simulation.honest()}, simulation.clients.acknowledged)


def heal(simulation: Simulation) -> None:
    """Nothing fails any more: all honest nodes must get some blocks further, and all transactions into them."""
    wanted = simulation.checkers.finals + BLOCKS_AFTER
    honest = [node.name for node in simulation.honest()]

    def enough() -> bool:
        return not simulation.clients.waiting and all(simulation.heads[name] >= wanted for name in honest)

    since_ms = simulation.schedule.now_ms
    if not simulation.schedule.run(since_ms + HEALING_MS_MAX, enough):
        heads = {name: simulation.heads[name] for name in honest}
        raise Violation(
            f"liveness: {HEALING_MS_MAX} ms after everything was mended {simulation.clients.waiting} transactions "
            f"wait, and heads are {heads}; wanted was {wanted}"
        )


def draw_powers(dice: random.Random, validators: int) -> tuple[int, ...]:
    """Mostly all alike."""
    if dice.random() < 0.7:
        return (1,) * validators
    return tuple(dice.randint(2, 4) for _ in range(validators))


def draw_liars(dice: random.Random, powers: tuple[int, ...]) -> tuple[int, ...]:
    """As many as a quorum can be had without, and less than a third of the power."""
    total = sum(powers)
    left = total - (total * 2 // 3 + 1)
    liars = []
    first = [0] if dice.random() < 0.5 else []  # who proposes first
    for one in first + [one for one in dice.sample(range(len(powers)), len(powers)) if one not in first]:
        if powers[one] <= left:
            left -= powers[one]
            liars.append(one)
    return tuple(sorted(liars))
