"""Power: how much is enough, and what follows from it. And what the engine will not be configured with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pbft_cluster import Cluster
from pbft_node import key_of

from photon_consensus_pbft.config import TIMEOUT_MAX_MS, WINDOW_MAX, PbftConfig
from photon_consensus_pbft.engine import PbftEngine
from photon_consensus_pbft.membership import Membership
from photon_core.api import consensus as api
from photon_core.api.chain import Validator, ValidatorSet
from photon_core.api.errors import LocalProtocolError

POWERS = st.lists(st.integers(1, 2**53), min_size=1, max_size=10)


def members_of(powers: list[int], tenure_blocks: int = 100) -> Membership:
    validators = tuple(Validator(key=key_of(i), power=power) for i, power in enumerate(powers))
    return Membership(ValidatorSet(validators=validators), tenure_blocks)


@given(POWERS, st.data())
def test_two_quorums_share_more_power_than_liars_have(powers: list[int], data: st.DataObject) -> None:
    """Paper, section 3: resilience is optimal, 3f + 1. Here f is power: all that is less than a third."""
    members = members_of(powers)
    everybody = range(len(powers))
    one, other = (data.draw(st.sets(st.sampled_from(everybody))) for _ in range(2))
    if all(members.is_quorum(members.power(quorum)) for quorum in (one, other)):
        shared = members.power(one & other)
        assert 3 * shared > members.total_power
        assert members.is_weak(shared)


@given(POWERS)
def test_the_honest_are_a_quorum_and_liars_are_not_even_weak(powers: list[int]) -> None:
    members = members_of(powers)
    liars_power = (members.total_power - 1) // 3
    assert members.is_quorum(members.total_power - liars_power)
    assert not members.is_weak(liars_power)


@given(st.integers(0, 2**60), st.integers(0, 2**60))
def test_the_next_view_and_the_next_tenure_are_the_next_validators_turn(view: int, height: int) -> None:
    members = members_of([1] * 7)
    turn = members.primary(view, height)
    assert members.primary(view + 1, height) == members.primary(view, height + 100) == (turn + 1) % 7


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"window": WINDOW_MAX + 1},
        {"tenure_blocks": 0},
        {"view_change_timeout_ms": 9},
        {"view_change_timeout_ms": TIMEOUT_MAX_MS + 1},
    ],
)
def test_settings_have_bounds(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PbftConfig(**wrong)


def test_another_plugins_settings_are_a_bug_of_the_caller() -> None:
    context = api.EngineContext(
        chain_id=bytes(32), validators=Cluster().validators, own_key=None, config={"tenure_blocks": 1}
    )
    with pytest.raises(LocalProtocolError, match="not by dict"):
        PbftEngine(context)


def test_the_validators_of_genesis_stay() -> None:
    """Sets that change at epoch borders are not built: refused, not half done."""
    cluster = Cluster().start()
    engine = cluster.nodes[0].engine
    engine.step(api.ValidatorsChanged(validators=cluster.validators, from_height=9), 0)
    with pytest.raises(LocalProtocolError, match="for ever"):
        engine.step(api.ValidatorsChanged(validators=Cluster(powers=(1,)).validators, from_height=9), 0)


def test_restored_comes_once() -> None:
    node = Cluster().start().nodes[0]
    with pytest.raises(LocalProtocolError, match="once"):
        node.engine.step(api.Restored(records=(), height=0, block_hash=bytes(32), certificate=None), 0)
