"""The write-ahead log: all of an append or none, and forgetting that cannot lose what is needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from photon_core.api.errors import PhotonError
from photon_core.chain.wal import WriteAheadLog


def reopened(folder: Path) -> list[bytes]:
    log = WriteAheadLog(folder)
    found = log.read_all()
    log.close()
    return found


def test_records_come_back_oldest_first(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    assert log.read_all() == []
    log.append([b"a", b"b"], height=1)
    log.append([b"c"], height=2)
    assert log.read_all() == [b"a", b"b", b"c"]
    log.close()
    assert reopened(tmp_path) == [b"a", b"b", b"c"]


def test_one_append_is_whole_or_absent_wherever_it_is_torn(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    log.append([b"a"], height=1)
    border = log.size
    log.append([b"b", b"c"], height=1)
    log.close()
    path = tmp_path / "wal.log"
    whole = path.read_bytes()
    for length in range(border, len(whole)):
        path.write_bytes(whole[:length])
        assert reopened(tmp_path) == [b"a"]


def test_what_is_forgotten_stays_forgotten_once_something_was_appended(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    for height in (1, 2, 3):
        log.append([b"%d" % height], height=height)
    log.forget(3)
    log.forget(2)
    assert log.read_all() == [b"3"]
    log.append([b"4"], height=4)
    log.close()
    assert reopened(tmp_path) == [b"3", b"4"]
    log = WriteAheadLog(tmp_path)
    assert log.below == 3
    log.close()


def test_the_file_stays_small_however_much_goes_through_it(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path, compact_bytes_min=4000)
    for height in range(1, 300):
        log.append([b"x" * 100], height=height)
        log.forget(height - 5)
        assert log.size < 10_000
    expected = [b"x" * 100] * 6
    assert log.read_all() == expected
    log.append([b"last"], height=300)
    log.close()
    assert reopened(tmp_path) == [*expected, b"last"]
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "wal.log"}


def test_a_compaction_that_a_crash_interrupted_changes_nothing(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    log.append([b"a"], height=1)
    log.close()
    (tmp_path / "wal.next").write_bytes(b"half of a new file")
    assert reopened(tmp_path) == [b"a"]
    assert not (tmp_path / "wal.next").exists()


def test_damage_is_refused_with_a_remedy(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    log.append([b"a" * 50], height=1)
    log.append([b"b"], height=1)
    log.close()
    path = tmp_path / "wal.log"
    whole = path.read_bytes()
    path.write_bytes(whole[:70] + b"?" + whole[71:])
    with pytest.raises(PhotonError, match="damaged") as caught:
        WriteAheadLog(tmp_path)
    assert "photon validator recover" in caught.value.remedy
    assert "new key" in caught.value.remedy


def test_two_cannot_have_one_folder(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path)
    with pytest.raises(PhotonError, match=str(os.getpid())):
        WriteAheadLog(tmp_path)
    log.close()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.binary(max_size=60), max_size=3), st.integers(0, 9)),
        st.tuples(st.just("forget"), st.just([]), st.integers(0, 9)),
        st.tuples(st.just("reopen"), st.just([]), st.just(0)),
    ),
    max_size=25,
)


@given(steps)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_it_is_a_list_of_what_is_not_forgotten(
    tmp_path_factory: pytest.TempPathFactory, program: list[tuple[str, list[bytes], int]]
) -> None:
    """But for a restart before the next append: then the last forgetting may be undone, never more."""
    folder = tmp_path_factory.mktemp("wal")
    log = WriteAheadLog(folder, compact_bytes_min=200)
    model: list[tuple[int, bytes]] = []
    below = 0
    for verb, records, height in program:
        if verb == "append":
            log.append(records, height=height)
            model += [(height, record) for record in records]
        elif verb == "forget":
            log.forget(height)
            below = max(below, height)
        else:
            log.close()
            log = WriteAheadLog(folder, compact_bytes_min=200)
            assert log.below <= below
            log.forget(below)
        assert log.read_all() == [record for height, record in model if height >= below]
    log.close()
