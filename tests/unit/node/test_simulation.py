"""A validator and followers over a network that loses, doubles and reorders, on machines that crash: all agree."""

from __future__ import annotations

import pytest

from photon_core.chain.keys import KeyPurpose, from_seed
from photon_core.node import steps
from photon_core.testing.node import Faults, Network, SimulatedNode, transfer

PEOPLE = [from_seed(bytes([n]) * 32, KeyPurpose.ACCOUNT) for n in range(1, 4)]
HEAVY = Faults(lost=0.5, doubled=0.3, crash=0.03)
QUIET_CRASHES = Faults(lost=0, doubled=0, crash=0.1)
ROUNDS = 40


def storm(network: Network, nodes: list[SimulatedNode], faults: Faults) -> None:
    for ticket in range(ROUNDS):
        node = network.random.choice(nodes)
        key = network.random.choice(PEOPLE)
        executor, pool = node.core.executor, node.core.mempool
        first = pool.next_sequence(key.address, executor.standing_of(key.address).sequence)
        batch = [transfer(node.chain_id, first + n, key=key) for n in range(network.random.randrange(1, 4))]
        network.submit(node, batch, ticket)
        network.run(25, faults)


@pytest.mark.parametrize("faults", [Faults(), HEAVY, QUIET_CRASHES], ids=["some", "heavy", "crashes"])
@pytest.mark.parametrize("seed", range(8))
def test_everybody_comes_to_the_same_roots(seed: int, faults: Faults) -> None:
    network = Network(seed, *PEOPLE)
    nodes = [network.add(validator=True), network.add(), network.add()]
    storm(network, nodes, faults)
    assert network.crashes, f"seed {seed} crashed nobody: it shows nothing"
    before = [node.roots() for node in nodes]
    network.heal()

    for node, earlier in zip(nodes, before, strict=True):
        assert not node.halts
        assert node.roots() == nodes[0].roots()
        assert node.roots()[: len(earlier)] == earlier, "what was certified stays"
    assert sum(len(block.transactions) for block in nodes[0].blocks) > 0


@pytest.mark.parametrize("seed", range(4))
def test_all_that_waits_gets_into_a_block_once_the_network_heals(seed: int) -> None:
    """Progress: gossip that was lost is told again."""
    network = Network(seed, *PEOPLE)
    nodes = [network.add(validator=True), network.add()]
    storm(network, nodes, Faults(lost=0.7, doubled=0.1, crash=0))
    network.heal()
    network.run(3_000)
    assert [len(node.core.mempool) for node in nodes] == [0, 0]


def test_one_seed_is_one_run() -> None:
    runs = []
    for _ in range(2):
        network = Network(5, *PEOPLE)
        nodes = [network.add(validator=True), network.add()]
        storm(network, nodes, Faults())
        runs.append([node.roots() for node in nodes])
    assert runs[0] == runs[1]


def test_money_that_moved_is_where_it_should_be() -> None:
    network = Network(1, *PEOPLE)
    nodes = [network.add(validator=True), network.add()]
    storm(network, nodes, Faults())
    network.heal()
    receiver = b"\x77" * 20
    done = sum(len(block.transactions) for block in nodes[0].blocks)
    for node in nodes:
        assert node.core.executor.standing_of(receiver).balance_uptn == done
    assert all(isinstance(answer, steps.Answer) for answer in nodes[0].answers)
