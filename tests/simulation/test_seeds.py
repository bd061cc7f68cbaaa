"""Whole networks under faults, seed by seed. `tox run -e simulation` runs thousands of them."""

import pytest

from photon_core.testing.sim import Options, Parts, engine_named, run

SHORT_TENURE = {"tenure_blocks": 7}
"""So that primaries also change without a view change."""


def explain(options: Options, failure: str, details: str) -> str:
    return (
        f"{failure}\n{details}\npython -m photon_core.testing.sim --seed {options.seed} "
        f"--validators {options.validators} --set tenure_blocks=7 --trace"
    )


@pytest.mark.parametrize(
    ("validators", "first", "count"),
    [*((4, first, 12) for first in range(0, 60, 12)), *((7, first, 8) for first in range(0, 40, 8))],
)
def test_networks_agree_under_faults_and_go_on_when_healed(validators: int, first: int, count: int) -> None:
    parts = Parts(engine=engine_named("pbft", SHORT_TENURE))
    for seed in range(first, first + count):
        options = Options(seed=seed, validators=validators)
        outcome = run(options, parts)
        assert not outcome.failure, explain(options, outcome.failure, outcome.details)


@pytest.mark.parametrize("validators", [4, 7])
def test_networks_with_liars(validators: int) -> None:
    parts = Parts(engine=engine_named("pbft", SHORT_TENURE))
    for seed in range(1_000, 1_006):
        options = Options(seed=seed, validators=validators, liars=True)
        outcome = run(options, parts)
        assert not outcome.failure, explain(options, outcome.failure, outcome.details)


@pytest.mark.parametrize("seed", [3031, 3044])
def test_runs_that_have_shown_a_fault(seed: int) -> None:
    """A head was told once. Who missed that, in a chain that stood still for want of its vote, waited for ever."""
    options = Options(seed=seed, liars=True)
    outcome = run(options, Parts(engine=engine_named("pbft", {"tenure_blocks": 5})))
    assert not outcome.failure, f"{outcome.failure}\n{outcome.details}"


def test_the_real_exchange() -> None:
    options = Options(seed=3, exchange=True)
    outcome = run(options, Parts(engine=engine_named("pbft")))
    assert not outcome.failure, explain(options, outcome.failure, outcome.details)
    assert outcome.transactions


def test_one_validator_alone() -> None:
    for seed in range(10):
        outcome = run(Options(seed=seed, validators=1, engine="solo", liars=False), Parts(engine=engine_named("solo")))
        assert not outcome.failure, f"seed {seed}: {outcome.failure}\n{outcome.details}"


def test_one_seed_is_one_run() -> None:
    def told() -> list[str]:
        lines: list[str] = []
        run(Options(seed=11, validators=4), Parts(engine=engine_named("pbft")), write=lines.append)
        return lines

    first = told()
    assert len(first) > 100
    assert first == told()
