"""What core has written: in order, each answered once it is on the disk, and an engine's log beside the blocks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from attrs import define, field

from photon_core.api.errors import LocalProtocolError
from photon_core.node import steps
from photon_core.node.disk import Disk
from photon_core.node.storage import Storage
from photon_core.testing.exchange import LowestPrice
from photon_core.testing.node import Network, SimulatedNode, transfer


@define
class Opened:
    disk: Disk
    storage: Storage
    done: list[steps.Input] = field(factory=list)

    async def answered(self, count: int) -> list[steps.Input]:
        with trio.fail_after(10):
            while len(self.done) < count:
                await trio.testing.wait_all_tasks_blocked(0.001)
        return self.done


@pytest.fixture(scope="module")
def source() -> SimulatedNode:
    network = Network(5)
    node = network.add(validator=True)
    for height in range(3):
        network.submit(node, [transfer(node.chain_id, height)], height)
        while len(node.certificates) <= height:
            network.step()
    return node


@asynccontextmanager
async def opened(folder: Path, source: SimulatedNode, *, votes: bool = True) -> AsyncIterator[Opened]:
    storage = Storage.open(folder, source.genesis, lambda _rule: LowestPrice(), votes=votes)
    done: list[steps.Input] = []
    disk = Disk(storage, done.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.run)
        yield Opened(disk, storage, done)
        nursery.cancel_scope.cancel()
    storage.close()


async def test_blocks_and_certificates_in_the_order_in_which_they_were_named(
    tmp_path: Path, source: SimulatedNode
) -> None:
    async with opened(tmp_path, source) as made:
        for block in source.blocks:
            made.disk.write(steps.WriteBlock(block=block, certificate=None))
        for certificate in source.certificates[:2]:
            made.disk.write(steps.WriteCertificate(certificate=certificate))
        assert await made.answered(5) == [
            *(steps.BlockWritten(height=height) for height in (1, 2, 3)),
            *(steps.CertificateWritten(height=height) for height in (1, 2)),
        ]
        assert (made.storage.log.height, made.storage.log.certified_height) == (3, 2)


async def test_an_engine_finds_again_what_it_persisted_and_did_not_forget(
    tmp_path: Path, source: SimulatedNode
) -> None:
    def persist(token: int) -> steps.PersistRecords:
        block = source.blocks[token - 1]
        return steps.PersistRecords(token=token, height=token, records=(bytes([token]),), blocks=(block,))

    async with opened(tmp_path, source) as made:
        for token in (1, 2):
            made.disk.persist(persist(token))
        made.disk.persist(steps.ForgetRecords(below_height=2))
        await made.answered(2)
        made.disk.persist(persist(3))
        assert await made.answered(3) == [steps.RecordsPersisted(token=token) for token in (1, 2, 3)]
    async with opened(tmp_path, source) as made:
        started = made.storage.started()
        assert started.engine_records == (b"\x02", b"\x03")
        assert [block for block, _ in started.contents] == source.blocks[1:]


async def test_a_node_that_follows_has_nothing_to_persist(tmp_path: Path, source: SimulatedNode) -> None:
    async with opened(tmp_path, source, votes=False) as made:
        with pytest.raises(LocalProtocolError):
            made.disk.persist(steps.ForgetRecords(below_height=1))
