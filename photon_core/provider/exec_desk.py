"""Commands that tenants run beside their workloads: one session each, from a request on a link to its end.

Theory of operation
-------------------
A session lives in three tasks. The request's own reads the command's output and yields it to the link: while the caller
takes nothing it is not resumed, the runtime is not read, and the command waits. The writer takes one piece of input
at a time, and whoever brings the next waits for it, or asks again after INPUT_WAIT_S. The watcher ends what has said
nothing for IDLE_S, and what belongs to a lease that is over.

A session's name is drawn at random and holds for the peer that opened it. Leaving the request ends it: the link that
goes down, the caller that goes away and the agent that stops all do. So does the runtime when the instance goes.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import AsyncGenerator

import trio
from attrs import define, field

from photon_core.api.ids import Address, InstanceId, LeaseId, NodeKey
from photon_core.api.runtime import (
    EXEC_PIECE_BYTES_MAX,
    ExecOutput,
    ExecSession,
    ExecStream,
    InstanceState,
    RuntimeFailure,
    TerminalSize,
)
from photon_core.exchange.records import LeaseState
from photon_core.peers import Refusal
from photon_core.peers.methods import (
    SESSION_BYTES,
    ExecInput,
    ExecItem,
    ExecNews,
    ExecRequest,
    RefusalCode,
    ScreenSize,
)

from .driver import Agent

log = logging.getLogger(__name__)

SESSIONS_PER_LEASE_MAX = 8
SESSIONS_PER_OWNER_MAX = 16
"""However many leases somebody has: a few cheap ones must not take all of the agent's."""
SESSIONS_MAX = 64
"""Of the agent: each holds three descriptors, three tasks and a connection to its engine."""
INPUT_WAIT_S = 10.0
"""Well below what a caller waits for an answer: it asks again."""
IDLE_S = 1800.0
LOOK_EVERY_S = 2.0
"""At the clock and the lease. The runtime's own word of an instance's end comes at once."""
NEWS = {ExecStream.STDOUT: ExecNews.STDOUT, ExecStream.STDERR: ExecNews.STDERR}


@define(kw_only=True, eq=False)
class Live:
    """A session. `over` is why it ended, when it was not the command that did."""

    name: bytes
    caller: NodeKey
    instance: InstanceId
    session: ExecSession
    inputs: trio.MemorySendChannel[ExecInput]
    heard_at: float
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    over: Refusal | None = None

    async def read(self) -> ExecOutput | None:
        try:
            piece = await self.session.read()
        except RuntimeFailure as failure:
            raise self.over or Refusal(RefusalCode.INSTANCE_GONE, failure.what[:1000]) from None
        if self.over is not None:
            raise self.over
        self.heard_at = trio.current_time()
        return piece

    async def exit_code(self) -> int:
        try:
            return await self.session.exit_code()
        except RuntimeFailure as failure:
            raise self.over or Refusal(RefusalCode.INSTANCE_GONE, failure.what[:1000]) from None

    async def end(self, why: Refusal) -> None:
        """Whoever reads it, now or later, is told."""
        self.over = why
        await self.session.aclose()


