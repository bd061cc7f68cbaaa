"""`python -m photon_core.testing.sim --seed 7 --validators 4 --trace`, or `--seeds 0:2000 --jobs 2`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click
from attrs import evolve

import photon_core

from . import Options, Outcome, Parts, engine_named, run
from .faults import KINDS


@click.command()
@click.option("--seed", type=int, help="One run.")
@click.option("--seeds", metavar="FROM:TO", help="Many runs, the last excluded.")
@click.option("--validators", type=click.IntRange(1, 32), default=4, show_default=True)
@click.option("--engine", default="pbft", show_default=True, help="An installed plugin, consensus_NAME.")
@click.option("--set", "settings", metavar="NAME=NUMBER", multiple=True, help="Configuration of the engine.")
@click.option("--liars/--no-liars", default=None, help="Whether validators lie; without it the seed decides.")
@click.option("--focus", type=click.Choice(KINDS), help="Mostly this kind of fault.")
@click.option("--exchange", is_flag=True, help="The real exchange instead of a cheap one.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--trace", is_flag=True, help="Say what happens, line by line.")
def main(
    seed: int | None,
    seeds: str | None,
    validators: int,
    engine: str,
    settings: tuple[str, ...],
    liars: bool | None,
    focus: str | None,
    exchange: bool,
    jobs: int,
    trace: bool,
) -> None:
    """Simulate whole networks; exit with 1 when something is wrong, and say which seed shows it."""
    if (seed is None) == (seeds is None):
        raise click.UsageError("give either --seed or --seeds")
    numbers = range(seed, seed + 1) if seed is not None else _range(seeds or "")
    click.echo(f"photon {photon_core.__version__}, commit {_commit()}")
    options = Options(seed=0, validators=validators, engine=engine, liars=liars, exchange=exchange, focus=focus or "")
    started = time.perf_counter()
    failed = blocks = done = 0
    for outcome in _outcomes(partial(_run, settings, trace and jobs == 1), options, numbers, jobs):
        done, blocks, failed = done + 1, blocks + outcome.blocks, failed + bool(outcome.failure)
        if outcome.failure or seed is not None:
            click.echo(_told(outcome, settings))
    seconds = time.perf_counter() - started
    click.echo(f"{done} runs, {failed} failed, {blocks} blocks, {seconds / max(done, 1):.3f} s each")
    sys.exit(1 if failed else 0)


def _range(text: str) -> range:
    first, _, last = text.partition(":")
    if not (first.isdigit() and last.isdigit()):
        raise click.UsageError(f"--seeds: expected FROM:TO, found {text!r}")
    return range(int(first), int(last))


def _outcomes(
    one: Callable[[Options], Outcome], options: Options, numbers: Iterable[int], jobs: int
) -> Iterator[Outcome]:
    every = (evolve(options, seed=number) for number in numbers)
    if jobs == 1:
        yield from map(one, every)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(one, every, chunksize=8)


def _run(settings: tuple[str, ...], trace: bool, options: Options) -> Outcome:
    table = {name: int(number) for name, _, number in (setting.partition("=") for setting in settings)}
    parts = Parts(engine=engine_named(options.engine, table or None))
    return run(options, parts, write=click.echo if trace else None)


def _told(outcome: Outcome, settings: tuple[str, ...]) -> str:
    options = outcome.options
    flags = f"--seed {options.seed} --validators {options.validators} --engine {options.engine}"
    if options.liars is not None:
        flags += " --liars" if options.liars else " --no-liars"
    flags += "".join(f" --set {setting}" for setting in settings)
    flags += f" --focus {options.focus}" if options.focus else ""
    flags += " --exchange" if options.exchange else ""
    return (
        f"seed {options.seed}, {options.validators} validators: {outcome.failure or 'all is well'}\n"
        f"  {outcome.blocks} blocks, {outcome.transactions} transactions, {outcome.crashes} crashes, "
        f"{outcome.events} events, {outcome.virtual_ms} ms of virtual time\n"
        f"  again: python -m photon_core.testing.sim {flags} --trace\n{outcome.details}"
    ).rstrip()


def _commit() -> str:
    """Of the checkout that this runs from."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    main()
