"""The runtime: compares what is desired of a lease with what lives in its home, and acts on the difference.

Everything it knows is on disk (`folder.py`) and in the kernel; what is in memory here are locks and subscribers. A
sandbox is a helper process and its folder, a workload is a child of the helper. Killing this process changes nothing
for either: the next one finds the folders, sees which helpers live, and goes on.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import trio

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.resources import Resources
from photon_core.api.runtime import (
    Desired,
    ExecSession,
    InstanceSpec,
    InstanceState,
    Namespace,
    Observed,
    RuntimeContext,
    RuntimeFailure,
    TerminalSize,
)
from photon_runtime_process.config import Config
from photon_runtime_process.folder import SANDBOXES, Folder, Owner
from photon_runtime_process.helper.workload import Life
from photon_runtime_process.launch import Launcher
from photon_runtime_process.limits import Cgroups, resource_limits
from photon_runtime_process.logs import LogReader
from photon_runtime_process.network import SandboxNamespace
from photon_runtime_process.sandbox import Sandbox, kill
from photon_runtime_process.session import ProcessSession
from photon_runtime_process.wire import HelperGone, HelperMute, connected

log = logging.getLogger(__name__)

SANDBOXES_STARTING_MAX = 4
"""Python starts in each: more at once only take each other's cores."""
EVENTS_WAITING_MAX = 256
"""Per subscriber; further ones are lost, as the contract allows: the agent looks every few seconds anyway."""
GONE = "the sandbox was killed, and everything in it"

WARNING = (
    "runtime_process is for development: it runs a service's command and args as processes of this machine, in "
    "namespaces of their own, WITHOUT the service's image; never offer it to strangers"
)


