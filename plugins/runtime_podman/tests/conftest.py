"""A real Podman: the one that CONTAINER_HOST names, and nothing of a test left in it afterwards."""

from __future__ import annotations

import os
import stat
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from photon_core.api.runtime import NETWORK_AGENT, RuntimeContext
from photon_core.testing.checks.runtime_kit import GREETING, RuntimeKit, host_reach, host_serve
from photon_runtime_containers.config import Config
from photon_runtime_containers.runtime import ContainerRuntime
from photon_runtime_podman.engine import PodmanEngine
from photon_runtime_podman.rest import Rest, labels_filter, segment

IMAGE = "photon.test/python:1"
LABEL = {"photon.test.of": "runtime-podman"}


def socket_of_podman() -> Path:
    """Skips the test, with the reason, where there is none."""
    named = os.environ.get("CONTAINER_HOST", "")
    if not named.startswith("unix://"):
        pytest.skip("needs a Podman: CONTAINER_HOST=unix:///run/podman/podman.sock names one")
    path = Path(named.removeprefix("unix://"))
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        pytest.skip(f"needs a Podman: nobody listens at {path}")
    if os.geteuid() != 0:
        pytest.skip("needs root: a rootful Podman's containers are entered")
    return path


@pytest.fixture
def rest() -> Iterator[Rest]:
    """Every container that the test labels with LABEL goes at its end, and so do their volumes."""
    made = Rest(socket_of_podman())
    before = volumes(made)
    try:
        yield made
    finally:
        for one in made.ask("GET", "/containers/json", {"all": "true", "filters": labels_filter(LABEL)}):
            gone = {"force": "true", "volumes": "true", "timeout": "0", "depend": "true", "ignore": "true"}
            made.ask("DELETE", f"/containers/{segment(one['Id'])}", gone)
        left = volumes(made) - before
        made.close()
        assert not left, f"volumes left behind: {left}"


def volumes(rest: Rest) -> set[str]:
    return {one["Name"] for one in rest.ask("GET", "/volumes/json")}


@pytest.fixture
def make(rest: Rest) -> Iterator[Callable[..., ContainerRuntime]]:
    """A runtime over the same home each time; afterwards there is as much in the engine as before."""
    home = Path(tempfile.mkdtemp(prefix="photon-podman-"))
    before = containers(rest)

    def runtime(**config: Any) -> ContainerRuntime:
        made = Config(**{"stop_grace_ms": 300, **config})
        context = RuntimeContext(home=home, chain_id=b"\x01" * 32, agent="agent-1", config=made)
        return ContainerRuntime(context, PodmanEngine(rest.socket))

    yield runtime
    shutil.rmtree(home)
    left = containers(rest) - before
    for name in left:
        rest.ask("DELETE", f"/containers/{segment(name)}", {"force": "true", "volumes": "true", "depend": "true"})
    assert not left, f"containers left behind: {left}"


@pytest.fixture
def kit(make: Callable[..., ContainerRuntime]) -> RuntimeKit:
    return RuntimeKit(
        make=make,
        image=IMAGE,
        serve=host_serve,
        reach=host_reach,
        greeting=GREETING,
        capabilities=frozenset({NETWORK_AGENT}),
    )


def containers(rest: Rest) -> set[str]:
    return {one["Names"][0] for one in rest.ask("GET", "/containers/json", {"all": "true"})}
