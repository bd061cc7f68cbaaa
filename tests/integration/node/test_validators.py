"""Four real validators in one process: real disks, real HTTP, PBFT, links in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from photon_core.api.ids import Hash
from photon_core.node import links
from photon_core.testing.live_node import POOR, LiveNetwork

pytest.importorskip("photon_consensus_pbft")

SOON_S = 20.0
"""For what must happen: long enough for a slow machine, and nobody waits for it when all is well."""


async def final_at(network: LiveNetwork, number: int, height: int) -> Hash:
    """Waits until a node has a block of this height, certified. The state root that it was certified with."""
    async with network.client(number) as client:
        while (await client.status()).height < height:  # noqa: ASYNC110  # as clients of another process wait
            await trio.sleep(0.02)
        block = await client.block(height)
    assert block is not None
    assert block.certificate is not None
    return block.certificate.statement.state_root


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[LiveNetwork]:
    with trio.fail_after(60):
        yield LiveNetwork(tmp_path, validators=4, followers=1)


async def test_blocks_flow_and_a_follower_follows(network: LiveNetwork) -> None:
    async with network.running(), network.client(4) as follower, network.client(1) as validator:
        submitted = await validator.submit([network.transaction(n) for n in range(20)], wait_s=SOON_S)
        assert {one.status for one in submitted} == {"committed"}
        await final_at(network, 4, max(one.height or 0 for one in submitted))  # it knows the sender's next sequence
        (through_follower,) = await follower.submit([network.transaction(20)], wait_s=SOON_S)
        assert through_follower.status == "committed"
        height = through_follower.height
        assert height is not None
        roots = [await final_at(network, number, height) for number in range(5)]
        assert len(set(roots)) == 1
        status = await validator.status()
        assert status.consensus is not None
        assert status.consensus.signer == "signing"
        assert (await follower.status()).consensus is None


async def test_one_of_four_is_away_and_catches_up(network: LiveNetwork) -> None:
    async with network.running(0, 1, 2, 3), network.client(0) as client:
        (first,) = await client.submit([network.transaction(0)], wait_s=SOON_S)
        await network.stop(3)
        while_away = await client.submit([network.transaction(n) for n in range(1, 4)], wait_s=SOON_S)
        assert {one.status for one in (first, *while_away)} == {"committed"}
        await network.start(3)
        height = (await client.status()).height
        assert len({await final_at(network, number, height) for number in range(4)}) == 1
        async with network.client(3) as returned:
            (last,) = await returned.submit([network.transaction(4)], wait_s=SOON_S)
            assert last.status == "committed"


async def test_all_four_stop_and_go_on(network: LiveNetwork) -> None:
    async with network.running(0, 1, 2, 3), network.client(0) as client:
        await client.submit([network.transaction(n) for n in range(3)], wait_s=SOON_S)
    async with network.running(0, 1, 2, 3), network.client(2) as client:
        (again,) = await client.submit([network.transaction(3)], wait_s=SOON_S)
        assert again.status == "committed"
        account = await client.account(POOR.address)
        assert account is not None
        assert account.balance_uptn == 1_000_000 + 4


async def test_what_gossip_did_not_bring_is_fetched(network: LiveNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proposals name transactions by id: whoever lacks them asks the validator that proposed."""
    monkeypatch.setattr(links.Links, "tell_transactions", lambda *_: None)
    async with network.running(0, 1, 2, 3):
        for number in range(4):  # the primary is one of them
            async with network.client(number) as client:
                submitted = await client.submit([network.transaction(n) for n in range(3)], wait_s=2)
                if {one.status for one in submitted} == {"committed"}:
                    break
        height = max(one.height or 0 for one in submitted)
        assert height
        assert len({await final_at(network, number, height) for number in range(4)}) == 1
