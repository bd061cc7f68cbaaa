"""State store and view: whole blocks or nothing, reads that see what was executed, and clear refusals."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from photon_core.api.errors import LocalProtocolError, PhotonError
from photon_core.chain.state_store import SCAN_CHUNK, BlockResult, Place, StateStore
from photon_core.chain.state_view import StateView

CHAIN = bytes([7]) * 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    store = StateStore(tmp_path / "state", CHAIN)
    yield store
    store.close()


def test_a_blocks_results_are_there_after_opening_again(tmp_path: Path) -> None:
    store = StateStore(tmp_path, CHAIN)
    assert store.height is None
    store.put([BlockResult(height=0, changes=((b"Aa", b"1"), (b"Ab", b"2"), (b"B", b"3")))])
    one = BlockResult(
        height=1, changes=((b"Aa", None),), receipts=b"r", transactions=((bytes(32), 4),), index=((b"owner", b"x"),)
    )
    store.put([one])
    for _ in range(2):
        assert store.height == 1
        assert store.get(b"Aa") is None
        assert list(store.scan(b"A")) == [(b"Ab", b"2")]
        assert list(store.scan()) == [(b"Ab", b"2"), (b"B", b"3")]
        assert store.receipts(1) == b"r"
        assert store.receipts(9) is None
        assert store.find_transaction(bytes(32)) == Place(1, 4)
        assert store.find_transaction(b"") is None
        assert store.index_get(b"owner") == b"x"
        assert list(store.index_scan(b"own")) == [(b"owner", b"x")]
        store.close()
        store = StateStore(tmp_path, CHAIN)
    store.close()


def test_blocks_come_in_order(store: StateStore) -> None:
    store.put([BlockResult(height=0)])
    for wrong in ([BlockResult(height=2)], [BlockResult(height=1), BlockResult(height=3)]):
        with pytest.raises(LocalProtocolError):
            store.put(wrong)
    assert store.height == 0


def test_a_batch_that_fails_leaves_nothing(store: StateStore) -> None:
    store.put([BlockResult(height=0)])
    with pytest.raises(PhotonError):
        store.put([BlockResult(height=1, changes=((b"a", b"1"),)), BlockResult(height=2, changes=((b"k" * 600, b""),))])
    assert store.height == 0
    assert store.get(b"a") is None


def test_a_long_scan_misses_nothing(store: StateStore) -> None:
    keys = [b"k" + n.to_bytes(4, "big") for n in range(2 * SCAN_CHUNK + 1)]
    store.put([BlockResult(height=0, changes=tuple((key, b"v") for key in keys))])
    assert [key for key, _ in store.scan(b"k")] == keys


def test_the_map_grows_when_it_is_full_also_under_readers(tmp_path: Path) -> None:
    store = StateStore(tmp_path, CHAIN, map_bytes=200_000)
    store.put([BlockResult(height=0, changes=((b"k", b"v"),))])
    stop = threading.Event()
    seen: list[bytes | None] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(store.get(b"k"))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for height in range(1, 20):
            store.put([BlockResult(height=height, changes=((bytes([height]), bytes(100_000)),))])
    finally:
        stop.set()
        reader.join()
    assert set(seen) <= {b"v"}
    assert store.get(bytes([19])) == bytes(100_000)
    store.close()
    store = StateStore(tmp_path, CHAIN, map_bytes=200_000)
    assert store.height == 19
    assert store.get(bytes([1])) == bytes(100_000)
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", disk], check=False).returncode:
        pytest.skip("needs to mount a small disk, which root may")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.root
def test_on_a_full_disk_a_batch_fails_whole_and_room_lets_it_go_on(small_disk: Path) -> None:
    store = StateStore(small_disk / "state", CHAIN)
    balloon = small_disk / "balloon"
    balloon.write_bytes(bytes(2**20))
    batch = tuple((b"A%d" % n, bytes(400)) for n in range(100))

    def put(height: int) -> None:
        store.put([BlockResult(height=height, changes=batch, receipts=bytes(20_000))])

    with pytest.raises(PhotonError) as caught:
        deque(map(put, range(1_000)), maxlen=0)
    height = (store.height or 0) + 1
    assert (caught.value.code, caught.value.where) == ("disk-full", str(small_disk / "state"))
    assert store.receipts(height - 1) == bytes(20_000)
    assert store.receipts(height) is None
    balloon.unlink()
    store.put([BlockResult(height=height, changes=batch)])
    store.close()


@pytest.mark.root
def test_a_store_is_not_made_on_a_full_disk(small_disk: Path) -> None:
    """LMDB would be ended by SIGBUS at its first touch of the page that there is no room for."""
    with (small_disk / "balloon").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    with pytest.raises(PhotonError, match="no room") as caught:
        StateStore(small_disk / "state", CHAIN)
    assert caught.value.code == "disk-full"


def test_another_chains_folder_is_refused(tmp_path: Path) -> None:
    StateStore(tmp_path, CHAIN).close()
    with pytest.raises(PhotonError, match=f"{CHAIN.hex()}") as caught:
        StateStore(tmp_path, bytes(32))
    assert caught.value.code == "wrong-chain"


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty head"])
def test_a_damaged_folder_is_refused_with_what_to_do(tmp_path: Path, damage: str) -> None:
    store = StateStore(tmp_path, CHAIN)
    store.put([BlockResult(height=0, changes=tuple((bytes([n]), bytes(3000)) for n in range(100)))])
    store.close()
    path = tmp_path / "data.mdb"
    if damage == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    else:
        raw = path.read_bytes()
        path.write_bytes((os.urandom(8192) if damage == "garbage" else bytes(8192)) + raw[8192:])
    for _ in range(2):  # and the lock is not held by the failed attempt
        with pytest.raises(PhotonError) as caught:
            StateStore(tmp_path, CHAIN)
        assert caught.value.code == "corrupt-folder"
        assert "made anew from the block log" in caught.value.remedy


def test_two_cannot_have_one_folder(tmp_path: Path) -> None:
    store = StateStore(tmp_path, CHAIN)
    with pytest.raises(PhotonError, match="another process"):
        StateStore(tmp_path, CHAIN)
    store.close()


keys = st.binary(min_size=1, max_size=2)


class Views(RuleBasedStateMachine):
    """A view over a store is a dictionary, whatever is flushed when, and whenever the process ends."""

    factory: pytest.TempPathFactory

    @initialize()
    def begin(self) -> None:
        self.folder = self.factory.mktemp("view")
        self.store = StateStore(self.folder, CHAIN)
        self.view = StateView(self.store)
        self.model: dict[bytes, bytes] = {}
        self.history = [self.model]
        self.results = [BlockResult(height=0)]
        self.view.apply(self.results[0])

    @rule(changes=st.lists(st.tuples(keys, st.none() | st.binary(max_size=2)), max_size=6))
    def apply(self, changes: list[tuple[bytes, bytes | None]]) -> None:
        height = len(self.history)
        self.model = dict(self.model)
        for key, value in changes:
            if value is None:
                self.model.pop(key, None)
            else:
                self.model[key] = value
        self.history.append(self.model)
        self.results.append(
            BlockResult(
                height=height,
                changes=changes,
                receipts=b"r%d" % height,
                transactions=((b"t%d" % height, 3),),
                index=tuple(changes),
            )
        )
        self.view.apply(self.results[-1])

    @rule()
    def finish(self) -> None:
        finished = self.view.finished()
        at = finished[-1].height + 1 if finished else (-1 if self.store.height is None else self.store.height) + 1
        if at < len(self.results):
            self.view.finish(at)
            if at:
                assert self.view.receipts(at) == b"r%d" % at
                assert self.view.find_transaction(b"t%d" % at) == Place(at, 3)

    @rule(most=st.integers(1, 4))
    def flush(self, most: int) -> None:
        batch = self.view.finished()[:most]
        if batch:
            self.store.put(batch)
            self.same_as_the_model()  # written, and not yet dropped
            self.view.flushed(batch[-1].height)

    @rule()
    def crash_and_replay(self) -> None:
        self.store.close()
        self.store = StateStore(self.folder, CHAIN)
        self.view = StateView(self.store)
        done = -1 if self.store.height is None else self.store.height
        assert dict(self.view.scan()) == (self.history[done] if done >= 0 else {})
        for result in self.results[done + 1 :]:
            self.view.apply(result)

    @invariant()
    def same_as_the_model(self) -> None:
        assert list(self.view.scan()) == sorted(self.model.items())
        assert list(self.view.scan(b"\x00")) == sorted((k, v) for k, v in self.model.items() if k[:1] == b"\x00")
        for key in (b"\x00", b"\x00\x00", *list(self.model)[:3]):
            assert self.view.get(key) == self.model.get(key)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()


Views.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


class TestViews(Views.TestCase):  # type: ignore[name-defined,misc]  # made at run time
    @pytest.fixture(autouse=True)
    def _folders(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        Views.factory = tmp_path_factory


def test_blocks_are_applied_and_finished_in_order(store: StateStore) -> None:
    view = StateView(store)
    view.apply(BlockResult(height=0))
    with pytest.raises(LocalProtocolError, match="2 applied after 0"):
        view.apply(BlockResult(height=2))
    with pytest.raises(LocalProtocolError, match="1 finished"):
        view.finish(1)
    view.finish(0)
    with pytest.raises(LocalProtocolError):
        view.finish(0)
