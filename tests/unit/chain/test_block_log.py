"""The block log: nothing acknowledged is lost, heights have no gaps, one process at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from photon_core.api.errors import LocalProtocolError, PhotonError
from photon_core.chain.block_log import BlockLog


def block(height: int) -> bytes:
    return f"block {height} ".encode() * 5


def fill(folder: Path, last: int, *, segment_bytes: int = 300) -> None:
    with BlockLog(folder, segment_bytes=segment_bytes) as log:
        for height in range(log.height + 1, last + 1):
            log.append(height, block(height), b"c%d" % height if height % 2 else None)
            if not height % 2:
                log.append_certificate(height, b"c%d" % height)


def test_blocks_and_certificates_are_there_after_opening_again(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    with BlockLog(tmp_path, segment_bytes=300) as log:
        assert (log.first, log.height, log.certified_height, log.note) == (1, 20, 20, "")
        assert list(log.range(1, 20)) == [(h, block(h), b"c%d" % h) for h in range(1, 21)]
        assert list(log.range(18, 99)) == [(h, block(h), b"c%d" % h) for h in range(18, 21)]
        assert log.read(0) is None
        assert log.read(21) is None
    assert len(list(tmp_path.glob("blocks-*.log"))) > 2


def test_a_new_log_is_empty(tmp_path: Path) -> None:
    with BlockLog(tmp_path) as log:
        assert (log.first, log.height, log.certified_height) == (1, 0, 0)
        assert list(log.range(0, 5)) == []


def test_a_block_may_wait_for_its_certificate(tmp_path: Path) -> None:
    with BlockLog(tmp_path) as log:
        log.append(1, block(1))
        assert list(log.range(1, 1)) == [(1, block(1), None)]
        assert (log.height, log.certified_height) == (1, 0)


def test_a_log_may_begin_after_a_snapshot(tmp_path: Path) -> None:
    for _ in range(2):
        with BlockLog(tmp_path) as log:
            log.append(max(log.height + 1, 500), block(500))
            assert log.first == 500
            assert log.read(499) is None


def test_heights_have_no_gaps_and_no_repeats(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    with BlockLog(tmp_path) as log:
        for height in (2, 3, 5):
            with pytest.raises(LocalProtocolError):
                log.append(height, b"")
        with pytest.raises(LocalProtocolError, match="newest block is 3"):
            log.append_certificate(4, b"")


def test_a_torn_last_block_is_cut_off_with_a_note(tmp_path: Path) -> None:
    with BlockLog(tmp_path) as log:
        log.append(1, block(1), b"c")
        log.append(2, block(2))
    (path,) = tmp_path.glob("blocks-*.log")
    os.truncate(path, path.stat().st_size - 1)
    with BlockLog(tmp_path) as log:
        assert log.height == 1
        assert "a crash interrupted" in log.note
        log.append(2, b"again")
        assert log.read(2) == b"again"


def test_a_missing_segment_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    sorted(tmp_path.glob("blocks-*.log"))[1].unlink()
    with pytest.raises(PhotonError, match="do not follow each other") as caught:
        BlockLog(tmp_path)
    assert "fetches the chain from its peers" in caught.value.remedy


def test_a_certificate_without_its_block_is_refused(tmp_path: Path) -> None:
    with BlockLog(tmp_path) as log:
        log.append(1, block(1), b"c")
    (path,) = tmp_path.glob("blocks-*.log")
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(PhotonError, match="newest block is damaged"):
        BlockLog(tmp_path)


def test_a_refused_folder_is_free_again(tmp_path: Path) -> None:
    (tmp_path / "blocks-00000000000000000001.log").write_bytes(b"garbage that is long enough to be no head")
    for _ in range(2):
        with pytest.raises(PhotonError, match="not a Photon log"):
            BlockLog(tmp_path)


def test_two_cannot_have_one_folder(tmp_path: Path) -> None:
    with BlockLog(tmp_path), pytest.raises(PhotonError, match=f"process {os.getpid()}") as caught:
        BlockLog(tmp_path)
    assert caught.value.code == "folder-in-use"
    BlockLog(tmp_path).close()


WRITER = """
import sys
from pathlib import Path
from photon_core.chain.block_log import BlockLog
log = BlockLog(Path(sys.argv[1]), segment_bytes=20_000)
for height in range(log.height + 1, 10**9):
    log.append(height, b"%d " % height * 200)
    print(height, flush=True)
"""


def test_killed_while_writing_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        writer.stdout.close()
        with BlockLog(tmp_path) as log:
            acknowledged = int(rest[-1]) if rest else 20
            assert log.height >= acknowledged
            assert all(data == b"%d " % height * 200 for height, data, _ in log.range(1, log.height))
