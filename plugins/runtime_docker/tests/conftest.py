"""A runtime over a real engine: the one that DOCKER_HOST names, or one that is started for these tests."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import pytest

from photon_core.api.runtime import NETWORK_AGENT, RuntimeContext
from photon_core.testing.checks.runtime_kit import GREETING, RuntimeKit, host_reach, host_serve
from photon_runtime_containers.config import Config
from photon_runtime_containers.labels import CHAIN, ROLE
from photon_runtime_containers.runtime import ContainerRuntime
from photon_runtime_containers.testing.engines import NoEngine, engine_for_tests, load_images
from photon_runtime_docker.engine import DockerEngine

CHECKOUT = Path(__file__).parents[3]
PYTHON, CHECKED = "photon.test/python:1", "photon.test/checked:1"
CHAIN_ID = os.urandom(32)
"""Of this run of the tests: what is left of another does not disturb."""


@pytest.fixture(scope="session")
def docker_api() -> Iterator[docker.APIClient]:
    """Skips, with the reason, where there is no engine, or nobody may enter its sandboxes."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to enter the sandboxes' networks")
    with ExitStack() as engine:
        try:
            url = engine.enter_context(engine_for_tests("docker", CHECKOUT))
            api = docker.APIClient(base_url=url, version="auto", timeout=60)
            engine.callback(api.close)
            _make_image(api, url)
        except (NoEngine, docker.errors.DockerException) as problem:
            pytest.skip(f"no Docker engine: {problem}")
        yield api


def _make_image(api: docker.APIClient, url: str) -> None:
    """The one that the checks are written for: its current folder is writable, and it has `stty`."""
    if not api.images(PYTHON):
        load_images(CHECKOUT, "docker", url, "python")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        folder = tarfile.TarInfo("here")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
        link = tarfile.TarInfo("bin/stty")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
    made = api.create_container(PYTHON)["Id"]
    api.put_archive(made, "/", packed.getvalue())
    api.commit(made, *CHECKED.split(":"), conf={"WorkingDir": "/here"})
    api.remove_container(made, v=True)


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="photon-docker-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def chain_id() -> bytes:
    return CHAIN_ID


def context(home: Path, **config: Any) -> RuntimeContext:
    made = Config(**{"stop_grace_ms": 300, **config})
    return RuntimeContext(home=home, chain_id=CHAIN_ID, agent="agent-1", config=made)


@pytest.fixture
def ours(docker_api: docker.APIClient) -> Callable[..., list[dict[str, Any]]]:
    """What the engine has of this run's containers, as it says itself; of one role, or all."""

    def look(role: str | None = None) -> list[dict[str, Any]]:
        wanted = [f"{CHAIN}={CHAIN_ID.hex()}", *([f"{ROLE}={role}"] if role else [])]
        return [
            docker_api.inspect_container(one["Id"])
            for one in docker_api.containers(all=True, filters={"label": wanted})
        ]

    return look


@pytest.fixture
def make(
    home: Path, docker_api: docker.APIClient, ours: Callable[..., list[dict[str, Any]]]
) -> Iterator[Callable[..., ContainerRuntime]]:
    """A runtime over the test's home with this configuration; each call is another agent. Nothing of them is left."""
    engines: list[DockerEngine] = []

    def make_one(**config: Any) -> ContainerRuntime:
        engines.append(DockerEngine.at(""))
        return ContainerRuntime(context(home, **config), engines[-1])

    volumes = len(docker_api.volumes()["Volumes"] or ())
    yield make_one
    for engine in engines:
        engine.close()
    left = ours()
    for container in left:
        docker_api.remove_container(container["Id"], force=True, v=True)
    assert not left, f"left in the engine: {[container['Name'] for container in left]}"
    assert len(docker_api.volumes()["Volumes"] or ()) == volumes


@pytest.fixture
def kit(home: Path, make: Callable[..., ContainerRuntime]) -> RuntimeKit:
    return RuntimeKit(
        make=make,
        image=CHECKED,
        serve=host_serve,
        reach=host_reach,
        greeting=GREETING,
        capabilities=frozenset({NETWORK_AGENT}),
    )
