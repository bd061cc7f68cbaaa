"""One instance, made what it ought to be. What is done here is done under the lock of its lease.

Order matters where a crash may fall between two steps: a container can be found by its labels from its creation on, a
start is on record before it happens, an image is here before the workload that it replaces is stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import trio
from attrs import evolve

from photon_core.api.ids import InstanceId
from photon_core.api.resources import Resources
from photon_core.api.runtime import InstanceSpec, RuntimeFailure
from photon_runtime_containers.calls import Calls
from photon_runtime_containers.config import Config
from photon_runtime_containers.engine import (
    CALL_TIMEOUT_S,
    CannotStart,
    Container,
    ContainerSpec,
    ContainerState,
    Limits,
    LimitsRefused,
    Mount,
    NoSuchContainer,
    PullFailure,
)
from photon_runtime_containers.folder import Folder, Home
from photon_runtime_containers.holdings import Held, Holding, Holdings
from photon_runtime_containers.judging import in_its_network
from photon_runtime_containers.labels import Identity, Owner, Role
from photon_runtime_containers.processes import Process
from photon_runtime_containers.pulls import Pulls
from photon_runtime_containers.start import Ground, Machine

log = logging.getLogger(__name__)

PULL_PATIENCE_S = 20.0
"""How long `apply` waits for an image. Whoever closes or changes the lease waits no longer than this."""
MEMORY_BYTES_MIN = 6 * 2**20
"""Engines refuse less: a container could not even be started."""
CPU_MILLI_MIN = 10
HOSTNAME_MAX = 63


class Converger:
    def __init__(
        self,
        config: Config,
        calls: Calls,
        home: Home,
        owner: Owner,
        pulls: Pulls,
        machine: Machine,
        ground: Ground,
        publish: Callable[[InstanceId], None],
    ) -> None:
        self._config, self._calls, self._home, self._owner = config, calls, home, owner
        self._holdings = Holdings(calls, owner)
        self._pulls, self._machine, self._ground, self._publish = pulls, machine, ground, publish

    async def converge(self, holding: Holding, spec: InstanceSpec | None) -> None:
        """RuntimeFailure when the engine cannot; what is the tenant's fault goes on record."""
        for held in holding.surplus:
            await self.discard(held)
        folder = self._home.folder(holding.instance)
        await trio.to_thread.run_sync(folder.prepare)
        sandbox = await self._sandbox(holding)
        if spec is None:
            if holding.workload and holding.workload.running:
                await self._stop(holding.workload)
            return
        folder.write_hosts(spec.hosts)
        try:
            await self._workload(holding, sandbox, spec, folder)
        except (PullFailure, CannotStart) as fault:
            self._record_fault(folder, spec.spec_digest, str(fault))

    # --- the sandbox -------------------------------------------------------------------------------------------------

    async def _sandbox(self, holding: Holding) -> Container:
        found = await self._holdings.inspect(holding.sandbox)
        if found and found.state is ContainerState.RUNNING:
            return found
        if found and holding.sandbox:  # the machine or the engine was restarted, or somebody stopped it
            try:
                return await self._start_sandbox(found.id)
            except (RuntimeFailure, CannotStart, NoSuchContainer) as problem:
                log.info("the sandbox of %s does not start again: %s", holding.instance, problem)
                await self.discard(holding.sandbox)
        return await self._new_sandbox(Identity(instance=holding.instance, role=Role.SANDBOX))

    async def _new_sandbox(self, identity: Identity) -> Container:
        name = self._owner.name(identity)
        spec = ContainerSpec(
            name=name,
            image=self._machine.sandbox_image,
            labels=tuple(self._owner.labels(name, identity).items()),
            hostname=f"{identity.instance.service}-{identity.instance.ordinal}"[:HOSTNAME_MAX],
            read_only=True,
        )
        try:
            container = await self._calls.do(lambda: self._calls.engine.create(spec))
            try:
                return await self._start_sandbox(container)
            except BaseException:
                await self._calls.do(lambda: self._calls.engine.remove(container))
                raise
        except (CannotStart, NoSuchContainer, PullFailure) as problem:
            what = f"the sandbox could not be made: {problem}"
            raise RuntimeFailure(what, "see the engine's log; the next round tries again") from None

    async def _start_sandbox(self, container: str) -> Container:
        await self._calls.do(lambda: self._calls.engine.start(container))
        started = await self._calls.ask(lambda: self._calls.engine.inspect(container))
        process = Process.of(started.pid)
        if process is None:
            raise RuntimeFailure("the sandbox ended as soon as it was started", "see the engine's log")
        try:
            await self._ground.open_ports(process)
        except OSError as problem:  # refused at start where nobody may enter; here it is a convenience that is missing
            log.info("ports below 1024 need a capability in %s: %s", container[:12], problem)
        return started

    # --- the workload ------------------------------------------------------------------------------------------------

    async def _workload(self, holding: Holding, sandbox: Container, spec: InstanceSpec, folder: Folder) -> None:
        held = holding.workload
        found = await self._holdings.inspect(held)
        like = (spec.spec_digest, sandbox.id)
        same = held is not None and (held.identity.spec_digest, held.identity.sandbox) == like
        limits = self.limits(spec.resources)
        if found and same:
            if await self._goes_on(found, sandbox, limits):
                return
            await self._start(found.id, spec, folder)
            return
        try:
            if not await self._image(spec, folder):
                return  # its pull goes on, and an event says when it is over
        except PullFailure:
            await self._replace(held)  # it is no longer desired, whatever comes in its place
            raise
        await self._replace(held)
        folder.write(evolve(folder.record(), spec_digest=spec.spec_digest, starts=self._starts(folder, spec)))
        identity = Identity(
            instance=spec.id,
            role=Role.WORKLOAD,
            spec_digest=spec.spec_digest,
            manifest_version=spec.manifest_version,
            sandbox=sandbox.id,
        )
        container_spec = self._spec(spec, identity, sandbox, limits)
        container = await self._calls.do(lambda: self._calls.engine.create(container_spec))
        try:
            await self._start(container, spec, folder)
        except CannotStart:
            await self._calls.do(lambda: self._calls.engine.remove(container))
            raise
        except NoSuchContainer:
            raise RuntimeFailure("the container was removed while it was being started") from None

    async def _goes_on(self, found: Container, sandbox: Container, limits: Limits) -> bool:
        """True when it runs where it should; its limits are as they should be in any case."""
        running = found.state is ContainerState.RUNNING
        if running and not in_its_network(sandbox, found, self._ground.same_network):
            await self._calls.do(lambda: self._calls.engine.stop(found.id, self._grace_s), self._stopping_s)
            running = False
        if found.limits != limits:
            try:
                await self._calls.do(lambda: self._calls.engine.update(found.id, limits))
            except LimitsRefused:
                if not running:
                    raise
                await self._calls.do(lambda: self._calls.engine.stop(found.id, self._grace_s), self._stopping_s)
                await self._calls.do(lambda: self._calls.engine.update(found.id, limits))
                running = False
        return running

    async def _image(self, spec: InstanceSpec, folder: Folder) -> bool:
        """False when it takes longer than one may wait for it. Raises PullFailure, RuntimeFailure."""

        def settled(instance: InstanceId, digest: str, why: str, tenants: bool) -> None:
            if why and tenants:
                self._record_fault(self._home.folder(instance), digest, why)
            self._publish(instance)

        pull = await self._pulls.image(spec.image, spec.id, spec.spec_digest, settled)
        if pull is None:
            return True
        record = folder.record()
        if record.fault:  # what it was is over: now it is being pulled again
            folder.write(evolve(record, fault=""))
        self._publish(spec.id)
        with trio.move_on_after(PULL_PATIENCE_S):
            await pull.over.wait()
            if pull.failure:
                raise pull.failure
            return True
        return False

    async def _start(self, container: str, spec: InstanceSpec, folder: Folder) -> None:
        """A start that the engine could not even try is none."""
        before = folder.record()
        starts = self._starts(folder, spec) + 1
        folder.write(evolve(before, spec_digest=spec.spec_digest, starts=starts, fault=""))
        try:
            await self._calls.do(lambda: self._calls.engine.start(container))
        except RuntimeFailure:
            folder.write(before)
            raise

    def _starts(self, folder: Folder, spec: InstanceSpec) -> int:
        record = folder.record()
        return record.starts if record.spec_digest == spec.spec_digest else 0

    def _spec(self, spec: InstanceSpec, identity: Identity, sandbox: Container, limits: Limits) -> ContainerSpec:
        config, name = self._config, self._owner.name(identity)
        in_memory = (("/tmp", config.tmp_bytes), ("/run", config.tmp_bytes)) if config.read_only_root else ()  # noqa: S108
        return ContainerSpec(
            name=name,
            image=spec.image,
            labels=tuple(self._owner.labels(name, identity).items()),
            entrypoint=spec.command,
            command=spec.args,
            env=spec.env,
            network_of=sandbox.id,
            mounts=(
                Mount(source=str(self._home.folder(spec.id).hosts), target="/etc/hosts"),
                Mount(source=str(self._home.resolv), target="/etc/resolv.conf"),
            ),
            temporary=in_memory,
            limits=limits,
            storage_bytes=spec.resources.storage_bytes if self._machine.limits_storage else 0,
            log_bytes=config.log_bytes,
            read_only=config.read_only_root,
            capabilities=config.capabilities,
        )

    def limits(self, resources: Resources) -> Limits:
        """As an engine takes them: not below what it can start at all, not above what the machine has."""
        cpu_milli = resources.cpu_milli and min(max(resources.cpu_milli, CPU_MILLI_MIN), self._machine.cpu_count * 1000)
        memory_bytes = resources.memory_bytes and max(resources.memory_bytes, MEMORY_BYTES_MIN)
        return Limits(cpu_milli=cpu_milli, memory_bytes=memory_bytes, pids_max=self._config.pids_max)

    def _record_fault(self, folder: Folder, digest: str, why: str) -> None:
        """Every time anew: whoever counts failures tells two of them apart by `restarts` and `since_ms`."""
        record = folder.record()
        starts = record.starts if record.spec_digest == digest else 0
        now_ms = time.time_ns() // 10**6
        folder.write(evolve(record, spec_digest=digest, starts=max(1, starts), fault=why, since_ms=now_ms))

    # --- the end -----------------------------------------------------------------------------------------------------

    @property
    def _grace_s(self) -> float:
        return self._config.stop_grace_ms / 1000

    @property
    def _stopping_s(self) -> float:
        return CALL_TIMEOUT_S + self._grace_s

    async def _stop(self, held: Held) -> None:
        try:
            await self._calls.do(lambda: self._calls.engine.stop(held.id, self._grace_s), self._stopping_s)
        except NoSuchContainer:
            log.info("%s was removed by somebody else", held.listed.name)

    async def _replace(self, held: Held | None) -> None:
        if held is not None:
            await self._stop(held)
            await self.discard(held)

    async def discard(self, held: Held) -> None:
        await self._calls.do(lambda: self._calls.engine.remove(held.id))

    async def destroy(self, holding: Holding) -> None:
        """First asked, then killed, then forgotten: in this order a crash in between leaves what can be found again."""
        if holding.workload and holding.workload.running:
            await self._stop(holding.workload)
        for held in holding.all:
            await self.discard(held)
        await trio.to_thread.run_sync(self._home.folder(holding.instance).remove)
