"""One home per test, and the proof after each test that no process of it is left."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from photon_core.api.runtime import IMAGES_OPTIONAL, NETWORK_AGENT, RuntimeContext
from photon_core.testing.checks.runtime_kit import GREETING, RuntimeKit, host_reach, host_serve
from photon_runtime_process.config import Config
from photon_runtime_process.runtime import ProcessRuntime


def context(home: Path, **config: Any) -> RuntimeContext:
    return RuntimeContext(home=home, chain_id=b"\x01" * 32, agent="agent-1", config=Config(**config))


@pytest.fixture
def home() -> Iterator[Path]:
    """Not pytest's tmp_path, of which root's is closed to others: the sandbox's own user must not depend on that."""
    path = Path(tempfile.mkdtemp(prefix="photon-runtime-"))
    yield path
    left = processes_of(path)
    shutil.rmtree(path)
    assert not left, f"left running: {left}"


def processes_of(home: Path) -> list[str]:
    """Processes that have their current directory, or a mounted folder, below this home."""
    found = []
    for pid in (int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()):
        try:
            mounts = Path(f"/proc/{pid}/mountinfo").read_text() if pid != os.getpid() else ""
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"{home}/" in mounts:
            found.append(f"{pid}: {command}")
    return found


@pytest.fixture
def make(home: Path) -> Callable[..., ProcessRuntime]:
    """A runtime over the test's home with this configuration; each call is another agent."""
    return lambda **config: ProcessRuntime(context(home, **config))


@pytest.fixture
def kit(home: Path) -> RuntimeKit:
    return RuntimeKit(
        make=lambda: ProcessRuntime(context(home)),
        image="ignored",
        serve=host_serve,
        reach=host_reach,
        greeting=GREETING,
        capabilities=frozenset({NETWORK_AGENT, IMAGES_OPTIONAL}),
    )
