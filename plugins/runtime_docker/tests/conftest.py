"""A runtime over a real engine: the one that DOCKER_HOST names."""

from __future__ import annotations

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
from photon_runtime_docker.engine import DockerEngine

IMAGE = "photon.test/python:1"


def context(home: Path, **config: Any) -> RuntimeContext:
    made = Config(**{"stop_grace_ms": 300, **config})
    return RuntimeContext(home=home, chain_id=b"\x01" * 32, agent="agent-1", config=made)


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="photon-docker-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def make(home: Path) -> Callable[..., ContainerRuntime]:
    return lambda **config: ContainerRuntime(context(home, **config), DockerEngine.at(""))


@pytest.fixture
def kit(home: Path, make: Callable[..., ContainerRuntime]) -> RuntimeKit:
    return RuntimeKit(
        make=make,
        image=IMAGE,
        serve=host_serve,
        reach=host_reach,
        greeting=GREETING,
        capabilities=frozenset({NETWORK_AGENT}),
    )
