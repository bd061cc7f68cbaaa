"""A real Podman: the one that CONTAINER_HOST names, or one started for the tests; nothing of a test is left in it."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from podman.api.client import APIClient

from photon_core.api.runtime import NETWORK_AGENT, RuntimeContext
from photon_core.testing.checks.runtime_kit import GREETING, RuntimeKit, host_reach, host_serve
from photon_runtime_containers.config import Config
from photon_runtime_containers.engine import ContainerSpec, EngineDown, Limits
from photon_runtime_containers.labels import CHAIN
from photon_runtime_containers.runtime import ContainerRuntime
from photon_runtime_containers.testing.engines import NoEngine, engine_for_tests, load_images
from photon_runtime_podman.engine import PodmanEngine
from photon_runtime_podman.rest import API_VERSION, Refused, Rest, labels_filter, segment

CHECKOUT = Path(__file__).parents[3]
IMAGE, VOLUMED, CHECKED = "photon.test/python:1", "photon.test/redis:1", "photon.test/checked:1"
FOREVER = "while :; do sleep 1000; done"
MIB = 2**20
LITTLE = Limits(cpu_milli=200, memory_bytes=64 * MIB, pids_max=64)
NAME = "photon-test-runtime-podman"
LABEL = {"photon.test.of": "runtime-podman"}
CHAIN_ID = os.urandom(32)
"""Of this run of the tests: what is left of another does not disturb."""


@pytest.fixture(scope="session")
def podman_socket() -> Iterator[Path]:
    """Skips, with the reason, where there is no Podman, or nobody may enter its sandboxes."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to enter the sandboxes' networks")
    with ExitStack() as engine:
        try:
            url = engine.enter_context(engine_for_tests("podman", CHECKOUT))
            rest = Rest(Path(url.removeprefix("unix://")))
            engine.callback(rest.close)
            for image in (IMAGE, VOLUMED):
                if not _has(rest, image):
                    load_images(CHECKOUT, "podman", url, image.rpartition("/")[2].partition(":")[0])
        except (NoEngine, EngineDown) as problem:
            pytest.skip(f"no Podman: {problem}")
        _make_image(rest)
        yield rest.socket
        rest.ask("DELETE", f"/images/{CHECKED}")


def _has(rest: Rest, image: str) -> bool:
    with suppress(Refused):
        rest.ask("GET", f"/images/{image}/json")
        return True
    return False


def _make_image(rest: Rest) -> None:
    """The one that the checks are written for: its current folder is writable."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        folder = tarfile.TarInfo("room")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
    made = rest.ask("POST", "/containers/create", body={"image": IMAGE, "netns": {"nsmode": "none"}})["Id"]
    with APIClient(f"unix://{rest.socket}", version=API_VERSION) as client:
        client.put(f"/containers/{made}/archive", params={"path": "/"}, data=packed.getvalue()).raise_for_status()
    name, _, tag = CHECKED.partition(":")
    rest.ask("POST", "/commit", {"container": made, "repo": name, "tag": tag, "changes": "WORKDIR /room"})
    rest.ask("DELETE", f"/containers/{made}", {"force": "true", "volumes": "true"})


@pytest.fixture
def rest(podman_socket: Path) -> Iterator[Rest]:
    """Every container that the test labels with LABEL goes at its end, and so do their volumes."""
    made = Rest(podman_socket)
    before = volumes(made)
    yield made
    for one in found(made, LABEL):
        made.ask("DELETE", f"/containers/{segment(one['Id'])}", {**GONE, "ignore": "true"})
    left = volumes(made) - before
    made.close()
    assert not left, f"volumes left behind: {left}"


GONE = {"force": "true", "volumes": "true", "timeout": "0", "depend": "true"}


def found(rest: Rest, labels: dict[str, str]) -> list[dict[str, Any]]:
    return list(rest.ask("GET", "/containers/json", {"all": "true", "filters": labels_filter(labels)}))


def volumes(rest: Rest) -> set[str]:
    return {one["Name"] for one in rest.ask("GET", "/volumes/json")}


@pytest.fixture
def make(rest: Rest) -> Iterator[Callable[..., ContainerRuntime]]:
    """A runtime over the same home with this configuration; each call is another agent. Nothing of them is left."""
    home = Path(tempfile.mkdtemp(prefix="photon-podman-"))
    engines: list[PodmanEngine] = []

    def make_one(**config: Any) -> ContainerRuntime:
        engines.append(PodmanEngine(rest.socket))
        made = Config(**{"stop_grace_ms": 300, **config})
        return ContainerRuntime(RuntimeContext(home=home, chain_id=CHAIN_ID, agent="agent-1", config=made), engines[-1])

    yield make_one
    for engine in engines:
        engine.close()
    shutil.rmtree(home)
    left = [one["Names"][0] for one in found(rest, {CHAIN: CHAIN_ID.hex()})]
    for name in left:
        rest.ask("DELETE", f"/containers/{segment(name)}", {**GONE, "ignore": "true"})
    assert not left, f"left in the engine: {left}"


@pytest.fixture
def kit(make: Callable[..., ContainerRuntime]) -> RuntimeKit:
    return RuntimeKit(
        make=make,
        image=CHECKED,
        serve=host_serve,
        reach=host_reach,
        greeting=GREETING,
        capabilities=frozenset({NETWORK_AGENT}),
    )


@pytest.fixture
def engine(rest: Rest) -> Iterator[PodmanEngine]:
    made = PodmanEngine(rest.socket)
    yield made
    made.close()


def spec(script: str = FOREVER, name: str = NAME, **more: Any) -> ContainerSpec:
    parts: dict[str, Any] = {"image": IMAGE, "entrypoint": ("sh", "-c", script), "limits": LITTLE, **more}
    return ContainerSpec(name=name, labels=tuple(LABEL.items()), **parts)


def running(engine: PodmanEngine, script: str = FOREVER, **more: Any) -> str:
    container = engine.create(spec(script, **more))
    engine.start(container)
    return container


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
