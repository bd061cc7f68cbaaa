"""A helper that answers anything at all, or dies in the middle, is a RuntimeFailure and never an agent's end."""

from __future__ import annotations

import array
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.runtime import InstanceSpec, Runtime, RuntimeFailure, TerminalSize
from photon_core.testing.checks.runtime_kit import (
    FOREVER,
    SMALL,
    VERSION,
    RuntimeKit,
    desired,
    networks,
    run_beside,
    said,
)
from photon_runtime_process.folder import Folder, Helper
from photon_runtime_process.network import SandboxNamespace
from photon_runtime_process.sandbox import Sandbox
from photon_runtime_process.session import ProcessSession
from photon_runtime_process.wire import HelperGone, HelperMute, control_listener

WEB = InstanceId(LeaseId(1, 0, 0), "web", 0)
SPEC = InstanceSpec(id=WEB, image="none", command=("true",), resources=SMALL, manifest_version=VERSION)
JUNK = (
    b"\xff\xfe",
    b"no json",
    b"[" * 4096,
    b"9" * 4096,
    b"[]",
    b"null",
    b"{}",
    b'{"error": {"deep": [1]}}',
    b'{"reason": 7, "why": [], "exit_code": "0"}',
    b'{"exit_code": 1e400}',
    b'{"exit_code": -1}',
    b'{"exit_code": true}',
)


@asynccontextmanager
async def answering(folder: Folder, answer: bytes, fds: tuple[int, ...] = ()) -> AsyncIterator[None]:
    """Takes the place of the helper's control socket."""
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []

    async def serve(listener: trio.socket.SocketType) -> None:
        while True:
            connection, _ = await listener.accept()
            with connection:
                await connection.recv(4096)
                await connection.sendmsg([answer], beside)

    with folder.opened() as fd:
        listener = control_listener(fd)
    async with trio.open_nursery() as nursery:
        with trio.socket.from_stdlib_socket(listener) as taking:
            nursery.start_soon(serve, taking)
            yield
            nursery.cancel_scope.cancel()


def sandbox_in(path: Path) -> Sandbox:
    return Sandbox(WEB, Folder(path), Helper(1, 1))


async def session_of(sandbox: Sandbox, terminal: TerminalSize | None = None) -> None:
    session = ProcessSession(sandbox.folder, ("true",), terminal)
    async with trio.open_nursery() as nursery:
        await nursery.start(session.run)
    session.raise_failure()


REQUESTS: dict[str, Callable[[Sandbox], Awaitable[object]]] = {
    "start": lambda sandbox: sandbox.start(SPEC, {}, 0),
    "exec": session_of,
    "exec on a terminal": lambda sandbox: session_of(sandbox, TerminalSize(columns=80, rows=24)),
    "redirect": lambda sandbox: SandboxNamespace(sandbox).redirect(80),
    "connect": lambda sandbox: SandboxNamespace(sandbox).connect("127.0.0.1", 80),
    "listener": lambda sandbox: SandboxNamespace(sandbox).listener("127.0.0.1", 0),
}


async def open_descriptors() -> int:
    """Once whoever answers has hung up."""
    await trio.testing.wait_all_tasks_blocked()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("answer", JUNK)
async def test_junk_is_a_failure_of_the_runtime(tmp_path: Path, request_name: str, answer: bytes) -> None:
    async with answering(Folder(tmp_path), answer):
        before = await open_descriptors()
        with pytest.raises(RuntimeFailure):
            await REQUESTS[request_name](sandbox_in(tmp_path))
        assert await open_descriptors() == before


@pytest.mark.parametrize("request_name", REQUESTS)
async def test_descriptors_that_nobody_asked_for_are_closed(tmp_path: Path, request_name: str) -> None:
    with socket.socket(socket.AF_UNIX) as wrong, (tmp_path / "file").open("w") as file:
        for fds in ((wrong.fileno(),), (file.fileno(),), (wrong.fileno(), file.fileno())):
            async with answering(Folder(tmp_path), b"{}", fds):
                before = await open_descriptors()
                with pytest.raises(HelperMute):
                    await REQUESTS[request_name](sandbox_in(tmp_path))
                assert await open_descriptors() == before


@pytest.mark.parametrize("request_name", REQUESTS)
async def test_a_dead_helper_leaves_no_descriptor(tmp_path: Path, request_name: str) -> None:
    before = await open_descriptors()
    with pytest.raises(HelperGone):
        await REQUESTS[request_name](sandbox_in(tmp_path))
    assert await open_descriptors() == before


@pytest.mark.parametrize("answer", [b"no json", b'{"error": "no"}'])
async def test_a_lease_is_removed_whatever_its_helper_answers(kit: RuntimeKit, home: Path, answer: bytes) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        folder = Folder.of(home, spec.id)
        helper = folder.helper()
        assert helper is not None
        async with answering(folder, answer):
            await runtime.remove(spec.id.lease)
        assert not helper.alive
        assert not folder.path.exists()


async def test_an_agent_that_adopts_a_helper_that_talks_junk_goes_on(kit: RuntimeKit, home: Path) -> None:
    """The agent's task that watches a sandbox must not end with it."""
    spec = kit.spec("web", FOREVER)
    async with kit.agent() as runtime:
        await runtime.apply(desired(spec))
    for answer in (b"no json", b'{"error": "no"}'):
        async with answering(Folder.of(home, spec.id), answer), kit.agent() as runtime:
            await trio.testing.wait_all_tasks_blocked()
            assert len(await runtime.observe()) == 1
    async with kit.agent() as runtime:
        await runtime.remove(spec.id.lease)


async def test_following_a_log_ends_when_the_helper_talks_junk(kit: RuntimeKit, home: Path) -> None:
    spec = kit.spec("web", f"echo up; {FOREVER}")
    async with kit.leased(spec) as runtime:
        await said(runtime, spec.id, b"up")
        async with answering(Folder.of(home, spec.id), b"no json"):
            assert [piece async for piece in runtime.logs(spec.id, follow=True, tail_lines=9)] == [b"up\n"]


def kill_helper(home: Path, of: InstanceId) -> None:
    helper = Folder.of(home, of).helper()
    assert helper is not None
    os.kill(helper.pid, signal.SIGKILL)


async def test_a_sandbox_that_dies_under_an_exec_is_a_failure_of_the_runtime(kit: RuntimeKit, home: Path) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        failures: list[RuntimeFailure] = []

        async def run() -> None:
            try:
                await run_beside(runtime, spec.id, f"echo begun > begun; {FOREVER}")
            except RuntimeFailure as failure:
                failures.append(failure)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await begun(runtime, spec.id)
            kill_helper(home, spec.id)
        assert [type(failure) for failure in failures] == [HelperGone]


async def begun(runtime: Runtime, of: InstanceId) -> None:
    assert (await run_beside(runtime, of, "until [ -e begun ]; do sleep 0.01; done")).exit_code == 0


async def test_a_namespace_whose_sandbox_died_says_so(kit: RuntimeKit, home: Path) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        namespace = await networks(runtime).namespace(spec.id)
        kill_helper(home, spec.id)
        for attempt in (
            lambda: namespace.connect("127.0.0.1", 80),
            lambda: namespace.listener("127.0.0.1", 0),
            lambda: namespace.redirect(80),
        ):
            with pytest.raises(HelperGone):
                await attempt()
