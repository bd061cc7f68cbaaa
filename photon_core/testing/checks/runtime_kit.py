"""What a runtime has to bring along to be checked, and the few words that its checks are written in."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import trio
from attrs import evolve, frozen

from photon_core.api.fields import HASH_BYTES
from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.resources import Resources
from photon_core.api.runtime import (
    EXEC_PIECE_BYTES_MAX,
    Desired,
    ExecOutput,
    ExecSession,
    ExecStream,
    InstanceSpec,
    InstanceState,
    Observed,
    Runtime,
    RuntimeContext,
    RuntimeFailure,
    SandboxNetworks,
    TerminalSize,
)
from photon_core.testing.checks.clauses import Subject

T = TypeVar("T")

TIMEOUT_S = 60
"""For one check. An engine may have to pull nothing, but it may be slow to start and to stop."""
LOOK_AGAIN_S = 0.1
"""Events may be lost: the checks look again after this, as an agent does (less often)."""
SMALL = Resources(cpu_milli=200, memory_bytes=256 * 2**20, storage_bytes=256 * 2**20)
VERSION = bytes(HASH_BYTES)
FOREVER = "while :; do sleep 1000; done"
GREETING = b"hello from inside\n"
SERVE = """
import socket, sys
server = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    client, _ = server.accept()
    client.sendall(b"hello from inside\\n")
    client.close()
"""
REACH = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2).close()
"""


