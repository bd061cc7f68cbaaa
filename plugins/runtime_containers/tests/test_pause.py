"""The sandbox's image: a program that waits to be told to end, in an archive that is the same every time."""

from __future__ import annotations

import io
import json
import platform
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers import pause

BYTES_MAX = 300


@pytest.mark.skipif(platform.machine() not in pause.MACHINES, reason="there is no program for this architecture")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_program_waits_and_ends_when_asked(tmp_path: Path, how: signal.Signals) -> None:
    path = tmp_path / "pause"
    path.write_bytes(pause.program(platform.machine()))
    path.chmod(0o755)
    with subprocess.Popen([str(path)]) as waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.1)
        waiting.send_signal(signal.SIGWINCH)  # not one that it is for
        waiting.send_signal(how)
        assert waiting.wait(5) == 0


@pytest.mark.parametrize("architecture", pause.MACHINES)
def test_program_is_a_small_static_executable(architecture: str) -> None:
    made = pause.program(architecture)
    assert len(made) < BYTES_MAX
    assert made[:5] == b"\x7fELF\x02"
    assert int.from_bytes(made[24:32], "little") == pause.LOADED_AT + pause.HEADERS_BYTES


def test_arm_code_loads_the_address_of_the_set() -> None:
    """ADR is relative to itself: immhi:immlo, in bytes."""
    code = pause.AARCH64
    for at in (4, 24):
        word = int.from_bytes(code[at : at + 4], "little")
        assert at + ((word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3) == len(code)


@pytest.mark.parametrize("architecture", pause.MACHINES)
def test_archive_is_reproducible_and_names_what_is_in_it(architecture: str) -> None:
    assert pause.archive(architecture) == pause.archive(architecture)
    with tarfile.open(fileobj=io.BytesIO(pause.archive(architecture))) as outer:
        (manifest,) = json.load(outer.extractfile("manifest.json") or io.BytesIO())
        assert manifest["RepoTags"] == [pause.image_name(architecture)]
        config = json.load(outer.extractfile(manifest["Config"]) or io.BytesIO())
        layer = outer.extractfile(manifest["Layers"][0])
        assert layer is not None
        with tarfile.open(fileobj=io.BytesIO(layer.read())) as inner:
            assert inner.getnames() == [config["config"]["Entrypoint"][0].removeprefix("/")]
    names = {pause.image_name(one) for one in pause.MACHINES}
    assert len(names) == len(pause.MACHINES)


def test_unknown_architecture_is_named() -> None:
    with pytest.raises(RuntimeFailure, match="riscv64") as refused:
        pause.archive("riscv64")
    assert "x86_64" in refused.value.remedy