class ProcessRuntime:
    """A `Runtime` and a `SandboxNetworks`."""

    def __init__(self, context: RuntimeContext) -> None:
        config = context.config if isinstance(context.config, Config) else Config()
        self._context, self._config = context, config
        self._owner = Owner(chain_id=context.chain_id, agent=context.agent)
        photon_home = os.environ.get("PHOTON_HOME", "")
        hide = (str(context.home), *([photon_home] if photon_home else []), *config.hide)
        self._launcher = Launcher(owner=self._owner, config=config, hide=hide)
        self._cgroups = Cgroups(context.home)
        self._locks: dict[LeaseId, trio.Lock] = defaultdict(trio.Lock)
        self._starting = trio.CapacityLimiter(SANDBOXES_STARTING_MAX)
        self._subscribers: set[trio.MemorySendChannel[InstanceId]] = set()
        self._nursery: trio.Nursery | None = None

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Raises RuntimeFailure when another agent uses this home, or when no sandbox can be made on this machine."""
        with self._only_one():
            scratch = self._context.home / "probe"
            self._launcher = await self._launcher.probe(scratch)
            shutil.rmtree(scratch, ignore_errors=True)
            log.warning(WARNING)
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for folder in list(Folder.all_in(self._context.home)):
                    await self._adopt(folder)
                task_status.started()
                await trio.sleep_forever()

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        (self._context.home / SANDBOXES).mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._context.home / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                what = f"another agent already runs workloads in {self._context.home}"
                raise RuntimeFailure(what, "stop it, or give this one its own home") from None
            yield

    async def _adopt(self, folder: Folder) -> None:
        """What lives goes on. What is dead but has a name keeps its folder, so that its end can be observed. What
        another agent or another version left is swept away: if it is desired, the next apply makes it anew.
        """
        instance, helper = folder.identity(self._owner), folder.helper()
        if instance is None or not folder.legible:
            if helper:
                await kill(helper)
            await trio.to_thread.run_sync(folder.remove)
        elif helper:
            self._watch(Sandbox(instance, folder, helper))

    async def capacity(self) -> Resources:
        config, offer = self._config, self._context.offer
        disk = os.statvfs(self._context.home)
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        found = Resources(
            cpu_milli=len(os.sched_getaffinity(0)) * 1000 if config.cpu_milli is None else config.cpu_milli,
            memory_bytes=memory if config.memory_bytes is None else config.memory_bytes,
            storage_bytes=disk.f_blocks * disk.f_frsize if config.storage_bytes is None else config.storage_bytes,
        )
        if offer is None:
            return found
        return Resources(
            cpu_milli=min(found.cpu_milli, offer.cpu_milli),
            memory_bytes=min(found.memory_bytes, offer.memory_bytes),
            storage_bytes=min(found.storage_bytes, offer.storage_bytes),
        )

    @asynccontextmanager
    async def _alone_with(self, lease: LeaseId) -> AsyncIterator[None]:
        """Its lock goes with the last one who held it or waited for it: never while somebody still waits."""
        lock = self._locks[lease]
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop(lease, None)

    # --- doing -------------------------------------------------------------------------------------------------------

    async def apply(self, desired: Desired) -> None:
        specs = {spec.id: spec for spec in desired.instances}
        wanted = {spec.id: spec.resources for spec in desired.instances} | dict(desired.sandboxes)
        async with self._alone_with(desired.lease):
            for instance, folder in self._folders(desired.lease):
                if instance not in wanted:
                    await self._destroy(folder)
            failures: list[RuntimeFailure] = []
            async with trio.open_nursery() as nursery:
                for instance, room in wanted.items():
                    nursery.start_soon(self._converge_or_tell, instance, room, specs.get(instance), failures)
        if failures:
            raise failures[0]

    async def _converge_or_tell(
        self, instance: InstanceId, room: Resources, spec: InstanceSpec | None, failures: list[RuntimeFailure]
    ) -> None:
        """One instance that cannot be made does not stop its siblings."""
        try:
            await self._converge(instance, room, spec)
        except HelperMute as failure:
            helper = Folder.of(self._context.home, instance).helper()
            if helper:
                await kill(helper)
            failures.append(failure)
        except RuntimeFailure as failure:
            failures.append(failure)
        except OSError as problem:
            what = f"the sandbox of {instance} could not be made: {problem.strerror or problem}"
            failures.append(
                RuntimeFailure(what, f"see to {problem.filename or self._context.home}: its disk and rights")
            )

    async def _converge(self, instance: InstanceId, room: Resources, spec: InstanceSpec | None) -> None:
        async with self._starting:
            folder = Folder.of(self._context.home, instance)
            before, helper = folder.life(), folder.helper()
            if helper:
                sandbox = Sandbox(instance, folder, helper)
            else:
                sandbox = Sandbox(instance, folder, await self._launcher.launch(folder, instance))
                self._watch(sandbox)
            resources = spec.resources if spec else room
            in_cgroup = self._cgroups.put(folder.path.name, sandbox.helper.pid, resources, self._config.pids_max)
            if spec is None:
                await sandbox.stop(self._config.stop_grace_ms)
                return
            folder.write_hosts(spec.hosts)
            limits = resource_limits(spec.resources, self._config.pids_max, in_cgroup=in_cgroup)
            await self._converge_workload(sandbox, spec, before, limits)

    async def _converge_workload(
        self, sandbox: Sandbox, spec: InstanceSpec, before: Life, limits: dict[str, int]
    ) -> None:
        same = before.spec_digest == spec.spec_digest
        if same and sandbox.life.state == "running":
            return
        if not same and before.spec_digest:
            await sandbox.stop(self._config.stop_grace_ms)
            await trio.to_thread.run_sync(sandbox.folder.empty_work)
        await sandbox.start(spec, limits, before.restarts + 1 if same else 0)

    async def remove(self, lease: LeaseId) -> None:
        async with self._alone_with(lease):
            for _, folder in self._folders(lease):
                await self._destroy(folder)

    async def _destroy(self, folder: Folder) -> None:
        """First asked, then killed, then forgotten: in this order a crash in between leaves what can be found again."""
        helper = folder.helper()
        if helper:
            sandbox = Sandbox(InstanceId(LeaseId(0, 0, 0), "", 0), folder, helper)
            try:
                await sandbox.stop(self._config.stop_grace_ms)
            except Exception as problem:  # noqa: BLE001 - whatever it was: what is to go is killed
                log.info("the sandbox in %s did not stop when asked: %s", folder.path, problem)
            with trio.CancelScope(shield=True):
                await kill(helper)
        self._cgroups.drop(folder.path.name)
        await trio.to_thread.run_sync(folder.remove)

    # --- looking -----------------------------------------------------------------------------------------------------

    def _folders(self, lease: LeaseId | None = None) -> list[tuple[InstanceId, Folder]]:
        named = ((folder.identity(self._owner), folder) for folder in Folder.all_in(self._context.home))
        return sorted(
            ((instance, folder) for instance, folder in named if instance and lease in {None, instance.lease}),
            key=lambda pair: pair[0],
        )

    async def observe(self) -> tuple[Observed, ...]:
        return await trio.to_thread.run_sync(self._observe)

    def _observe(self) -> tuple[Observed, ...]:
        seen = []
        for instance, folder in self._folders():
            life = folder.life()
            if life.state == "running" and not folder.helper():
                life = Life(state="exited", spec_digest=life.spec_digest, reason=GONE, restarts=life.restarts)
            seen.append(
                Observed(
                    id=instance,
                    state=InstanceState(life.state),
                    spec_digest=life.spec_digest,
                    exit_code=life.exit_code,
                    reason=life.reason,
                    since_ms=life.since_ms,
                    restarts=life.restarts,
                )
            )
        return tuple(seen)

    def _sandbox(self, instance: InstanceId) -> Sandbox:
        folder = Folder.of(self._context.home, instance)
        helper = folder.helper()
        if helper is None or folder.identity(self._owner) != instance:
            raise KeyError(f"no sandbox of {instance} is alive in {self._context.home}")
        return Sandbox(instance, folder, helper)

    async def namespace(self, instance: InstanceId) -> Namespace:
        return SandboxNamespace(self._sandbox(instance))

    async def exec(
        self, instance: InstanceId, command: tuple[str, ...], *, terminal: TerminalSize | None
    ) -> ExecSession:
        if self._nursery is None:
            raise RuntimeFailure("the runtime is not running", "start run() first")
        try:
            sandbox = self._sandbox(instance)
        except KeyError as problem:
            raise RuntimeFailure(str(problem.args[0])) from None
        if sandbox.life.state != InstanceState.RUNNING.value:
            raise RuntimeFailure(f"{instance} does not run", "it is started again: look with `photon status`")
        session = ProcessSession(sandbox.folder, command, terminal)
        await self._nursery.start(session.run)
        session.raise_failure()
        return session

    async def logs(self, instance: InstanceId, *, follow: bool, tail_lines: int) -> AsyncIterator[bytes]:
        folder = Folder.of(self._context.home, instance)
        in_thread = trio.to_thread.run_sync
        reader = await in_thread(LogReader, folder.log, tail_lines)
        with suppress(HelperGone):
            if follow:
                async with connected(folder) as connection:
                    while True:
                        while piece := await in_thread(reader.read):
                            yield piece
                        await connection.send({"op": "follow", "offset": reader.offset})
                        await connection.receive()
        while piece := await in_thread(reader.read):
            yield piece

    # --- events ------------------------------------------------------------------------------------------------------

    def _watch(self, sandbox: Sandbox) -> None:
        if self._nursery is None:
            raise RuntimeFailure("the runtime is not running", "start run() first")
        self._nursery.start_soon(self._watch_until_gone, sandbox)

    async def _watch_until_gone(self, sandbox: Sandbox) -> None:
        """Or until it can no longer be watched, which is its own trouble: this task shares a nursery with all others.
        The agent looks every few seconds anyway.
        """
        with suppress(RuntimeFailure, OSError):
            async with connected(sandbox.folder) as connection:
                await connection.send({"op": "watch"})
                while True:
                    await connection.receive()
                    self._publish(sandbox.instance)
        self._publish(sandbox.instance)

    def _publish(self, instance: InstanceId) -> None:
        for subscriber in tuple(self._subscribers):
            with suppress(trio.WouldBlock, trio.BrokenResourceError):
                subscriber.send_nowait(instance)

    async def events(self) -> AsyncIterator[InstanceId]:
        send, receive = trio.open_memory_channel[InstanceId](EVENTS_WAITING_MAX)
        self._subscribers.add(send)
        try:
            async for instance in receive:
                yield instance
        finally:
            self._subscribers.discard(send)
