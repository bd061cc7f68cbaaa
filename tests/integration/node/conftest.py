"""A real node in this process: see `photon_core.testing.live_node`. Real processes: see `live_cluster`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from photon_core.testing.live_node import LiveChain

sys.path.append(str(Path(__file__).parent))  # for `import live_cluster`: these folders are no packages

from live_cluster import Cluster
from payer import Payer


@pytest.fixture
def chain(tmp_path: Path) -> LiveChain:
    return LiveChain(tmp_path)


@pytest.fixture
def new_cluster(tmp_path: Path) -> Iterator[Callable[..., Awaitable[tuple[Cluster, list[Payer]]]]]:
    """Makes clusters that end with their test whatever happens in it, and payers with money."""
    clusters: list[Cluster] = []

    async def make(*, consensus: str = "pbft", payers: int = 2, **how_many: int) -> tuple[Cluster, list[Payer]]:
        cluster = Cluster(tmp_path, consensus=consensus)
        clusters.append(cluster)
        purses = [Payer(cluster.urls) for _ in range(payers)]
        await cluster.make(accounts=[each.key.address for each in purses], **how_many)
        for each in purses:
            each.chain_id = cluster.chain_id
        return cluster, purses

    yield make
    for cluster in clusters:
        cluster.close()
