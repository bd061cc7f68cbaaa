"""The node's disk: wherever it is cut off, it opens at a block's border with the same roots; damage is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from photon_core.api.errors import PhotonError
from photon_core.chain.genesis import chain_id
from photon_core.node import steps
from photon_core.node.storage import Storage
from photon_core.testing.exchange import LowestPrice
from photon_core.testing.node import Network, SimulatedNode, node_genesis, transfer

BLOCKS = 5


@pytest.fixture(scope="module")
def source() -> SimulatedNode:
    """A chain of some blocks, made without a disk: what the disk must come to."""
    network = Network(9)
    node = network.add(validator=True)
    for height in range(BLOCKS):
        network.submit(node, [transfer(node.chain_id, 2 * height + n) for n in range(2)], height)
        while len(node.certificates) <= height:
            network.step()
    return node


def opened(folder: Path, source: SimulatedNode) -> Storage:
    return Storage.open(folder, source.genesis, lambda _rule: LowestPrice())


def published(storage: Storage, source: SimulatedNode, height: int) -> steps.Publish:
    """Executes a block that is in the log, as core does, and makes of it what core publishes."""
    (block,) = source.certified(height, 1)
    executed = storage.executor.execute(block.block.header, block.transactions)
    assert storage.update_tree(executed.changes) == block.certificate.statement.state_root
    return steps.Publish(
        block=block.block,
        block_hash=block.certificate.statement.block_hash,
        transaction_ids=tuple(t.id for t in block.transactions),
        certificate=block.certificate,
        market_ms=executed.market_ms,
        begin_events=executed.begin_events,
        receipts=executed.receipts,
    )


def moments(folder: Path, source: SimulatedNode) -> Iterator[tuple[str, int, int]]:
    """Writes the chain, and yields at each point where the power could go: (what, certified height, newest block)."""
    storage = opened(folder, source)
    yield "made", 0, 0
    for height in range(1, BLOCKS + 1):
        block, certificate = source.blocks[height - 1], source.certificates[height - 1]
        storage.write_block(block, None)
        yield "block written", height - 1, height
        effect = published(storage, source, height)
        storage.write_certificate(certificate)
        yield "certificate written", height, height
        storage.publish(effect)
        yield "published", height, height
        if height % 2 == 0:
            storage.flush()
            yield "flushed", height, height
    storage.close()
    yield "closed", BLOCKS, BLOCKS


def test_power_may_go_at_any_point(tmp_path: Path, source: SimulatedNode) -> None:
    for number, (what, certified, newest) in enumerate(moments(tmp_path / "live", source)):
        after = tmp_path / f"after-{number}"
        shutil.copytree(tmp_path / "live", after)
        storage = opened(after, source)
        try:
            where = f"{what}, {certified} of {newest}"
            assert storage.head.height == certified, where
            assert storage.store.height == certified, f"{where}: at start everything certified is flushed"
            if certified:
                assert storage.tree.root == source.roots()[certified - 1], where
            started = storage.started()
            assert [block for block, _ in started.uncertified] == source.blocks[certified:newest], where
            for height in range(1, certified + 1):
                events, detail = storage.archive.block_events(height), storage.archive.block_detail(height)
                assert events is not None
                assert detail is not None
                for transaction_id in detail.transaction_ids:
                    outcome = storage.archive.outcome(transaction_id)
                    assert outcome is not None, f"{where}: a committed transaction was lost"
                    assert outcome[0] == height
        finally:
            storage.close()
        shutil.rmtree(after)


def test_a_torn_write_is_cut_off_and_told(tmp_path: Path, source: SimulatedNode) -> None:
    write_all(tmp_path, source)
    (log,) = (tmp_path / "blocks").glob("blocks-*.log")
    with log.open("ab") as file:
        file.write(b"half a frame")
    storage = opened(tmp_path, source)
    assert storage.head.height == BLOCKS
    assert "cut off 12 bytes" in storage.notes[0]
    storage.close()


def write_all(folder: Path, source: SimulatedNode) -> None:
    for _ in moments(folder, source):
        pass
    opened(folder, source).close()  # which flushes everything


def refused(folder: Path, source: SimulatedNode) -> PhotonError:
    with pytest.raises(PhotonError) as caught:
        opened(folder, source)
    return caught.value


def test_without_its_state_it_is_made_anew_from_the_blocks(tmp_path: Path, source: SimulatedNode) -> None:
    write_all(tmp_path, source)
    shutil.rmtree(tmp_path / "state")
    storage = opened(tmp_path, source)
    assert storage.tree.root == source.roots()[-1]
    storage.close()


def test_a_log_that_is_behind_the_state_is_refused(tmp_path: Path, source: SimulatedNode) -> None:
    write_all(tmp_path, source)
    shutil.rmtree(tmp_path / "blocks")
    error = refused(tmp_path, source)
    assert (error.code, error.expected) == ("corrupt-folder", f"blocks up to {BLOCKS}")
    assert "Put the lost files back" in error.remedy


def test_a_state_that_was_changed_is_refused_and_can_be_removed(tmp_path: Path, source: SimulatedNode) -> None:
    write_all(tmp_path, source)
    storage = opened(tmp_path, source)
    key, value = next(iter(storage.store.scan(b"")))
    with storage.store._environment.begin(write=True) as transaction:
        transaction.put(key, value[:-1], db=storage.store._tables["state"])
    storage.close()
    error = refused(tmp_path, source)
    assert error.code == "corrupt-folder"
    assert f"state of block {BLOCKS} is damaged" in error.what
    shutil.rmtree(tmp_path / "state")  # what the remedy says
    opened(tmp_path, source).close()


def test_a_damaged_block_is_refused(tmp_path: Path, source: SimulatedNode) -> None:
    write_all(tmp_path, source)
    (log,) = (tmp_path / "blocks").glob("blocks-*.log")
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    error = refused(tmp_path, source)
    assert error.code == "corrupt-folder"
    assert "fetches the chain from its peers" in error.remedy


@pytest.mark.parametrize("keep_state", [True, False])
def test_a_folder_of_another_chain_is_refused(tmp_path: Path, source: SimulatedNode, keep_state: bool) -> None:
    write_all(tmp_path, source)
    if not keep_state:
        shutil.rmtree(tmp_path / "state")
    other = node_genesis(name="another")
    assert chain_id(other) != source.chain_id
    with pytest.raises(PhotonError) as caught:
        Storage.open(tmp_path, other, lambda _rule: LowestPrice())
    assert caught.value.code == "wrong-chain"
    opened(tmp_path, source).close()


def test_a_folder_in_use_is_refused(tmp_path: Path, source: SimulatedNode) -> None:
    storage = opened(tmp_path, source)
    assert refused(tmp_path, source).code == "folder-in-use"
    storage.close()
    opened(tmp_path, source).close()


def test_a_refused_folder_is_let_go(tmp_path: Path, source: SimulatedNode) -> None:
    write_all(tmp_path, source)
    shutil.rmtree(tmp_path / "blocks")
    assert refused(tmp_path, source).code == refused(tmp_path, source).code == "corrupt-folder"


def test_execution_that_gives_something_else_is_refused(tmp_path: Path, source: SimulatedNode) -> None:
    """As with a market plugin of another version: state comes from blocks, and the certificate says what it must be."""
    write_all(tmp_path, source)
    shutil.rmtree(tmp_path / "state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("photon_core.node.outcome.merkle_root", lambda *_: b"\x0f" * 32)
        error = refused(tmp_path, source)
    assert error.code == "replay-differs"
    assert "photon plugin list" in error.remedy


def test_a_halt_is_kept_beside_the_blocks(tmp_path: Path, source: SimulatedNode) -> None:
    storage = opened(tmp_path, source)
    storage.note_halt("certified aa, computed bb")
    storage.close()
    assert (tmp_path / "halted.txt").read_text() == "certified aa, computed bb\n"


def test_all_that_is_not_certified_goes_to_core_and_so_does_what_an_engine_kept(
    tmp_path: Path, source: SimulatedNode
) -> None:
    storage = Storage.open(tmp_path, source.genesis, lambda _rule: LowestPrice(), votes=True)
    storage.write_block(source.blocks[0], source.certificates[0])
    for block in source.blocks[1:]:
        storage.write_block(block, None)
    assert storage.engine_log is not None
    storage.engine_log.persist(
        [steps.PersistRecords(token=1, height=4, records=(b"proof",), blocks=(source.blocks[3],))]
    )
    storage.close()
    storage = Storage.open(tmp_path, source.genesis, lambda _rule: LowestPrice(), votes=True)
    started = storage.started()
    assert started.head.height == 1
    assert [block for block, _ in started.uncertified] == source.blocks[1:]
    assert started.engine_records == (b"proof",)
    assert [block for block, _ in started.contents] == [source.blocks[3]]
    storage.close()


def test_a_follower_has_no_engines_log(tmp_path: Path, source: SimulatedNode) -> None:
    storage = opened(tmp_path, source)
    assert storage.engine_log is None
    assert not (tmp_path / "engine").exists()
    storage.close()