@frozen(kw_only=True)
class RuntimeKit:
    """`make` gives a runtime over the same home or engine each time: the second one is the agent after a restart.

    `capabilities` are those of the runtime's record. `image` has a POSIX `sh` with `cat`, `echo`, `sleep`, `env`,
    `head`, `yes`, `mkfifo`, `stty`, `wc`, `id` and `grep`. `serve(port)` is a command that accepts TCP connections on
    all addresses, sends `greeting` to each, and goes on; `reach(host, port)` is one that ends with 0 when a TCP
    connection was made and with anything else when not, within a few seconds.
    """

    make: Callable[[], Runtime]
    image: str
    serve: Callable[[int], tuple[str, ...]]
    reach: Callable[[str, int], tuple[str, ...]]
    greeting: bytes
    capabilities: frozenset[str] = frozenset()

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Runtime]:
        """A running runtime; afterwards its tasks are cancelled, as if the agent had been stopped."""
        runtime = self.make()
        with trio.fail_after(TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                await nursery.start(runtime.run)
                try:
                    yield runtime
                finally:
                    nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def leased(self, *specs: InstanceSpec, lease: LeaseId | None = None) -> AsyncIterator[Runtime]:
        """A running runtime to which these were applied; the lease is removed at the end, also of a failed check."""
        of = lease or specs[0].id.lease
        async with self.agent() as runtime, removing(runtime, of):
            if specs:
                await runtime.apply(desired(*specs))
            yield runtime

    def spec(self, service: str, command: tuple[str, ...] | str, deployment: int = 1, **more: Any) -> InstanceSpec:
        """A string is a shell's script."""
        argv = ("sh", "-c", command) if isinstance(command, str) else command
        spec = InstanceSpec(
            id=instance(service, deployment), image=self.image, command=argv, resources=SMALL, manifest_version=VERSION
        )
        return evolve(spec, **more)


def host_serve(port: int) -> tuple[str, ...]:
    return ("python3", "-c", SERVE, str(port))


def host_reach(host: str, port: int) -> tuple[str, ...]:
    return ("python3", "-c", REACH, host, str(port))


@contextmanager
def host_kit(subject: Subject[RuntimeContext, Runtime]) -> Iterator[RuntimeKit]:
    """For a runtime that runs the host's own commands; its `python3` serves and reaches. The home goes at the end."""
    with tempfile.TemporaryDirectory(prefix="photon-runtime-") as home:
        context = RuntimeContext(home=Path(home), chain_id=bytes(HASH_BYTES), agent="check", config=None)
        yield RuntimeKit(
            make=lambda: subject.make(context),
            image="none",
            serve=host_serve,
            reach=host_reach,
            greeting=GREETING,
            capabilities=subject.record.capabilities,
        )


def instance(service: str, deployment: int = 1) -> InstanceId:
    return InstanceId(LeaseId(deployment, 0, 0), service, 0)


def desired(*specs: InstanceSpec) -> Desired:
    """Sandboxes and instances of one lease."""
    return Desired(
        lease=specs[0].id.lease, sandboxes=tuple((spec.id, spec.resources) for spec in specs), instances=specs
    )


def echo_forever(text: str) -> str:
    """A script that says it and goes on: who has read it knows that the script runs."""
    return f"echo {shlex.quote(text)}; {FOREVER}"


async def observed(runtime: Runtime, of: InstanceId) -> Observed | None:
    return next((one for one in await runtime.observe() if one.id == of), None)


async def until(runtime: Runtime, of: InstanceId, *states: InstanceState) -> Observed:
    """Waits until the instance is in one of these states. The check's own deadline bounds it."""
    async with _woken(runtime) as wake:
        while True:
            now = await observed(runtime, of)
            if now is not None and now.state in states:
                return now
            with trio.move_on_after(LOOK_AGAIN_S):
                await wake.receive()


@asynccontextmanager
async def closing(iterator: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """An iterator of logs or events holds a connection to its engine: whoever stops early says so."""
    try:
        yield iterator
    finally:
        aclose = getattr(iterator, "aclose", None)  # a generator has it, an iterator may
        if aclose is not None:
            await aclose()


@asynccontextmanager
async def _woken(runtime: Runtime) -> AsyncIterator[trio.MemoryReceiveChannel[None]]:
    send, receive = trio.open_memory_channel[None](1)

    async def listen() -> None:
        async with closing(runtime.events()) as events:
            async for _ in events:
                with suppress(trio.WouldBlock):
                    send.send_nowait(None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        yield receive
        nursery.cancel_scope.cancel()


async def said(runtime: Runtime, of: InstanceId, what: bytes) -> bytes:
    """Follows the instance's output until it has said it; returns all that was said."""
    heard = b""
    async with closing(runtime.logs(of, follow=True, tail_lines=1_000_000)) as log:
        async for piece in log:
            heard += piece
            if what in heard:
                return heard
    raise AssertionError(f"the log of {of} ended without {what!r}; it says {heard[-500:]!r}")


@asynccontextmanager
async def removing(runtime: Runtime, lease: LeaseId) -> AsyncIterator[None]:
    """Whatever happens inside: nothing of the lease is left afterwards."""
    try:
        yield
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + TIMEOUT_S):
            await runtime.remove(lease)


@frozen(kw_only=True)
class Ran:
    """What became of a command beside a workload. `output` is both streams, in the order in which they came."""

    exit_code: int
    output: bytes
    stdout: bytes
    stderr: bytes


@asynccontextmanager
async def session(
    runtime: Runtime, of: InstanceId, command: tuple[str, ...] | str, terminal: TerminalSize | None = None
) -> AsyncIterator[ExecSession]:
    """A command beside a workload, killed at the end of the block; a string is a shell's script."""
    argv = ("sh", "-c", command) if isinstance(command, str) else command
    opened = await runtime.exec(of, argv, terminal=terminal)
    try:
        yield opened
    finally:
        with trio.CancelScope(shield=True):
            await opened.aclose()


async def run_beside(
    runtime: Runtime,
    of: InstanceId,
    command: tuple[str, ...] | str,
    given: bytes = b"",
    terminal: TerminalSize | None = None,
) -> Ran:
    """To its end, with all of its output. Without a terminal its input is `given` and then nothing."""
    pieces: list[ExecOutput] = []
    async with session(runtime, of, command, terminal) as opened:

        async def feed() -> None:
            with suppress(RuntimeFailure):  # the reader meets it too, and a nursery would put it into a group
                await opened.write(given)
                if terminal is None:
                    await opened.end_input()

        async def collect() -> None:
            with suppress(RuntimeFailure):
                while (piece := await opened.read()) is not None:
                    assert 0 < len(piece.data) <= EXEC_PIECE_BYTES_MAX
                    pieces.append(piece)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed)
            nursery.start_soon(collect)
        code = await opened.exit_code()
    of_stream = {stream: b"".join(piece.data for piece in pieces if piece.stream is stream) for stream in ExecStream}
    return Ran(
        exit_code=code,
        output=b"".join(piece.data for piece in pieces),
        stdout=of_stream[ExecStream.STDOUT],
        stderr=of_stream[ExecStream.STDERR],
    )


def networks(runtime: Runtime) -> SandboxNetworks:
    """The runtime's second Protocol. The manager checks the same before an agent may use it."""
    assert hasattr(runtime, "namespace"), f"{type(runtime).__name__} says network-agent and has no namespace()"
    return runtime  # type: ignore[return-value]  # just checked; a Protocol of one method
