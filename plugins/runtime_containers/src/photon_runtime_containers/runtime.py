"""The runtime over a container engine: compares what is desired of a lease with what the engine has, and acts on the
difference.

Theory of operation
-------------------
An instance is two containers. The **sandbox** runs a program that does nothing, with no network but loopback; it holds
the network namespace that the agent wires. The **workload** joins that namespace when it is started, and may end and
start in it any number of times, be replaced by another, or never come.

    sandbox    workload     made by                         ends by
    -------    ----------   -----------------------------   ------------------------------------------
    runs       -            apply, lease known              remove
    runs       runs         apply, instance desired         its own end; apply without it: stopped
    runs       exited       (kept, with its log and files)  apply: started again, same container
    runs       other spec   apply: image first, then the    -
                            old one goes, the new one comes
    stopped    whatever     the engine or the machine was   apply: started again, then the workload,
                            restarted, somebody's hand      which must leave the old network
    gone       whatever     somebody's hand                 apply: all anew

Three things hold what is known, none of them this process: the engine has the containers, with sealed labels that say
whose they are (`labels`); the home has how often each was started and why it could not be (`folder`); a pull under way
is the one thing that a killed agent forgets, and the next one begins it again. So `observe` looks, and never remembers
beyond what events keep true (`holdings`).

Everything that changes a lease happens under its lock. `remove` does not wait for an `apply` of the same lease: it
cancels it, between two steps.

All calls block and run in worker threads (`calls`); pulls, logs, events and commands are streams, each with a thread
that ends when the stream is closed (`pump`).
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import cached_property, partial

import trio
from attrs import frozen

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.resources import Resources
from photon_core.api.runtime import (
    Desired,
    ExecSession,
    InstanceSpec,
    Namespace,
    Observed,
    RuntimeContext,
    RuntimeFailure,
    TerminalSize,
)
from photon_runtime_containers import start
from photon_runtime_containers.calls import Calls
from photon_runtime_containers.config import Config
from photon_runtime_containers.converge import Converger
from photon_runtime_containers.engine import CannotStart, Engine, NoSuchContainer
from photon_runtime_containers.events import Events
from photon_runtime_containers.exec import EXECS_AT_ONCE_MAX, ContainerExec, NeverStarted
from photon_runtime_containers.folder import Home
from photon_runtime_containers.holdings import Holding, Holdings, Inspections
from photon_runtime_containers.judging import Seen, judge
from photon_runtime_containers.labels import Owner, owner_of
from photon_runtime_containers.logs import Logs
from photon_runtime_containers.network import SandboxNamespace
from photon_runtime_containers.processes import Process, kill_session
from photon_runtime_containers.pulls import Pulls

log = logging.getLogger(__name__)

INSPECTED_AT_ONCE_MAX = 8


@frozen
class _Eyes:
    """What looking takes: whoever sweeps up after a dead agent looks without running anything."""

    owner: Owner
    holdings: Holdings
    inspections: Inspections
    events: Events


@frozen
class _Hands:
    """What there is once the runtime runs."""

    pulls: Pulls
    converger: Converger


class ContainerRuntime:
    """A `Runtime` and a `SandboxNetworks`, over any `Engine`."""

    def __init__(self, context: RuntimeContext, engine: Engine, ground: start.Ground | None = None) -> None:
        self._context = context
        self._config = context.config if isinstance(context.config, Config) else Config()
        self._ground = ground or start.Ground()
        self._home = Home(context.home)
        self._calls = Calls(engine)
        self._inspecting = trio.CapacityLimiter(INSPECTED_AT_ONCE_MAX)
        self._locks: dict[LeaseId, trio.Lock] = defaultdict(trio.Lock)
        self._applying: dict[LeaseId, trio.CancelScope] = {}
        self._namespaces: dict[InstanceId, SandboxNamespace] = {}
        self._execs: dict[InstanceId, int] = defaultdict(int)
        self._hands: _Hands | None = None

    # --- life --------------------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Raises RuntimeFailure when the engine is not there, when another agent uses this home, or when nobody may
        enter a sandbox's network from here.
        """
        self._config.check()
        with self._home.only_one():
            eyes = self._eyes
            machine = await start.prepare(self._calls, eyes.owner, self._ground)
            await self._adopt(eyes.holdings)
            async with trio.open_nursery() as nursery:
                pulls = Pulls(self._calls, nursery, self._config.pull_timeout_s, self._config.pull_silence_s)
                converger = Converger(
                    self._config,
                    self._calls,
                    self._home,
                    eyes.owner,
                    pulls,
                    machine,
                    self._ground,
                    eyes.events.publish,
                )
                self._hands = _Hands(pulls, converger)
                nursery.start_soon(eyes.events.follow, eyes.holdings)
                task_status.started()
                await trio.sleep_forever()

    async def _adopt(self, holdings: Holdings) -> None:
        """What runs goes on. Commands of an agent that was killed are ended, folders of nothing go."""
        held = await holdings.look()
        for folder in await trio.to_thread.run_sync(self._home.folders):
            for command in folder.execs():
                await trio.to_thread.run_sync(kill_session, command)
                folder.forget_exec(command)
            if folder.instance not in held:
                await trio.to_thread.run_sync(folder.remove)

    @cached_property
    def _eyes(self) -> _Eyes:
        self._home.prepare()
        owner = owner_of(self._home.path, self._context.chain_id, self._context.agent)
        holdings = Holdings(self._calls, owner)
        inspections = Inspections(holdings)
        return _Eyes(owner, holdings, inspections, Events(self._calls, owner, inspections))

    @property
    def _running(self) -> _Hands:
        if self._hands is None:
            raise RuntimeFailure("the runtime is not running", "start run() first")
        return self._hands

    async def capacity(self) -> Resources:
        config, offer = self._config, self._context.offer
        info = await self._calls.ask(self._calls.engine.info)
        storage = await trio.to_thread.run_sync(start.disk_bytes, info.folder, self._home.path)
        found = Resources(
            cpu_milli=info.cpu_count * 1000 if config.cpu_milli is None else config.cpu_milli,
            memory_bytes=info.memory_bytes if config.memory_bytes is None else config.memory_bytes,
            storage_bytes=storage if config.storage_bytes is None else config.storage_bytes,
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
        eyes, hands, lease = self._eyes, self._running, desired.lease
        specs = {spec.id: spec for spec in desired.instances}
        wanted = specs.keys() | {instance for instance, _ in desired.sandboxes}
        failures: list[RuntimeFailure] = []
        async with self._alone_with(lease):
            scope = self._applying[lease] = trio.CancelScope()
            try:
                with scope:
                    hands.pulls.forget(lease, but=frozenset(specs))
                    held = await eyes.holdings.look(lease)
                    for instance in held.keys() - wanted:
                        await hands.converger.destroy(held[instance])
                    async with trio.open_nursery() as nursery:
                        for instance in sorted(wanted):
                            holding = held.get(instance) or Holding(instance)
                            nursery.start_soon(self._converge_or_tell, holding, specs.get(instance), failures)
            finally:
                del self._applying[lease]
                eyes.inspections.forget_all()
        if scope.cancelled_caught:
            raise RuntimeFailure(f"lease {lease} was removed while it was being made")
        if failures:
            raise failures[0]

    async def _converge_or_tell(
        self, holding: Holding, spec: InstanceSpec | None, failures: list[RuntimeFailure]
    ) -> None:
        """One instance that cannot be made does not stop its siblings."""
        try:
            await self._running.converger.converge(holding, spec)
        except RuntimeFailure as failure:
            failures.append(failure)
        except NoSuchContainer:
            failures.append(RuntimeFailure(f"a container of {holding.instance} was removed by somebody else"))
        except OSError as problem:
            what = f"{holding.instance} could not be made: {problem.strerror or problem}"
            failures.append(RuntimeFailure(what, f"see to {problem.filename or self._home.path}: its disk and rights"))

    async def remove(self, lease: LeaseId) -> None:
        eyes, hands = self._eyes, self._running
        if lease in self._applying:
            self._applying[lease].cancel()
        hands.pulls.forget(lease)
        async with self._alone_with(lease):
            hands.pulls.forget(lease)
            for instance, holding in (await eyes.holdings.look(lease)).items():
                await hands.converger.destroy(holding)
                self._namespaces.pop(instance, None)
            for folder in await trio.to_thread.run_sync(self._home.folders):
                if folder.instance.lease == lease:
                    await trio.to_thread.run_sync(folder.remove)

    # --- looking -----------------------------------------------------------------------------------------------------

    async def observe(self) -> tuple[Observed, ...]:
        eyes, pulls, now_s = self._eyes, self._hands and self._hands.pulls, time.monotonic()
        held = await eyes.holdings.look()
        eyes.inspections.keep({one.id for holding in held.values() for one in holding.all})
        seen: dict[InstanceId, Observed] = {}
        failures: list[RuntimeFailure] = []

        async def look_at(instance: InstanceId, holding: Holding) -> None:
            try:
                async with self._inspecting:
                    sandbox = await eyes.inspections.get(holding.sandbox, now_s)
                    workload = await eyes.inspections.get(holding.workload, now_s)
            except RuntimeFailure as failure:  # a nursery would put it into a group
                failures.append(failure)
                return
            if sandbox is None and workload is None and not holding.surplus:
                return  # went while we looked
            one = Seen(
                instance=instance,
                sandbox=sandbox,
                workload=workload,
                digest=holding.workload.identity.spec_digest if holding.workload else "",
                record=self._home.folder(instance).record(),
                pull=pulls.of(instance) if pulls else None,
                starting=instance.lease in self._applying,
            )
            seen[instance] = judge(one, self._ground.same_network)

        async with trio.open_nursery() as nursery:
            for instance, holding in held.items():
                nursery.start_soon(look_at, instance, holding)
        if failures:
            raise failures[0]
        return tuple(seen[instance] for instance in sorted(seen))

    async def logs(self, instance: InstanceId, *, follow: bool, tail_lines: int) -> AsyncIterator[bytes]:
        reader = Logs(self._calls, self._eyes.holdings, self._eyes.events)
        async with aclosing(reader.read(instance, follow=follow, tail_lines=tail_lines)) as pieces:
            async for piece in pieces:
                yield piece

    async def exec(
        self, instance: InstanceId, command: tuple[str, ...], *, terminal: TerminalSize | None
    ) -> ExecSession:
        holding = await self._eyes.holdings.of(instance)
        workload = holding.workload
        if workload is None or not workload.running:
            raise RuntimeFailure(f"{instance} does not run")
        if self._execs[instance] >= EXECS_AT_ONCE_MAX:
            raise RuntimeFailure(f"{EXECS_AT_ONCE_MAX} commands run beside {instance} already", "end one of them")
        self._execs[instance] += 1
        session: ContainerExec | None = None
        try:
            connection = await self._calls.do(lambda: self._calls.engine.exec(workload.id, command, terminal))
            folder, over = self._home.folder(instance), partial(self._exec_is_over, instance)
            session = ContainerExec(self._calls, connection, folder, over, terminal=terminal is not None)
            await session.learn_its_process()
        except CannotStart as problem:
            return NeverStarted(problem.reason, problem.exit_code, terminal=terminal is not None)
        except NoSuchContainer:
            raise RuntimeFailure(f"{instance} does not run") from None
        except BaseException:
            if session is not None:
                await session.aclose()
            raise
        finally:
            if session is None:
                self._exec_is_over(instance)
        return session

    def _exec_is_over(self, instance: InstanceId) -> None:
        self._execs[instance] -= 1
        if not self._execs[instance]:
            del self._execs[instance]

    async def namespace(self, instance: InstanceId) -> Namespace:
        """The same object as long as the sandbox is the same one: it knows which listeners are the agent's."""
        holding = await self._eyes.holdings.of(instance)
        sandbox = await self._eyes.holdings.inspect(holding.sandbox)
        process = Process.of(sandbox.pid) if sandbox and sandbox.pid else None
        if process is None:
            self._namespaces.pop(instance, None)
            raise KeyError(f"no sandbox of {instance} runs")
        known = self._namespaces.get(instance)
        if known is None or known.process != process:
            known = self._namespaces[instance] = SandboxNamespace(instance, process)
        return known

    async def events(self) -> AsyncIterator[InstanceId]:
        with self._eyes.events.subscribed() as events:
            async for instance in events:
                yield instance
