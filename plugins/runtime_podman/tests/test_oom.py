"""The kernel's log says whether memory ran out in a container."""

import os
import time
from pathlib import Path

from photon_runtime_podman.oom import out_of_memory

ID = "ab" * 32


def log(folder: Path, text: str, seconds_after_start: float) -> Path:
    """One record, as the kernel's log gives it; a file gives it in one read as well."""
    path = folder / "kmsg"
    path.write_text(f"6,1234,{int(seconds_after_start * 1e6)},-;{text}\n")
    return path


def test_the_record_names_the_containers_group(tmp_path: Path) -> None:
    now, up = time.time(), time.clock_gettime(time.CLOCK_MONOTONIC)
    told = f"oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/libpod_parent/libpod-{ID},task=python3,pid=1"
    path = log(tmp_path, told, up)
    assert out_of_memory(ID, now - 1, path)
    assert not out_of_memory("cd" * 32, now - 1, path)
    assert not out_of_memory(ID, now + 10, path), "that was of an earlier life of the container"


def test_other_records_say_nothing(tmp_path: Path) -> None:
    path = log(tmp_path, f"a program called {ID} wrote this", time.clock_gettime(time.CLOCK_MONOTONIC))
    assert not out_of_memory(ID, 0, path)
    path.write_bytes(os.urandom(100))
    assert not out_of_memory(ID, 0, path)


def test_without_a_log_nobody_knows(tmp_path: Path) -> None:
    assert not out_of_memory(ID, 0, tmp_path / "absent")