class ExecDesk:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._live: dict[tuple[NodeKey, bytes], Live] = {}
        self._places: Counter[LeaseId] = Counter()
        self._owners: Counter[Address] = Counter()

    async def run(
        self, caller: NodeKey, owner: Address, instance: InstanceId, request: ExecRequest
    ) -> AsyncGenerator[ExecItem, None]:
        """The whole life of one session, in a lease of `owner`. Closing the generator kills the command."""
        lease = instance.lease
        if self._places[lease] >= SESSIONS_PER_LEASE_MAX:
            raise Refusal(RefusalCode.BUSY, f"{SESSIONS_PER_LEASE_MAX} sessions run in this lease already")
        if self._owners[owner] >= SESSIONS_PER_OWNER_MAX:
            raise Refusal(RefusalCode.BUSY, f"{SESSIONS_PER_OWNER_MAX} sessions of yours run at this provider already")
        if self._places.total() >= SESSIONS_MAX:
            raise Refusal(RefusalCode.BUSY, "too many sessions run at this provider; try again later")
        self._places[lease] += 1
        self._owners[owner] += 1
        try:
            live = await self._open(caller, instance, request)
            try:
                yield ExecItem(news=ExecNews.STARTED, session=live.name)
                while (piece := await live.read()) is not None:
                    for start in range(0, len(piece.data), EXEC_PIECE_BYTES_MAX):
                        data = piece.data[start : start + EXEC_PIECE_BYTES_MAX]
                        yield ExecItem(news=NEWS[piece.stream], data=data)
                yield ExecItem(news=ExecNews.EXITED, exit_code=await live.exit_code() & 0xFF)
            finally:
                with trio.CancelScope(shield=True):
                    await self._close(live)
        finally:
            self._places[lease] -= 1
            self._owners[owner] -= 1
            self._places, self._owners = +self._places, +self._owners  # without those that have none left

    async def take(self, caller: NodeKey, given: ExecInput) -> bool:
        """Whether the input was taken; False when the command did not read for INPUT_WAIT_S."""
        live = self._live.get((caller, given.session))
        if live is None:
            raise Refusal(RefusalCode.NO_SESSION, "there is no such session of yours: the command has ended")
        live.heard_at = trio.current_time()
        try:
            if given.size is not None:  # at once: a screen is not to wait for what is typed
                await live.session.resize(_terminal(given.size))
            if given.data or given.end:
                with trio.move_on_after(INPUT_WAIT_S):
                    await live.inputs.send(given)
                    return True
                return False
        except (RuntimeFailure, trio.BrokenResourceError, trio.ClosedResourceError):
            raise Refusal(RefusalCode.NO_SESSION, "the session is over") from None
        return True

    # --- opening and closing ------------------------------------------------------------------------------------------

    async def _open(self, caller: NodeKey, instance: InstanceId, request: ExecRequest) -> Live:
        runtime, nursery = self._agent.parts.runtime, self._agent.nursery
        assert nursery is not None
        try:
            await self._check_running(instance)
            terminal = None if request.terminal is None else _terminal(request.terminal)
            session = await runtime.exec(instance, request.command, terminal=terminal)
        except RuntimeFailure as failure:
            raise Refusal(RefusalCode.RUNTIME_FAILED, failure.what[:1000]) from None
        inputs, taken = trio.open_memory_channel[ExecInput](0)
        live = Live(
            name=secrets.token_bytes(SESSION_BYTES),
            caller=caller,
            instance=instance,
            session=session,
            inputs=inputs,
            heard_at=trio.current_time(),
        )
        self._live[caller, live.name] = live
        log.info("%s runs a command beside %s", caller.hex()[:16], instance)
        nursery.start_soon(self._attend, live, taken)
        return live

    async def _check_running(self, instance: InstanceId) -> None:
        seen = next((one for one in await self._agent.parts.runtime.observe() if one.id == instance), None)
        if seen is None or seen.state is not InstanceState.RUNNING:
            state = "is not there yet" if seen is None else f"is {seen.state.value}"
            why = f": {seen.reason}" if seen is not None and seen.reason else ""
            name = f"{instance.service}/{instance.ordinal}"
            raise Refusal(RefusalCode.NOT_RUNNING, f"{name} {state}{why}"[:1000])

    async def _close(self, live: Live) -> None:
        self._live.pop((live.caller, live.name), None)
        live.scope.cancel()
        live.inputs.close()
        try:
            await live.session.aclose()
        except Exception:  # a runtime plugin's bug: the session is over for us all the same
            log.exception("a session of %s cannot be closed", live.instance)

    # --- its two tasks ------------------------------------------------------------------------------------------------

    async def _attend(self, live: Live, inputs: trio.MemoryReceiveChannel[ExecInput]) -> None:
        """Never raises: this task shares a nursery with all others of the agent."""
        try:
            with live.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch, live)
                    await self._write(live, inputs)
        except Exception:
            log.exception("a session of %s failed", live.instance)

    async def _write(self, live: Live, inputs: trio.MemoryReceiveChannel[ExecInput]) -> None:
        async with inputs:
            try:
                async for given in inputs:
                    if given.data:
                        await live.session.write(given.data)
                    if given.end:
                        await live.session.end_input()
            except RuntimeFailure:
                return  # who reads it is told the same

    async def _watch(self, live: Live) -> None:
        while True:
            await trio.sleep(LOOK_EVERY_S)
            if trio.current_time() - live.heard_at >= IDLE_S:
                minutes = int(IDLE_S // 60)
                await live.end(Refusal(RefusalCode.IDLE, f"nothing was said for {minutes} minutes"))
                return
            if not self._is_active(live.instance.lease):
                await live.end(Refusal(RefusalCode.INSTANCE_GONE, f"lease {live.instance.lease} is over"))
                return

    def _is_active(self, lease: LeaseId) -> bool:
        """As far as the newest view knows; one that is older than the lease does not have it yet."""
        leases = self._agent.view.leases if self._agent.view else ()
        found = next((detail.lease for detail in leases if detail.lease.id == lease), None)
        return found is None or found.state is LeaseState.ACTIVE


def _terminal(size: ScreenSize) -> TerminalSize:
    return TerminalSize(columns=size.columns, rows=size.rows)
