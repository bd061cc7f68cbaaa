"""Four engines, everything in any order, lost, doubled or cut off by a crash: they agree, and then go on.

The simulator (`photon_core.testing.sim`) does this to whole nodes; here it is the engine alone, and failures shrink.
"""

from __future__ import annotations

import random
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st
from pbft_cluster import Cluster, Envelope
from pbft_liar import Liar
from pbft_node import key_of

from photon_consensus_pbft.config import PbftConfig
from photon_core.api import consensus as api

WIRE_MAX = 300


def _answer(cluster: Cluster, choice: int) -> None:
    if owing := [node for node in cluster.nodes if node.answers]:
        cluster.answer(owing[choice % len(owing)])


def _deliver(cluster: Cluster, choice: int) -> None:
    if cluster.wire:
        cluster.deliver(_take(cluster, choice))


def _deliver_and_keep(cluster: Cluster, choice: int) -> None:
    if cluster.wire:
        envelope = _take(cluster, choice)
        cluster.wire.append(envelope)
        cluster.deliver(envelope)


def _lose(cluster: Cluster, choice: int) -> None:
    if cluster.wire:
        _take(cluster, choice)


def _take(cluster: Cluster, choice: int) -> Envelope:
    cluster.wire.rotate(-(choice % len(cluster.wire)))
    return cluster.wire.popleft()


def _fetch(cluster: Cluster, _: int) -> None:
    cluster.fetch()


def _finalize(cluster: Cluster, choice: int) -> None:
    cluster.finalize(cluster.nodes[choice % len(cluster.nodes)])


def _work(cluster: Cluster, choice: int) -> None:
    cluster.nodes[choice % len(cluster.nodes)].tell(api.WorkWaiting())


def _timer(cluster: Cluster, _: int) -> None:
    cluster.next_timer(cluster.now_ms + 10**6)


def _crash_or_return(cluster: Cluster, choice: int) -> None:
    node = cluster.nodes[choice % len(cluster.nodes)]
    if node.engine is None:
        node.start()
    else:
        node.crash()


ACTIONS = (
    *[_answer] * 8,
    *[_deliver] * 12,
    *[_fetch] * 2,
    *[_finalize] * 1,
    *[_work] * 1,
    _deliver_and_keep,
    _lose,
    _timer,
    _crash_or_return,
)


def check(cluster: Cluster, steps: list[tuple[int, int]]) -> None:
    """`Node` and `Cluster` check agreement at every commit."""
    cluster.is_random = True
    cluster.start()
    for action, choice in steps:
        ACTIONS[action % len(ACTIONS)](cluster, choice)
        while len(cluster.wire) > WIRE_MAX:
            cluster.wire.popleft()
    for node in cluster.nodes:
        if node.engine is None:
            node.start()
    cluster.order(3, within_ms=40_000)
    assert not cluster.evidence, "all were honest"
    assert not cluster.refused


@settings(max_examples=60, deadline=None)
@given(
    window=st.sampled_from([1, 2, 4]),
    tenure_blocks=st.sampled_from([1, 2, 100]),
    steps=st.lists(st.tuples(st.integers(0, len(ACTIONS) - 1), st.integers(0, 2**16)), max_size=300),
)
def test_whatever_happens_they_agree_and_go_on(window: int, tenure_blocks: int, steps: list[tuple[int, int]]) -> None:
    check(Cluster(config=PbftConfig(window=window, tenure_blocks=tenure_blocks)), steps)


def test_long_runs_of_chance_agree_and_go_on() -> None:
    """Seeded, and longer than what shrinks well: some views and some blocks in each."""
    for seed in range(25):
        chance = random.Random(seed)
        powers = chance.choice([(1,) * 4, (1,) * 7, (5, 1, 3, 2)])
        cluster = Cluster(powers=powers, config=PbftConfig(tenure_blocks=chance.choice([2, 100])))
        steps = [(chance.randrange(len(ACTIONS)), chance.randrange(2**16)) for _ in range(1_500)]
        check(cluster, steps)


def lied_to(seed: int, powers: tuple[int, ...] = (1, 1, 1, 1), steps: int = 1_500) -> Cluster:
    """One validator lies, and the others may crash and lose messages; then it is silent, and they must go on."""
    chance = random.Random(seed)
    tenure_blocks = chance.choice([1, 3, 100])
    cluster = Cluster(powers=powers, config=PbftConfig(tenure_blocks=tenure_blocks), is_random=True)
    liar = Liar(cluster, chance.randrange(len(powers)), chance)
    for node in cluster.nodes:
        if node.index != liar.index:
            node.start()
    for _ in range(steps):
        for envelope in cluster.wire:
            if envelope.target == liar.index:
                liar.listen(envelope)
        cluster.wire = deque(envelope for envelope in cluster.wire if envelope.target != liar.index)
        if chance.random() < 0.15:
            liar.lie()
        action = chance.choice(ACTIONS)
        if action not in (_crash_or_return, _timer) or chance.random() < 0.2:
            honest = chance.choice(liar.honest)
            action(cluster, honest if action in (_crash_or_return, _work, _finalize) else chance.randrange(2**16))
        while len(cluster.wire) > WIRE_MAX:
            cluster.wire.popleft()
    for node in cluster.nodes:
        if node.engine is None and node.index != liar.index:
            node.start()
    cluster.order(3, within_ms=60_000)
    assert {evidence.first.key for evidence in cluster.evidence} <= {key_of(liar.index)}, "an honest one is accused"
    return cluster


def test_one_liar_among_four_neither_divides_nor_stops_them() -> None:
    """Paper, section 3: safety and liveness while no more than ⌊(n - 1) / 3⌋ replicas are faulty, here as liars."""
    runs = [lied_to(seed) for seed in range(40)]
    assert any(cluster.evidence for cluster in runs), "it was caught, too"
