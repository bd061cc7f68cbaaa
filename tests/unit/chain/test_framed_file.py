"""Framed files: a crash costs at most what nobody was told of, and damage is never taken for a crash."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from photon_core.api.errors import LocalProtocolError, PhotonError
from photon_core.chain.framed_file import FramedFile

PAYLOADS = [b"one", b"", b"three" * 20]


def opened(path: Path, **options: bool) -> FramedFile:
    return FramedFile(path, payload_bytes_max=1000, remedy="REMEDY", **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    file = opened(path)
    for tag, payload in enumerate(PAYLOADS):
        file.append(tag, payload)
    file.close()
    return path


def contents(path: Path) -> Iterator[bytes]:
    file = opened(path)
    yield from [file.read(frame) for frame in file]
    file.close()


def ends(path: Path) -> list[int]:
    file = opened(path)
    file.close()
    return [frame.offset for frame in file] + [file.size]


def test_what_was_appended_is_there_after_opening_again(path: Path) -> None:
    assert list(contents(path)) == PAYLOADS
    file = opened(path)
    assert [frame.tag for frame in file] == [0, 1, 2]
    assert file.torn_bytes == 0
    file.close()


def test_a_file_torn_at_any_byte_keeps_every_whole_frame(path: Path) -> None:
    whole, borders = path.read_bytes(), ends(path)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        kept = sum(border <= length for border in borders[1:])
        assert list(contents(path)) == PAYLOADS[:kept], length
        file = opened(path)
        assert file.torn_bytes == 0, "the first opening cut the tail off"
        file.append(9, b"after")
        file.close()
        assert list(contents(path)) == [*PAYLOADS[:kept], b"after"], length


def test_a_tail_of_zeros_or_garbage_is_cut_off(path: Path) -> None:
    whole = path.read_bytes()
    for tail in (bytes(5000), b"\xff" * 77, os.urandom(300)):
        path.write_bytes(whole + tail)
        file = opened(path)
        assert file.torn_bytes == len(tail)
        file.close()
        assert path.read_bytes() == whole


def test_a_last_append_whose_first_pages_never_arrived_is_cut_off(path: Path) -> None:
    start, end = ends(path)[2], ends(path)[3]
    whole = path.read_bytes()
    path.write_bytes(whole[:start] + bytes(end - start - 30) + whole[-30:])
    assert list(contents(path)) == PAYLOADS[:2]


def test_a_changed_byte_before_the_last_frame_is_refused(path: Path) -> None:
    whole, last = path.read_bytes(), ends(path)[2]
    for at in range(last):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        if 8 <= at < 24:
            continue  # the salt: see below
        with pytest.raises(PhotonError) as caught:
            opened(path)
        assert caught.value.code == "corrupt-folder", at
        assert caught.value.remedy == "REMEDY"
        assert path.stat().st_size == len(whole), "evidence is not touched"


def test_a_frame_inside_a_payload_is_not_taken_for_one(tmp_path: Path) -> None:
    """A stranger's block may hold bytes that look like a frame; a torn append of it is still a torn append."""
    other = opened(tmp_path / "other")
    other.append(1, b"stranger")
    other.close()
    forged = (tmp_path / "other").read_bytes()[24:]
    file = opened(tmp_path / "log")
    file.append(1, b"first")
    border = file.size
    file.append(2, forged + b"tail" * 10)
    file.close()
    os.truncate(tmp_path / "log", file.size - 3)
    assert list(contents(tmp_path / "log")) == [b"first"]
    assert (tmp_path / "log").stat().st_size == border


def test_a_frame_moved_to_another_place_is_none(path: Path) -> None:
    whole, borders = path.read_bytes(), ends(path)
    path.write_bytes(whole[: borders[1]] + whole[borders[2] :])
    assert list(contents(path)) == PAYLOADS[:1]


def test_a_sealed_file_takes_no_damage_for_a_crash(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(PhotonError, match="damaged"):
        opened(path, sealed=True)


def test_damage_in_a_sealed_file_is_seen_when_it_is_read(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    file = opened(path, sealed=True)
    assert file.read(file[0]) == PAYLOADS[0]
    with pytest.raises(PhotonError, match="damaged"):
        file.read(file[2])
    file.close()


def test_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"#!/bin/sh\necho somebody else's file")
    with pytest.raises(PhotonError, match="not a Photon log"):
        opened(tmp_path / "log")
    assert (tmp_path / "log").read_bytes().startswith(b"#!/bin/sh")


def test_a_full_disk_undoes_the_append_and_room_lets_it_go_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = opened(path)
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 5:
            return real(descriptor, data[:5], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(PhotonError, match="No space left") as caught:
        file.append(3, b"x")
    monkeypatch.undo()
    assert caught.value.code == "disk-full"
    file.append(3, b"again")
    file.close()
    assert list(contents(path)) == [*PAYLOADS, b"again"]


@contextmanager
def file_bytes_max(limit: int) -> Iterator[None]:
    """The kernel itself refuses to write further, in the middle of a write too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 31, 32, 40])
def test_a_write_that_the_kernel_cuts_short_leaves_no_trace(path: Path, room: int) -> None:
    file = opened(path)
    with file_bytes_max(file.size + room), pytest.raises(PhotonError) as caught:
        file.append(3, b"four" * 10)
    assert caught.value.where == str(path)
    file.append(3, b"later")
    file.close()
    assert list(contents(path)) == [*PAYLOADS, b"later"]


@pytest.mark.parametrize("room", [0, 10])
def test_a_file_that_cannot_be_made_is_named_and_made_by_the_next_try(tmp_path: Path, room: int) -> None:
    path = tmp_path / "new"
    with file_bytes_max(room), pytest.raises(PhotonError) as caught:
        opened(path)
    assert (caught.value.where, caught.value.remedy != "") == (str(path), True)
    file = opened(path)
    file.append(0, b"one")
    file.close()
    assert list(contents(path)) == [b"one"]


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(PhotonError, match="cannot be opened"):
        opened(tmp_path / "nowhere" / "log")


def test_after_a_failed_sync_nothing_more_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = opened(path)

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(PhotonError, match="cannot be synced"):
        file.append(3, b"x")
    with pytest.raises(PhotonError, match="nothing more is written"):
        file.append(3, b"y")
    file.close()


def test_a_payload_over_the_bound_is_the_callers_bug(path: Path) -> None:
    file = opened(path)
    with pytest.raises(LocalProtocolError, match="at most 1000"):
        file.append(3, bytes(1001))
    file.close()


@given(garbage=st.binary(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_any_file_is_opened_or_refused(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "any"
    path.write_bytes(b"PHOTFRM1" + garbage)
    file = opened(path)
    assert len(file) == 0
    file.close()
