"""The agent's driver: gives the planner its eyes and hands, and a clock. It decides nothing itself.

Theory of operation
-------------------
Five kinds of tasks live in one nursery:

    runtime, fabric     what runs, and its network
    watchers            ring the bell for each block that concerns leases or orders, and for each event of the runtime
    reconcile           look → plan → begin actions; when the bell rings, and every few seconds
    bids                look at open orders; likewise
    actions             each runtime action and each message to the chain, begun by the others and never waited for

One pass of `reconcile` at a time, and a pass waits for no action: so a confirmation is never late because an image is
slow, and one lease's failure is one lease's. While the node is away the last view is kept and used as one that is not
fresh: what runs is kept running, nothing is removed and nothing is sent.

Cancelling `run` stops the agent and leaves all workloads as they are; the next agent adopts them.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import TypeVar, cast

import trio
from attrs import evolve

from photon_core.api.errors import PhotonError
from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.resources import NOTHING
from photon_core.api.runtime import NETWORK_AGENT, InstanceState, Observed, RuntimeFailure, SandboxNetworks
from photon_core.exchange.records import LeaseState
from photon_core.manifest.records import Section
from photon_core.peers.methods import InstancePhase

from . import reconcile, workload
from .bidder import BidDesk
from .chain import AGENT_CONCERNS, ChainView, NotRegistered, WrongChain, read_chain
from .chronicle import Chronicle
from .envoy import Envoy
from .executor import RuntimeExecutor
from .health import Memory
from .manifests import Held, SectionStore
from .network.claims import Claims
from .network.fabric import Fabric
from .parts import AgentParts
from .problems import Problems, Source
from .reconcile import Apply, ForgetSection, Judgement, Plan, Policy, Remove, Situation
from .sights import sights
from .state import State, load, save
from .wakeup import Bell

log = logging.getLogger(__name__)

Item = TypeVar("Item")

LOOK_EVERY_S = 3.0
LOOK_STARTING_S = 0.2
"""While something starts: its ports are probed as often, and people wait for them."""
PASS_GAP_S = 0.03
"""Between passes: a busy chain rings the bell for each block."""
PROBE_TIMEOUT_S = 1.0
WATCH_AGAIN_S = 1.0
FAILED_AGAIN_S = 3.0
"""After a pass that failed: whatever rings meanwhile, a bug is not met again in a tight loop."""
WAIT_FOR_NODE_S = 1.0


class Agent:
    """`await nursery.start(agent.run)`; cancel it to stop."""

    def __init__(self, parts: AgentParts) -> None:
        self.parts = parts
        self.bell = Bell()
        self.store = SectionStore(parts.folder / "manifests")
        self.desk = BidDesk(parts)
        self.chronicle = Chronicle(parts.folder / "events", parts.now_ms)
        self.view: ChainView | None = None
        self.held: dict[LeaseId, Held] = {}
        self.judgements: dict[LeaseId, Judgement] = {}
        self.memory: dict[InstanceId, Memory] = {}
        self.observed: tuple[Observed, ...] | None = None
        self.capacity = NOTHING
        self.problems = Problems()
        self._disk_problem = ""
        self._state = State(chain_id=parts.chain_id)
        self._unsaved = False
        self._state_lock = trio.Lock()
        self.fabric: Fabric | None = None
        self.executor: RuntimeExecutor | None = None
        self.envoy: Envoy | None = None
        self.nursery: trio.Nursery | None = None
        """For tasks that live as long as the agent, such as readers of logs."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """`started()` after the first pass with the chain in view. RuntimeFailure and PhotonError for what is wrong
        with the set-up: a runtime that cannot run, a damaged state, a chain that knows no such provider.
        """
        parts = self.parts
        self._state = await trio.to_thread.run_sync(load, parts.folder / "state.json", parts.chain_id)
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            await nursery.start(parts.runtime.run)
            self.capacity = await parts.runtime.capacity()
            if NETWORK_AGENT in parts.capabilities:
                self.fabric = Fabric(
                    cast(SandboxNetworks, parts.runtime),
                    parts.options.ingress,
                    claims=self._state.claims,
                    save=self._save_claims,
                )
                await nursery.start(self.fabric.run)
            self.executor = RuntimeExecutor(parts.runtime, self.fabric, nursery, parts.now_ms, self.bell.ring)
            self.envoy = Envoy(parts.sender, nursery, parts.now_ms, self.bell.ring)
            while not await self._look_at_chain() and self.view is None:
                self.problems.tell()
                await trio.sleep(WAIT_FOR_NODE_S)
            await nursery.start(self.chronicle.run)
            nursery.start_soon(self._reconcile)
            nursery.start_soon(self._bids)
            nursery.start_soon(self._watch_chain)
            nursery.start_soon(self._watch_runtime)
            task_status.started()

    @property
    def problem(self) -> str:
        """Why the last pass could not see or do everything; empty while all is well."""
        return str(self.problems)

    # --- loops --------------------------------------------------------------------------------------------------------

    async def _reconcile(self) -> None:
        sleeper = self.bell.sleeper()
        while True:
            await self._contained(Source.ROUND, self.look_and_act)
            starting = any(
                health.phase in (InstancePhase.STARTING, InstancePhase.PREPARING, InstancePhase.WAITING)
                for judgement in self.judgements.values()
                for health in judgement.instances.values()
            )
            await sleeper.wait(LOOK_STARTING_S if starting else LOOK_EVERY_S)
            await trio.sleep(PASS_GAP_S)

    async def _bids(self) -> None:
        sleeper = self.bell.sleeper()
        while True:
            await self._contained(Source.BIDS, self._look_at_orders)
            await sleeper.wait(LOOK_EVERY_S)
            await trio.sleep(PASS_GAP_S)

    async def _look_at_orders(self) -> None:
        if await self._look_at_chain() and self.view is not None:  # of its own: an order's window may be short
            self.capacity = await self.parts.runtime.capacity()
            await self.desk.look(self.view, self.capacity)

    async def _contained(self, source: Source, look: Callable[[], Awaitable[object]]) -> None:
        """One round of a loop. A bug in it, ours or a plugin's, is told and met again later: it must not end the agent,
        since all leases would end with it.
        """
        before = self.problems.of(source)
        try:
            await look()
            self.problems.put(source, "")
        except RuntimeFailure as failure:
            self.problems.put(source, failure.what)
        except Exception as error:
            what = f"looking failed: {type(error).__name__}: {error} (the agent's log has more)"
            self.problems.put(source, what)
            if what != before:
                log.exception("a round failed; the next one begins in %s s", FAILED_AGAIN_S)
            await trio.sleep(FAILED_AGAIN_S)
        self.problems.tell()

    async def _watch_chain(self) -> None:
        assert self.view is not None
        height = self.view.height
        while True:
            try:
                async with aclosing(_closable(self.parts.node.events(height))) as blocks:
                    async for block in blocks:
                        height = block.height + 1
                        if any(isinstance(event, AGENT_CONCERNS) for event in block.events):
                            self.bell.ring()
            except PhotonError as error:
                log.warning("the node's events stopped: %s", error.what)
            await trio.sleep(WATCH_AGAIN_S)

    async def _watch_runtime(self) -> None:
        while True:
            try:
                async with aclosing(_closable(self.parts.runtime.events())) as changes:
                    async for _ in changes:
                        self.bell.ring()
            except RuntimeFailure as failure:
                log.warning("the runtime's events stopped: %s", failure.what)
            except Exception:  # a plugin's bug: passes look every few seconds all the same
                log.exception("the runtime's events failed")
            await trio.sleep(WATCH_AGAIN_S)

    # --- one pass -----------------------------------------------------------------------------------------------------

    async def look_and_act(self) -> Plan | None:
        """One pass; None while the chain was never in view."""
        fresh = await self._look_at_chain()
        if self.view is None:
            return None
        self._disk_problem = ""
        if self._unsaved:
            await self._save()
        await self._look_at_runtime()
        await self._load_sections(self.view)
        plan = reconcile.plan(await self._situation(self.view, fresh), self._policy(self.view))
        self.memory, self.judgements = dict(plan.memory), dict(plan.judgements)
        if fresh:
            await self._tidy(self.view)
        for action in plan.actions:
            await self._begin(action)
        self.problems.put(Source.DISK, self._disk_problem)
        self.chronicle.record(sights(self))
        return plan

    async def _look_at_chain(self) -> bool:
        """Whether `view` is as new as can be. Raises what cannot heal by waiting only while there is no view yet."""
        parts = self.parts
        try:
            view = await read_chain(parts.node, parts.provider, parts.sender.address, parts.chain_id)
        except (WrongChain, NotRegistered):
            if self.view is None:
                raise
            self.problems.put(Source.CHAIN, "the node answers for another chain, or has lost this one")
            return False
        except PhotonError as error:
            self.problems.put(Source.CHAIN, error.what)
            return False
        if self.view is not None and view.height < self.view.height:
            return self.view.is_fresh(self._state.mark)  # another task has looked meanwhile
        self.view = view
        fresh = view.is_fresh(self._state.mark)
        behind = view.status.halted or f"the node is at height {view.height}, behind {self._state.mark}"
        self.problems.put(Source.CHAIN, "" if fresh else behind)
        return fresh

    async def _look_at_runtime(self) -> None:
        try:
            self.observed = await self.parts.runtime.observe()
            if self.fabric is not None:
                await self.fabric.refresh()
            self.problems.put(Source.RUNTIME, "")
        except RuntimeFailure as failure:
            self.observed = None
            self.problems.put(Source.RUNTIME, failure.what)

    async def _load_sections(self, view: ChainView) -> None:
        """What an earlier run of the agent was given."""
        for detail in view.leases:
            lease = detail.lease.id
            if detail.lease.state is LeaseState.ACTIVE and lease not in self.held:
                with self._on_disk():
                    held = await trio.to_thread.run_sync(self.store.get, lease, self.parts.chain_id, detail.group.spec)
                    if held is not None:
                        self.held[lease] = held

    async def _situation(self, view: ChainView, fresh: bool) -> Situation:
        assert self.executor is not None
        assert self.envoy is not None
        interval_ms = view.parameters.confirm_interval_ms
        return Situation(
            leases=view.leases,
            sections={lease: held.section for lease, held in self.held.items()},
            observed=self.observed,
            closed_ports=await self._probe(),
            wired=self.fabric.wired if self.fabric is not None else {},
            contested={lease: self.fabric.contested(lease) for lease in self.held} if self.fabric is not None else {},
            busy=set(self.executor.busy),
            trouble=dict(self.executor.trouble),
            removed=set(self.executor.removed),
            memory=self.memory,
            fresh=fresh,
            height=view.height,
            now_ms=self.parts.now_ms(),
            confirm_due_ms=self.envoy.confirmed_at_ms + interval_ms,
            confirm_not_before_ms=self.envoy.confirm_not_before_ms,
        )

    async def _probe(self) -> dict[InstanceId, tuple[int, ...]]:
        """The declared ports of every running instance that do not answer; instances side by side."""
        ports: dict[LeaseId, dict[str, tuple[int, ...]]] = {
            lease: workload.declared_ports(held.section) for lease, held in self.held.items()
        }
        closed: dict[InstanceId, tuple[int, ...]] = {}

        async def probe_one(instance: InstanceId, declared: tuple[int, ...]) -> None:
            assert self.fabric is not None
            closed[instance] = await self.fabric.probe(instance, declared, PROBE_TIMEOUT_S)

        async with trio.open_nursery() as nursery:
            for one in self.observed or ():
                if one.state is InstanceState.RUNNING:
                    declared = ports.get(one.id.lease, {}).get(one.id.service, ())
                    if self.fabric is not None and declared:
                        nursery.start_soon(probe_one, one.id, declared)
                    else:
                        closed[one.id] = ()
        return closed

    def _policy(self, view: ChainView) -> Policy:
        timeout_ms = self.parts.options.ready_timeout_ms
        return Policy(
            capabilities=self.parts.capabilities,
            ready_timeout_ms=view.parameters.start_timeout_ms // 2 if timeout_ms is None else timeout_ms,
            confirm_interval_ms=view.parameters.confirm_interval_ms,
        )

    async def _begin(self, action: reconcile.Action) -> None:
        assert self.executor is not None
        assert self.envoy is not None
        match action:
            case Apply() | Remove():
                await self._mark()
                self.executor.begin(action)
            case ForgetSection(lease=lease):
                self.held.pop(lease, None)
                with self._on_disk():
                    await trio.to_thread.run_sync(self.store.forget, lease)
            case _:
                self.envoy.begin(action)

    async def _tidy(self, view: ChainView) -> None:
        assert self.executor is not None
        assert self.envoy is not None
        known = {detail.lease.id for detail in view.leases}
        self.executor.forget(known)
        self.envoy.forget(known)
        if self.fabric is not None:
            await self.fabric.retain(known)
        with self._on_disk():
            for lease in await trio.to_thread.run_sync(self.store.leases):
                if lease not in known:
                    await trio.to_thread.run_sync(self.store.forget, lease)
        every_ms = self.parts.options.withdraw_every_ms
        earning = tuple(
            detail.lease.id
            for detail in view.leases
            if detail.lease.state is LeaseState.ACTIVE and detail.earned_uptn > detail.lease.paid_uptn
        )
        if every_ms:
            self.envoy.withdraw(earning, every_ms)

    # --- what others ask ----------------------------------------------------------------------------------------------

    def section(self, lease: LeaseId) -> Section | None:
        held = self.held.get(lease)
        return held.section if held else None

    async def take_section(self, lease: LeaseId, held: Held) -> bool:
        """A section that was checked against the chain; on disk when this returns. Whether it is news."""
        before = self.held.get(lease)
        if before is not None and before.raw == held.raw and before.salt == held.salt:
            return False
        await trio.to_thread.run_sync(self.store.put, lease, held.salt, held.raw)
        self.held[lease] = held
        self.bell.ring()
        return True

    # --- state --------------------------------------------------------------------------------------------------------

    async def _mark(self) -> None:
        """Before something is made or removed: from now on an older view of the chain is not to be believed."""
        assert self.view is not None
        if self.view.height > self._state.mark:
            self._state = evolve(self._state, mark=self.view.height)
            await self._save()

    async def _save_claims(self, claims: Claims) -> None:
        self._state = evolve(self._state, claims=claims)
        await self._save()

    async def _save(self) -> None:
        """What a full disk keeps from being written counts all the same in this process; each pass tries again."""
        async with self._state_lock:
            self._unsaved = True
            with self._on_disk():
                await trio.to_thread.run_sync(save, self.parts.folder / "state.json", self._state)
                self._unsaved = False

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._disk_problem = f"the agent's files at {self.parts.folder} cannot be kept: {error.strerror or error}"
            self.problems.put(Source.DISK, self._disk_problem)


def _closable(items: AsyncIterator[Item]) -> AsyncGenerator[Item, None]:
    """Events come out of async generators, though the contract says no more than that they are iterated over."""
    return cast(AsyncGenerator[Item, None], items)
