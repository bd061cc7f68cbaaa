"""A runtime in memory: instances do what the test says, sandboxes are worlds of real sockets of their own.

    runtime = FakeRuntime()
    await runtime.apply(desired)
    runtime.exited(instance, code=1)
    with runtime.world(instance).serve(80) as listening: ...      # the workload opens a port
    runtime.world(instance).dial("127.77.0.1", 5432)              # the workload connects

A world maps (address, port) to a listener on the host's loopback, so nothing in one world is reachable from another,
and what does not listen is refused, as in a network namespace. Wildcard addresses are not imitated.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count
from typing import Any

import trio
from attrs import define, evolve, field

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.resources import Resources
from photon_core.api.runtime import Desired, InstanceSpec, InstanceState, Observed, RuntimeFailure, TerminalSize
from photon_core.testing.fakes.exec import FakeSession

PLENTY = Resources(cpu_milli=8_000, memory_bytes=16 * 2**30, storage_bytes=100 * 2**30)
LOOPBACK = "127.0.0.1"


class World:
    """One sandbox's network. A `Namespace`."""

    def __init__(self) -> None:
        self._listening: dict[tuple[str, int], socket.socket] = {}
        self._ports = count(40_000)

    async def listener(self, address: str, port: int) -> socket.socket:
        where = (address, port or next(self._ports))
        return self._bind(where)

    def _bind(self, where: tuple[str, int]) -> socket.socket:
        if where in self._listening and self._listening[where].fileno() >= 0:
            raise OSError(98, "Address already in use")
        listening = socket.create_server((LOOPBACK, 0))
        listening.setblocking(False)
        self._listening[where] = listening
        return listening

    def serve(self, port: int) -> socket.socket:
        """The workload listens."""
        return self._bind((LOOPBACK, port))

    def dial(self, address: str, port: int) -> socket.socket:
        """The workload connects; ConnectionRefusedError when nothing listens there."""
        listening = self._listening.get((address, port))
        if listening is None or listening.fileno() < 0:
            raise ConnectionRefusedError(111, "Connection refused")
        connected = socket.create_connection(listening.getsockname())
        connected.setblocking(False)
        return connected

    async def connect(self, address: str, port: int) -> socket.socket:
        await trio.lowlevel.checkpoint()
        return self.dial(address, port)

    async def redirect(self, port: int) -> bool:  # noqa: ARG002 - the contract's name
        return False

    def close(self) -> None:
        for listening in self._listening.values():
            listening.close()


@define
class _Reading:
    wake: trio.Event = field(factory=trio.Event)
    cut: bool = False


