"""An engine's log on a disk: all of an append or none of it, forgotten by height, and damage is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from attrs import evolve

from photon_core.api.chain import Block
from photon_core.api.errors import PhotonError
from photon_core.api.hashing import ZERO_HASH
from photon_core.chain import blocks
from photon_core.chain.genesis import chain_id, genesis_header
from photon_core.node.engine_log import EngineLog
from photon_core.node.steps import PersistRecords
from photon_core.testing.node import VALIDATOR, node_genesis, transfer

GENESIS = node_genesis()
CHAIN = chain_id(GENESIS)


def block(height: int, count: int = 2) -> Block:
    made = blocks.make_block(
        parent=evolve(genesis_header(GENESIS), height=height - 1),
        time_ms=1_800_000_000_000,
        proposer=VALIDATOR.public,
        validators=GENESIS.validator_set,
        transactions=[transfer(CHAIN, height * 100 + n) for n in range(count)],
    )
    return made.block


def persist(height: int, *records: bytes, pinned: tuple[Block, ...] = ()) -> PersistRecords:
    return PersistRecords(token=height, height=height, records=records, blocks=pinned)


def reopened(log: EngineLog, folder: Path) -> EngineLog:
    log.close()
    return EngineLog(folder)


def test_records_and_blocks_come_back_in_order(tmp_path: Path) -> None:
    log = EngineLog(tmp_path)
    log.persist([persist(1, b"a", b"b", pinned=(block(1),)), persist(2, b"c", pinned=(block(2), block(1)))])
    log.persist([persist(3, b"d")])
    log = reopened(log, tmp_path)
    records, contents = log.read(CHAIN)
    assert records == (b"a", b"b", b"c", b"d")
    assert [found for found, _ in contents] == [block(1), block(2)], "each once"
    assert [t.raw for t in contents[0][1]] == list(block(1).transactions)
    log.close()


def test_what_is_forgotten_is_gone_and_the_rest_of_its_append_is_not(tmp_path: Path) -> None:
    log = EngineLog(tmp_path)
    log.persist(
        [persist(1, b"old", pinned=(block(1),)), persist(1_000, b"view"), persist(2, b"new", pinned=(block(2),))]
    )
    log.forget(2)
    log.persist([persist(3, b"newer")])  # what was forgotten travels with the next append
    log = reopened(log, tmp_path)
    records, contents = log.read(CHAIN)
    assert records == (b"view", b"new", b"newer")
    assert [found for found, _ in contents] == [block(2)]
    log.close()


def test_the_file_stays_small_when_blocks_come_and_go(tmp_path: Path) -> None:
    log = EngineLog(tmp_path, compact_bytes_min=100_000)
    for height in range(1, 60):
        log.persist([persist(height, b"proof", pinned=(block(height, 40),))])
        log.forget(height - 2)
    assert (tmp_path / "wal.log").stat().st_size < 200_000
    log = reopened(log, tmp_path)
    assert log.read(CHAIN)[0][-3:] == (b"proof",) * 3
    log.close()


def test_a_crash_at_any_byte_leaves_whole_appends(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    log = EngineLog(folder)
    log.persist([persist(1, b"first")])
    before = (folder / "wal.log").stat().st_size
    log.persist([persist(2, b"second", pinned=(block(2),)), persist(3, b"third")])
    after = (folder / "wal.log").stat().st_size
    log.close()
    for number, size in enumerate([*range(before, after, 37), after]):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        with (copy / "wal.log").open("r+b") as file:
            file.truncate(size)
        restarted = EngineLog(copy)
        records, contents = restarted.read(CHAIN)
        restarted.close()
        whole = size == after
        assert records == ((b"first", b"second", b"third") if whole else (b"first",))
        assert len(contents) == whole
        assert bool(restarted.note) == (before < size < after)


def test_another_chains_log_is_refused(tmp_path: Path) -> None:
    log = EngineLog(tmp_path)
    log.persist([persist(1, pinned=(block(1),))])
    with pytest.raises(PhotonError) as caught:
        log.read(ZERO_HASH)
    assert caught.value.code == "corrupt-folder"
    log.close()


def test_a_log_in_use_is_refused(tmp_path: Path) -> None:
    log = EngineLog(tmp_path)
    with pytest.raises(PhotonError) as caught:
        EngineLog(tmp_path)
    assert caught.value.code == "folder-in-use"
    log.close()
