"""One validator that orders alone: its states, and a network of cores on it."""

from __future__ import annotations

import pytest

from photon_consensus_solo.engine import SoloEngine
from photon_core.api import consensus as api
from photon_core.api.chain import Validator, ValidatorSet
from photon_core.api.errors import LocalProtocolError, PeerProtocolError, UsageError
from photon_core.testing.checks.consensus import CHAIN_ID, KEY, VALIDATORS, proposal_on
from photon_core.testing.node import Faults, Network, transfer

GENESIS = b"\x01" * 32


def restored(own_key: bytes | None = KEY.public) -> SoloEngine:
    engine = SoloEngine(api.EngineContext(chain_id=CHAIN_ID, validators=VALIDATORS, own_key=own_key, config=None))
    assert engine.step(api.Restored(records=(), height=0, block_hash=GENESIS, certificate=None), 0) == ()
    return engine


def test_a_proposal_it_asked_for_is_final_as_soon_as_it_exists() -> None:
    engine = restored()
    assert engine.step(api.WorkWaiting(), 0) == (api.BuildProposal(height=1, parent=GENESIS),)
    proposal = proposal_on(GENESIS, 1)
    commit, _ = engine.step(api.ProposalBuilt(proposal=proposal), 0)
    assert commit == api.Commit(header=proposal.header, block_hash=proposal.block_hash)


def test_one_block_is_in_flight() -> None:
    engine = restored()
    engine.step(api.WorkWaiting(), 0)
    engine.step(api.ProposalBuilt(proposal=proposal_on(GENESIS, 1)), 0)
    assert engine.step(api.WorkWaiting(), 0) == ()
    assert engine.step(api.ProposalBuilt(proposal=proposal_on(GENESIS, 1)), 0) == (), "nor the same once more"


def test_asked_again_while_building_it_asks_again() -> None:
    """Core may let a request lapse when the work has gone."""
    engine = restored()
    assert engine.step(api.WorkWaiting(), 0) == engine.step(api.WorkWaiting(), 0)


def test_a_proposal_on_another_parent_is_a_bug_of_core() -> None:
    engine = restored()
    engine.step(api.WorkWaiting(), 0)
    with pytest.raises(LocalProtocolError, match="asked for was 1"):
        engine.step(api.ProposalBuilt(proposal=proposal_on(b"\x02" * 32, 1)), 0)


def test_it_has_no_messages() -> None:
    with pytest.raises(PeerProtocolError, match="no messages"):
        restored().inspect(b"vote")


def test_more_than_one_validator_is_refused_with_the_remedy() -> None:
    two = ValidatorSet(validators=(Validator(key=b"\x01" * 32, power=1), Validator(key=b"\x02" * 32, power=1)))
    with pytest.raises(UsageError, match="consensus_pbft"):
        SoloEngine(api.EngineContext(chain_id=CHAIN_ID, validators=two, own_key=None, config=None))


def test_validators_cannot_change() -> None:
    with pytest.raises(LocalProtocolError, match="for ever"):
        restored().step(api.ValidatorsChanged(validators=VALIDATORS, from_height=5), 0)


@pytest.mark.parametrize("seed", range(3))
def test_a_network_of_cores_on_it_agrees_through_crashes(seed: int) -> None:
    network = Network(seed, make_engine=SoloEngine)
    validator, follower = network.add(validator=True), network.add()
    for ticket in range(15):
        node = (validator, follower)[ticket % 2]
        network.submit(node, [transfer(node.chain_id, ticket)], ticket)
        network.run(40, Faults())
    network.heal()
    assert follower.roots() == validator.roots()
    assert not validator.halts
    assert not follower.halts
