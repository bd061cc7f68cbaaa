"""Engines that hang, are killed and come back; registries that do not answer, or not with an image."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
import trio

from photon_core.api.ids import InstanceId
from photon_core.api.runtime import InstanceSpec, InstanceState, RuntimeContext, RuntimeFailure
from photon_core.testing.checks.runtime_kit import (
    FOREVER,
    SMALL,
    desired,
    echo_forever,
    instance,
    networks,
    observed,
    said,
    until,
)
from photon_runtime_containers.config import Config
from photon_runtime_containers.engine import EngineDown
from photon_runtime_containers.runtime import ContainerRuntime
from photon_runtime_containers.testing.engines import NoEngine, OwnEngine, load_images, own_engine
from photon_runtime_docker.engine import DockerEngine
from photon_runtime_docker.plugin import make as from_config

CHECKOUT = Path(__file__).parents[3]
IMAGE = "photon.test/web-busybox:1"
pytestmark = [
    pytest.mark.engines,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    # The library leaves the socket to the collector when nobody answers at it.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def own() -> Iterator[OwnEngine]:
    """An engine that may be killed, and a registry."""
    try:
        with own_engine("docker", CHECKOUT, "--registry") as engine:
            load_images(CHECKOUT, "docker", engine.url, "web-busybox")
            yield engine
    except NoEngine as problem:
        pytest.skip(str(problem))


@pytest.fixture
def runtime(own: OwnEngine, tmp_path: Path) -> Iterator[ContainerRuntime]:
    engine = DockerEngine.at(own.url)
    yield ContainerRuntime(context(tmp_path), engine)
    engine.close()


def context(home: Path, **config: Any) -> RuntimeContext:
    made = Config(**{"stop_grace_ms": 300, "pull_silence_s": 3, **config})
    return RuntimeContext(home=home, chain_id=b"\x05" * 32, agent="a", config=made)


def spec(script: str = FOREVER, image: str = IMAGE) -> InstanceSpec:
    return InstanceSpec(
        id=instance("web"), image=image, command=("sh", "-c", script), resources=SMALL, manifest_version=bytes(32)
    )


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def daemon_of(engine: OwnEngine) -> int:
    """By what it was told to listen at."""
    path = engine.url.removeprefix("unix://")
    for found in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = found.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"dockerd") and any(path.encode() in word for word in words):
            return int(found.parent.name)
    raise AssertionError("no dockerd")


async def healed(runtime: ContainerRuntime, of: InstanceSpec, *states: InstanceState) -> None:
    """As the agent does it: look, and try again."""
    while True:
        try:
            await runtime.apply(desired(of))
            seen = await observed(runtime, of.id)
            if seen and seen.state in states:
                return
        except RuntimeFailure:
            pass
        await trio.sleep(0.2)


async def test_killed_engine_is_told_and_all_heals_when_it_is_back(own: OwnEngine, runtime: ContainerRuntime) -> None:
    one = spec(echo_forever("up"))
    heard: list[InstanceId] = []

    async def listen() -> None:
        async for of in runtime.events():
            heard.append(of)  # noqa: PERF401 - it never ends

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            await nursery.start(runtime.run)
            nursery.start_soon(listen)
            await runtime.apply(desired(one))
            await said(runtime, one.id, b"up")
            before = await networks(runtime).namespace(one.id)
            await trio.to_thread.run_sync(own.do, "kill")
            with pytest.raises(EngineDown) as failed:
                await runtime.observe()
            assert own.url in failed.value.remedy
            with pytest.raises(EngineDown):
                await runtime.apply(desired(one))
            heard.clear()
            await trio.to_thread.run_sync(own.do, "restart")
            while not heard:  # noqa: ASYNC110 - the list is the event
                await trio.sleep(0.05)
            await healed(runtime, one, InstanceState.RUNNING)
            assert await networks(runtime).namespace(one.id) != before
            (seen,) = await runtime.observe()
            assert seen.restarts == 1
            await runtime.remove(one.id.lease)
            assert await runtime.observe() == ()
            nursery.cancel_scope.cancel()


async def test_hanging_engine_blocks_nobody_for_ever(
    own: OwnEngine, runtime: ContainerRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photon_runtime_containers.calls.Calls.ask.__defaults__", (2.0,))
    one = spec()
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            await nursery.start(runtime.run)
            await runtime.apply(desired(one))
            with stopped(daemon_of(own)):
                for _ in range(3):
                    with trio.fail_after(10), pytest.raises(EngineDown, match="does not answer"):
                        await runtime.observe()
                with trio.fail_after(10), pytest.raises(EngineDown):
                    await runtime.apply(desired(one))
            await healed(runtime, one, InstanceState.RUNNING)
            assert (await runtime.observe())[0].restarts == 0
            await runtime.remove(one.id.lease)
            nursery.cancel_scope.cancel()


async def test_engine_that_is_not_there_is_refused_at_start(tmp_path: Path) -> None:
    socket_path = tmp_path / "none.sock"
    runtime = from_config(context(tmp_path / "home", socket=f"unix://{socket_path}"))
    with pytest.raises(RuntimeFailure) as refused:
        await runtime.run()
    assert str(socket_path) in refused.value.remedy


# --- registries -------------------------------------------------------------------------------------------------------


async def outcome(runtime: ContainerRuntime, image: str, *states: InstanceState) -> str:
    """What becomes of an instance of this image, in a lease that is gone afterwards."""
    one = spec(image=image)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(runtime.run)
            await runtime.apply(desired(one))
            seen = await until(runtime, one.id, *states)
            await runtime.remove(one.id.lease)
            nursery.cancel_scope.cancel()
    return seen.reason


async def test_image_comes_from_its_registry(own: OwnEngine, runtime: ContainerRuntime) -> None:
    name = f"{own.said['PE_REGISTRY']}/team/web:2"
    api = docker.APIClient(base_url=own.url, version="auto")
    api.tag(IMAGE, name)
    pushed = list(api.push(name, stream=True, decode=True))
    assert not [line for line in pushed if "error" in line]
    api.remove_image(name)
    assert not api.images(name)
    await outcome(runtime, name, InstanceState.RUNNING)
    assert api.images(name)
    api.close()


async def test_image_that_its_registry_has_not_is_named(own: OwnEngine, runtime: ContainerRuntime) -> None:
    name = f"{own.said['PE_REGISTRY']}/team/none:1"
    assert await outcome(runtime, name, InstanceState.FAILED) == f"{name}: its registry has no such image"


@pytest.mark.parametrize(("answer", "says"), [(b"", "sent nothing for 3 s"), (b"nonsense\n\n", "could not be used")])
async def test_registry_that_is_silent_or_talks_nonsense_is_given_up(
    own: OwnEngine, runtime: ContainerRuntime, answer: bytes, says: str
) -> None:
    with _listening(own.said["PE_HOST_ADDRESS"], answer) as port:
        name = f"{own.said['PE_HOST_ADDRESS']}:{port}/a/b:1"
        reason = await outcome(runtime, name, InstanceState.FAILED)
    assert reason.startswith(f"{name}: its registry")
    assert says in reason


@contextmanager
def _listening(address: str, answer: bytes) -> Iterator[int]:
    """Takes connections and says one thing, or nothing."""
    taken: list[socket.socket] = []
    with socket.create_server((address, 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                taken.append(connection)
                if answer:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    for connection in taken:
        connection.close()
