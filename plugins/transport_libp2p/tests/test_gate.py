"""Places, without sockets."""

from __future__ import annotations

import pytest

from photon_core.api.transport import LINKS_KEPT, LINKS_MAX, Standing
from photon_transport_libp2p.config import Libp2pConfig
from photon_transport_libp2p.gate import Gate, Pending


class Caller(list):
    """A connection: the reasons it was evicted for."""

    def arrive(self, gate: Gate, network: str) -> Pending:
        pending = Pending(network, self.append)
        gate.arrive(pending)
        return pending


def test_newcomer_of_a_full_address_pushes_out_its_oldest() -> None:
    gate = Gate(Libp2pConfig(pending_per_address_max=2))
    callers = [Caller() for _ in range(3)]
    for caller in callers:
        caller.arrive(gate, "10.0.0.1")
    assert [len(caller) for caller in callers] == [1, 0, 0]


def test_full_gate_costs_the_address_that_has_most() -> None:
    gate = Gate(Libp2pConfig(pending_max=3))
    flood, honest = [Caller() for _ in range(3)], Caller()
    for caller in flood:
        caller.arrive(gate, "10.0.0.1")
    honest.arrive(gate, "10.0.0.2")
    assert [len(caller) for caller in (*flood, honest)] == [1, 0, 0, 0]
    assert gate.pending == 3


def test_leaving_is_idempotent() -> None:
    gate = Gate(Libp2pConfig())
    pending = Caller().arrive(gate, "10.0.0.1")
    gate.leave(pending)
    gate.leave(pending)
    assert gate.pending == 0


def test_strangers_leave_places_for_others() -> None:
    gate = Gate(Libp2pConfig(strangers_max=3, strangers_per_address_max=2))
    for _ in range(2):
        assert gate.refusal(Standing.STRANGER, "10.0.0.1") is None
        gate.take(Standing.STRANGER, "10.0.0.1")
    assert "of one address" in str(gate.refusal(Standing.STRANGER, "10.0.0.1"))
    gate.take(Standing.STRANGER, "10.0.0.2")
    assert "places for strangers" in str(gate.refusal(Standing.STRANGER, "10.0.0.3"))
    assert gate.refusal(Standing.VALIDATOR, "10.0.0.1") is None
    gate.give_back(Standing.STRANGER, "10.0.0.1")
    assert gate.refusal(Standing.STRANGER, "10.0.0.1") is None


def test_followers_of_one_address_keep_nobody_else_out() -> None:
    gate, config = Gate(Libp2pConfig()), Libp2pConfig()
    while gate.refusal(Standing.FOLLOWER, "10.0.0.1") is None:
        gate.take(Standing.FOLLOWER, "10.0.0.1")
    assert "places for followers of one address" in str(gate.refusal(Standing.FOLLOWER, "10.0.0.1"))
    for standing in (Standing.PEER, Standing.VALIDATOR, Standing.STRANGER):
        assert gate.refusal(standing, "10.0.0.1") is None
    for number in range(config.followers_max - config.followers_per_address_max):
        gate.take(Standing.FOLLOWER, f"10.0.1.{number}")
    assert "places for followers are taken" in str(gate.refusal(Standing.FOLLOWER, "10.0.0.2"))


def test_places_are_kept_whatever_the_configuration_says() -> None:
    gate = Gate(Libp2pConfig(strangers_max=1000, strangers_per_address_max=1000, followers_max=1000))
    for number in range(LINKS_MAX - LINKS_KEPT):
        assert gate.refusal(Standing.STRANGER, "10.0.0.1") is None
        gate.take(Standing.STRANGER if number % 2 else Standing.FOLLOWER, "10.0.0.1")
    assert "for validators and peers" in str(gate.refusal(Standing.FOLLOWER, "10.0.0.2"))
    for _ in range(LINKS_KEPT):
        assert gate.refusal(Standing.PEER, "10.0.0.1") is None
        gate.take(Standing.PEER, "10.0.0.1")
    assert gate.refusal(Standing.PEER, "10.0.0.1") is not None


@pytest.mark.parametrize("standing", [Standing.PEER, Standing.VALIDATOR])
def test_all_places_are_bounded(standing: Standing) -> None:
    gate = Gate(Libp2pConfig())
    for _ in range(LINKS_MAX):
        gate.take(standing, "10.0.0.1")
    assert "places are taken" in str(gate.refusal(standing, "10.0.0.1"))
