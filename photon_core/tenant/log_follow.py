"""Following logs through whatever happens: a restarted workload or agent, a cut link, a lease that moves on.

Theory of operation
-------------------
One reading after the other, each from one provider, until the chain says that there will be none any more. A reading
ends because the provider ended it, the link went, or a second task saw on chain that the lease is over. Then the chain
is asked which lease is to be read now:

    the same            again, after a wait that doubles; its last lines come again, and those shown before are left out
    another one         from the beginning of what its provider has; nothing of it can have been shown
    none                wait, and ask again
    none ever more      the end

What is said beside the lines is for people, once for each change and not for each try.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
from attrs import define, field, frozen

from photon_core.api import bech32m
from photon_core.api.errors import CodecError, PhotonError
from photon_core.api.ids import LeaseId
from photon_core.exchange.records import DeploymentState, LeaseState
from photon_core.node.client import NodeClient
from photon_core.peers.errors import PeersError
from photon_core.peers.methods import LogChunk, RefusalCode

from .delivery import WORTH_RETRYING, Courier
from .lines import HISTORY_LINES, LineCutter, LogLine, Shown
from .lookup import deployment_detail
from .tasks import background_tasks

RETRY_FIRST_S = 0.2
RETRY_MAX_S = 5.0
LOOK_EVERY_S = 3.0
"""At the lease on chain while its lines come: a provider that is gone may leave a link that looks alive."""
AGAIN_LINES = 1_000
"""Asked for after an interruption."""
BURST_QUIET_S = 0.5
BURST_MAX_S = 2.0
"""Lines that come again come at once. They are compared when nothing more came for a while, or when it lasts."""
CHUNKS_WAITING = 4
WAIT_FOR = WORTH_RETRYING | {RefusalCode.NO_MANIFEST.value, RefusalCode.LEASE_CLOSED.value, "no-lease"}
"""Codes after which the same question may have an answer; `lease-closed`: the chain says what comes next."""

QUIET_CODES = frozenset({RefusalCode.LEASE_CLOSED.value})
"""Not worth a word: the chain says in a moment what comes next."""

FindLease = Callable[[int, str], Awaitable[LeaseId]]
"""`Tenant.active_lease`."""


@frozen
class LogNote:
    """What happened to the reading, in words."""

    text: str


Told = LogLine | LogNote


@define(kw_only=True)
class LogFollower:
    """`lease` None: whichever lease of the deployment is active and has the service."""

    node: NodeClient
    courier: Courier
    active_lease: FindLease
    deployment: int
    lease: LeaseId | None
    service: str
    tail_lines: int
    sink: trio.MemorySendChannel[Told]
    _shown: Shown = field(factory=Shown)
    _reading: LeaseId | None = None
    _read_before: bool = False
    _interrupted: bool = False
    _noted: str = ""

    async def run(self) -> None:
        """Until there is nothing more to follow. PhotonError for what waiting cannot mend."""
        wait_s = RETRY_FIRST_S
        while True:
            try:
                lease = await self._next_lease()
                if lease is None:
                    return
                if self._interrupted:
                    await self._note("interrupted", f"the logs of lease {lease} were interrupted; reading again")
                if await self._read(lease):
                    wait_s = RETRY_FIRST_S
                self._interrupted = True
            except PhotonError as error:
                if error.code not in WAIT_FOR:
                    raise
                if error.code not in QUIET_CODES:
                    await self._note(error.code, f"{error.what}; trying again")
            await trio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)

    async def _note(self, code: str, text: str) -> None:
        """Once until something else is noted or lines come again."""
        if code != self._noted:
            self._noted = code
            await self.sink.send(LogNote(text))

    # --- which lease --------------------------------------------------------------------------------------------------

    async def _next_lease(self) -> LeaseId | None:
        """None when there is none any more; PhotonError `no-lease` while there is none yet."""
        if self.lease is not None:
            if self._reading is not None and not await self._is_active(self.lease):
                await self.sink.send(LogNote(f"lease {self.lease} is over"))
                return None
            lease = self.lease
        else:
            state = (await deployment_detail(self.node, self.deployment)).deployment.state
            if state is not DeploymentState.ACTIVE:
                await self.sink.send(LogNote(f"deployment {self.deployment} is closed"))
                return None
            lease = await self.active_lease(self.deployment, self.service)
        if self._reading is not None and lease != self._reading:
            await self.sink.send(LogNote(f"lease {self._reading} is over; going on with {await self._words(lease)}"))
            self._shown, self._read_before, self._interrupted, self._noted = Shown(), False, False, ""
            self.tail_lines = max(self.tail_lines, AGAIN_LINES)
        self._reading = lease
        return lease

    async def _words(self, lease: LeaseId) -> str:
        detail = await self.node.lease(lease)
        at = f" at {bech32m.encode_address(detail.lease.provider)}" if detail is not None else ""
        return f"lease {lease}{at}"

    async def _is_active(self, lease: LeaseId) -> bool:
        detail = await self.node.lease(lease)
        return detail is None or detail.lease.state is LeaseState.ACTIVE

    async def _watch_lease(self, lease: LeaseId, scope: trio.CancelScope) -> None:
        while True:
            await trio.sleep(LOOK_EVERY_S)
            try:
                if not await self._is_active(lease):
                    scope.cancel()
                    return
            except PhotonError:
                pass  # a node that is away says nothing about the lease

    # --- one reading --------------------------------------------------------------------------------------------------

    async def _read(self, lease: LeaseId) -> bool:
        """One stream to its end; whether anything came. A line that was cut off comes again as a whole."""
        baseline = not self._read_before and self.tail_lines == 0
        again = self._read_before or baseline
        tail_lines = AGAIN_LINES if again else self.tail_lines
        cutter, came = LineCutter(), False
        async with (
            self.courier.logs(lease, self.service, follow=True, tail_lines=tail_lines) as chunks,
            _collected(chunks) as arriving,
            background_tasks() as nursery,
        ):
            scope = nursery.cancel_scope
            nursery.start_soon(self._watch_lease, lease, scope)
            if again:
                burst = await _burst(arriving, cutter)
                fresh = self._shown.fresh(burst)
                came = bool(burst)
                await self._show(fresh, silently=baseline)
            self._read_before = True
            async for chunk in arriving.channel:
                came = came or bool(chunk.data)
                await self._show(cutter.add(chunk))
            if arriving.error is not None:
                raise arriving.error
        return came

    async def _show(self, lines: list[LogLine], *, silently: bool = False) -> None:
        if lines and self._noted and not silently:
            self._noted = ""
            await self.sink.send(LogNote("reading again"))
        for line in lines:
            self._shown.add(line)
            if not silently:
                await self.sink.send(line)


@define
class _Arriving:
    """`error`: what the stream broke with, once the channel has ended."""

    channel: trio.MemoryReceiveChannel[LogChunk]
    error: PeersError | CodecError | None = None


async def _burst(arriving: _Arriving, cutter: LineCutter) -> list[LogLine]:
    """What comes at once at the beginning of a reading."""
    lines: list[LogLine] = []
    until = trio.current_time() + BURST_MAX_S
    while len(lines) < HISTORY_LINES * 4 and trio.current_time() < until:
        with trio.move_on_after(BURST_QUIET_S) as quiet:
            try:
                lines += cutter.add(await arriving.channel.receive())
            except trio.EndOfChannel:
                return lines
        if quiet.cancelled_caught:
            return lines
    return lines


@asynccontextmanager
async def _collected(chunks: AsyncIterator[LogChunk]) -> AsyncIterator[_Arriving]:
    """Taken by a task of its own, since a wait for the next one must be left without losing it."""
    sink, source = trio.open_memory_channel[LogChunk](CHUNKS_WAITING)

    arriving = _Arriving(source)

    async def collect() -> None:
        async with sink:
            try:
                async for chunk in chunks:
                    await sink.send(chunk)
            except (PeersError, CodecError) as error:
                arriving.error = error

    async with source, background_tasks() as nursery:
        nursery.start_soon(collect)
        yield arriving
