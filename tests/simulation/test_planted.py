"""Bugs are planted, and the simulator must find each: a simulator that finds nothing has not been seen to work.

Which seed finds which is in `planted.json` and, for people, in docs/testing.md. A change of engine or core moves that;
then seeds are tried from the first one on, and the bug must be found within its bound all the same.
`pytest tests/simulation --write-planted` writes both anew.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from photon_core.testing.sim import Options, Outcome, Parts, engine_named, run

from .planted import CONTROLS, PLANTS, Plant

TABLE = Path(__file__).with_name("planted.json")
PAGE = Path(__file__).parents[2] / "docs/testing.md"
BEGIN, END = "<!-- planted bugs: begin -->", "<!-- planted bugs: end -->"
SEEDS_MAX = 400
"""So many runs, of four and of seven validators in turn, must find any of them."""
NAMES = [plant.name for plant in PLANTS]


def attempt(plant: Plant, number: int) -> Outcome:
    """The runs that are made for a plant have numbers: seed and size follow from them."""
    parts = Parts(engine=engine_named("pbft", {"tenure_blocks": 7}))
    with plant.planted():
        options = Options(seed=number, validators=7 if number % 2 else 4, liars=plant.liars, focus=plant.focus)
        return run(options, plant.parts(parts))


def search(plant: Plant) -> Outcome | None:
    return next((outcome for number in range(SEEDS_MAX) if (outcome := attempt(plant, number)).failure), None)


def found(outcome: Outcome) -> dict[str, Any]:
    rule = outcome.failure.partition(":")[0]
    return {"run": outcome.options.seed, "validators": outcome.options.validators, "by": rule}


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("plant", PLANTS, ids=NAMES)
def test_planted_bugs_are_found(plant: Plant, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--write-planted"):
        outcome = search(plant)
        assert outcome is not None, f"not found in {SEEDS_MAX} runs: the simulator is too mild"
        table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
        table[plant.name] = found(outcome)
        TABLE.write_text(json.dumps({name: table[name] for name in NAMES if name in table}, indent=1) + "\n")
        return
    known = json.loads(TABLE.read_text())[plant.name]
    if not attempt(plant, known["run"]).failure:
        if plant.rare:
            pytest.skip("the code has changed since the table was written, and another run would take minutes to find")
        assert search(plant) is not None, f"not found in {SEEDS_MAX} runs: the simulator is too mild"


@pytest.mark.parametrize("control", CONTROLS, ids=[control.name for control in CONTROLS])
def test_what_only_looks_like_a_bug_is_not_found(control: Plant) -> None:
    for number in range(8):
        assert not (outcome := attempt(control, number)).failure, f"run {number}: {outcome.failure}"


def test_the_page_has_the_table(request: pytest.FixtureRequest) -> None:
    rows = ["| planted | what is wrong | runs until found | found by |", "|---|---|---|---|"]
    table = json.loads(TABLE.read_text())
    for plant in PLANTS:
        known = table[plant.name]
        where = f"{known['run'] + 1} (of {known['validators']} validators)"
        where += f", mostly `{plant.focus}`" if plant.focus else ""
        rows.append(f"| {plant.name} | {plant.what} | {where} | {known['by']} |")
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    wanted = f"{before}{BEGIN}\n\n" + "\n".join(rows) + f"\n\n{END}{after}"
    if request.config.getoption("--write-planted"):
        PAGE.write_text(wanted)
    assert text == wanted or request.config.getoption("--write-planted"), "pytest tests/simulation --write-planted"