class FakeRuntime:
    """A `Runtime` and `SandboxNetworks`. `fail_with` makes every verb of a lease fail; `calls` is what was asked."""

    def __init__(self, capacity: Resources = PLENTY) -> None:
        self._capacity = capacity
        self.instances: dict[InstanceId, Observed] = {}
        self.specs: dict[InstanceId, InstanceSpec] = {}
        self.worlds: dict[InstanceId, World] = {}
        self.calls: list[tuple[str, LeaseId]] = []
        self.fail_with: dict[LeaseId, RuntimeFailure] = {}
        self.logged: dict[InstanceId, bytes] = {}
        self.sessions: dict[InstanceId, list[FakeSession]] = {}
        """All that were ever opened."""
        self._reading: dict[InstanceId, _Reading] = {}
        self.deaf: RuntimeFailure | None = None
        """Set: the engine does not answer at all."""
        self._clock_ms = count(1_000)
        self._subscribers: set[trio.MemorySendChannel[InstanceId]] = set()

    # --- what the test does ------------------------------------------------------------------------------------------

    def world(self, instance: InstanceId) -> World:
        return self.worlds[instance]

    def exited(self, instance: InstanceId, code: int) -> None:
        self._change(instance, state=InstanceState.EXITED, exit_code=code)

    def failed(self, instance: InstanceId, reason: str) -> None:
        self._change(instance, state=InstanceState.FAILED, reason=reason)

    def lose_sandbox(self, instance: InstanceId) -> None:
        """Killed from outside, with everything in it."""
        self.worlds.pop(instance).close()
        self._change(instance, state=InstanceState.EXITED, exit_code=None, reason="killed")

    def say(self, instance: InstanceId, output: bytes) -> None:
        """The workload prints; who follows its logs reads it."""
        self.logged[instance] = self.logged.get(instance, b"") + output
        self._reading.setdefault(instance, _Reading()).wake.set()

    def cut_logs(self, instance: InstanceId) -> None:
        """Readings of its logs end, as those of a sandbox that is killed do."""
        reading = self._reading.pop(instance, _Reading())
        reading.cut = True
        reading.wake.set()

    def close(self) -> None:
        for world in self.worlds.values():
            world.close()

    # --- Runtime -----------------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()

    async def capacity(self) -> Resources:
        return self._capacity

    async def apply(self, desired: Desired) -> None:
        self._called("apply", desired.lease)
        await trio.lowlevel.checkpoint()
        wanted = {instance for instance, _ in desired.sandboxes} | {spec.id for spec in desired.instances}
        for instance in [i for i in self.instances if i.lease == desired.lease and i not in wanted]:
            self._drop(instance)
        for instance in sorted(wanted):
            self.instances.setdefault(instance, Observed(id=instance, state=InstanceState.SANDBOX))
            self.worlds.setdefault(instance, World())
        for spec in desired.instances:
            self._start(spec)

    async def remove(self, lease: LeaseId) -> None:
        self._called("remove", lease)
        await trio.lowlevel.checkpoint()
        for instance in [i for i in self.instances if i.lease == lease]:
            self._drop(instance)

    async def observe(self) -> tuple[Observed, ...]:
        await trio.lowlevel.checkpoint()
        if self.deaf is not None:
            raise self.deaf
        return tuple(self.instances[instance] for instance in sorted(self.instances))

    async def logs(self, instance: InstanceId, *, follow: bool, tail_lines: int) -> AsyncIterator[bytes]:
        await trio.lowlevel.checkpoint()
        told = self.logged.get(instance, b"")
        yield b"".join(told.splitlines(keepends=True)[-tail_lines:])
        reading = self._reading.setdefault(instance, _Reading())
        while follow and not reading.cut:
            more = self.logged.get(instance, b"")[len(told) :]
            if more:
                yield more
                told += more
            else:
                reading.wake = trio.Event() if reading.wake.is_set() else reading.wake
                await reading.wake.wait()

    async def exec(
        self, instance: InstanceId, command: tuple[str, ...], *, terminal: TerminalSize | None
    ) -> FakeSession:
        self._called("exec", instance.lease)
        await trio.lowlevel.checkpoint()
        seen = self.instances.get(instance)
        if seen is None or seen.state is not InstanceState.RUNNING:
            raise RuntimeFailure(f"{instance} does not run")
        session = FakeSession(command, terminal)
        self.sessions.setdefault(instance, []).append(session)
        return session

    async def events(self) -> AsyncIterator[InstanceId]:
        send, receive = trio.open_memory_channel[InstanceId](64)
        self._subscribers.add(send)
        try:
            async for instance in receive:
                yield instance
        finally:
            self._subscribers.discard(send)

    async def namespace(self, instance: InstanceId) -> World:
        await trio.lowlevel.checkpoint()
        return self.worlds[instance]

    # --- inside ------------------------------------------------------------------------------------------------------

    def _called(self, verb: str, lease: LeaseId) -> None:
        self.calls.append((verb, lease))
        if failure := self.deaf or self.fail_with.get(lease):
            raise failure

    def _start(self, spec: InstanceSpec) -> None:
        before = self.instances[spec.id]
        same = before.spec_digest == spec.spec_digest
        if same and before.state is InstanceState.RUNNING:
            return
        restarts = before.restarts + 1 if same else 0
        self._end_sessions(spec.id)
        self.specs[spec.id] = spec
        self.instances[spec.id] = Observed(
            id=spec.id,
            state=InstanceState.RUNNING,
            spec_digest=spec.spec_digest,
            since_ms=next(self._clock_ms),
            restarts=restarts,
        )
        self._tell(spec.id)

    def _change(self, instance: InstanceId, **changes: Any) -> None:
        self._end_sessions(instance)
        changed = evolve(self.instances[instance], since_ms=next(self._clock_ms), **changes)
        self.instances[instance] = changed
        self._tell(instance)

    def _end_sessions(self, instance: InstanceId) -> None:
        for session in self.sessions.get(instance, ()):
            session.fail()

    def _drop(self, instance: InstanceId) -> None:
        del self.instances[instance]
        self._end_sessions(instance)
        if world := self.worlds.pop(instance, None):
            world.close()
        self._tell(instance)

    def _tell(self, instance: InstanceId) -> None:
        for subscriber in tuple(self._subscribers):
            with suppress(trio.WouldBlock):
                subscriber.send_nowait(instance)
