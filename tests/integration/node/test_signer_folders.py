"""Validators that start with another signer folder than the one they stopped with, among three that know better."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from live_cluster import Cluster, Member, eventually
from payer import Payer

from photon_core.api.consensus import IN_FLIGHT_MAX
from photon_core.node.signer import SIGNER_FOLDER
from photon_core.node.signer.recovery import ENGINE_FOLDER

BATCH = 5
SOON_S = 20.0
MARK_BLOCKS = 2 * IN_FLIGHT_MAX
"""So far past the newest certificate a validator with an old store signs nothing."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
NewCluster = Callable[..., Awaitable[tuple[Cluster, list[Payer]]]]


async def test_a_store_older_than_the_chain_abstains_until_past_the_mark(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster, (payer, other) = await new_cluster(followers=0)
    await cluster.start(warm=True)
    victim, second = cluster.validators[:2]
    await payer.pay()
    victim.stop()
    shutil.copytree(victim.home / SIGNER_FOLDER, tmp_path / "old store")
    shutil.copytree(victim.home, tmp_path / "old home")
    await victim.start(warm=True)
    await cluster.caught_up(victim, SOON_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.pay_for_ever, BATCH)
        await signs(victim)
        for restored, copy in ((victim.home / SIGNER_FOLDER, "old store"), (victim.home, "old home")):
            victim.stop()
            shutil.rmtree(restored)
            shutil.copytree(tmp_path / copy, restored)
            await abstains_and_signs_again(cluster, victim)
        second.stop()
        with trio.fail_after(SOON_S):
            await payer.pay()  # one of four is away: without this vote nothing would be committed
        await second.start(warm=True)
        await cluster.caught_up(second, SOON_S)
        nursery.cancel_scope.cancel()
    await cluster.all_agree()
    for member in cluster.validators:
        consensus = (await member.status()).consensus
        assert consensus is not None
        assert consensus.evidence == 0, f"{member.name} has proof that a validator contradicted itself"


async def abstains_and_signs_again(cluster: Cluster, victim: Member) -> None:
    await victim.start(warm=True)
    begun_at = (await cluster.validators[-1].status()).height
    says = await eventually(lambda: signer_of(victim), lambda says: says.startswith("silent up to height"), SOON_S)
    assert "does not know" in says, says
    await cluster.caught_up(victim, SOON_S)
    first = await first_signed(victim, begun_at)
    assert first >= begun_at + MARK_BLOCKS - IN_FLIGHT_MAX, f"it signed block {first}, and was back at {begun_at}"
    await eventually(lambda: signer_of(victim), lambda says: says == "signing", SOON_S)


async def signer_of(member: Member) -> str:
    consensus = (await member.status()).consensus
    assert consensus is not None
    return consensus.signer


async def signs(member: Member) -> int:
    return await first_signed(member, (await member.status()).height)


async def first_signed(member: Member, above: int) -> int:
    """The first height whose certificate holds its signature. Not each does: the first of a quorum make it."""
    key = bytes.fromhex(member.facts["consensus_key"])
    async with member.client() as node:
        for height in itertools.count(above + 1):
            block = await eventually(
                partial(node.block, height), lambda block: block is not None and block.certificate is not None, SOON_S
            )
            assert block is not None
            assert block.certificate is not None
            if any(signature.validator == key for signature in block.certificate.signatures):
                return height
    raise AssertionError("there is always another height")


async def test_a_store_that_is_missing_or_another_s_is_refused_with_the_reason(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster, (payer, _) = await new_cluster(followers=0)
    await cluster.start(warm=True)
    victim, second = cluster.validators[:2]
    await payer.pay()
    victim.stop()
    store, kept = victim.home / SIGNER_FOLDER, tmp_path / "kept"
    store.rename(kept)
    shutil.copytree(kept, tmp_path / "whole")

    error = await victim.refused()
    assert error["code"] == "signer-store-missing"
    assert str(store) in error["where"]
    assert "photon validator recover" in error["remedy"]

    shutil.copytree(second.home / SIGNER_FOLDER, store)
    error = await victim.refused()
    assert error["code"] == "signer-store-of-another-key"
    assert victim.facts["consensus_key"] in error["expected"]
    assert second.facts["consensus_key"] in error["found"]

    shutil.rmtree(store)
    (kept / "wal.log").write_bytes(b"")
    kept.rename(store)
    error = await victim.refused()
    assert error["code"] == "signer-store-damaged"

    shutil.rmtree(store)
    shutil.copytree(tmp_path / "whole", store)
    engine = victim.home / ENGINE_FOLDER
    engine.rename(tmp_path / "engine")
    store.rename(tmp_path / "away")
    error = await victim.refused()  # both are away: the store's absence must not begin the log anew
    assert error["code"] == "signer-store-missing"
    (tmp_path / "away").rename(store)
    for lost in ("missing", "empty"):
        if lost == "empty":
            (engine / "wal.log").write_bytes(b"")
        error = await victim.refused()
        assert error["code"] == "engine-log-missing", lost
        assert str(engine) in error["where"]
        assert "photon validator recover" in error["remedy"]
    shutil.rmtree(engine)
    (tmp_path / "engine").rename(engine)
    await victim.start(warm=True)  # the control: both whole
    await cluster.caught_up(victim, SOON_S)

    await payer.pay()  # the others did not mind
    await cluster.all_agree()
