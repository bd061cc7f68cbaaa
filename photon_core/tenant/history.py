"""What happened to a deployment: the chain's events and what its providers saw, in the order of time.

Theory of operation
-------------------
The chain is asked block by block, from the first that can matter: found by halving, since blocks are numbered and not
dated. Each lease's provider is asked for the newest events that it keeps, also when the lease is over. First all of
that is put in order and told; then, for who follows, each source is told as it comes: blocks by one task, each active
lease by another, which asks and waits at the provider. Clocks of provider and chain are two, so entries within seconds
of each other may stand in another order than they happened.

A provider that does not answer is a note, once, and asked again while somebody follows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import cast

import trio
from attrs import define, field, frozen

from photon_core.api.errors import PhotonError
from photon_core.api.ids import LeaseId
from photon_core.exchange import events
from photon_core.exchange.records import DeploymentState
from photon_core.node.client import NodeClient
from photon_core.node.views import BlockEvents, DeploymentDetail
from photon_core.peers.methods import LEASE_EVENTS_MAX, LeaseEvent

from .delivery import WORTH_RETRYING, Courier
from .links import STATUS_LINK_TIMEOUT_S
from .lookup import deployment_detail, past_leases

RETRY_FIRST_S = 0.2
RETRY_MAX_S = 5.0
ENTRIES_MAX = 100_000
"""Of the past, the newest: more than anybody reads, and memory is finite."""


@frozen(kw_only=True)
class Entry:
    """`key` names it for ever, and is the same however often it is asked for: `chain/HEIGHT/INDEX`, or
    `LEASE/SEQUENCE` of a provider. `event` is what the chain, or the provider, said.
    """

    time_ms: int
    key: str
    about: str
    event: events.Event | LeaseEvent


@frozen
class HistoryNote:
    """What cannot be told, and why."""

    text: str


Told = Entry | HistoryNote


def about(event: events.Event, deployment: int) -> str:
    """What of the deployment it is about: itself, a group, an order or a lease, by name; empty for another's."""
    match event:
        case (
            events.DeploymentCreated(deployment=number)
            | events.DeploymentFunded(deployment=number)
            | events.DeploymentClosing(deployment=number)
            | events.DeploymentClosed(deployment=number)
        ):
            return str(number) if number == deployment else ""
        case events.GroupPaused(group=group) | events.GroupResumed(group=group) | events.GroupClosed(group=group):
            return str(group) if group.deployment == deployment else ""
        case (
            events.OrderOpened(order=order)
            | events.OrderPhaseChanged(order=order)
            | events.OrderExpired(order=order)
            | events.BidPlaced(order=order)
            | events.BidEnded(order=order)
            | events.LeaseCreated(lease=order)
            | events.LeaseStatusChanged(lease=order)
            | events.LeaseClosing(lease=order)
            | events.LeaseClosed(lease=order)
            | events.PaidOut(lease=order)
        ):
            return str(order) if order.deployment == deployment else ""
        case events.Transferred() | events.ProviderChanged():
            return ""


@define(kw_only=True)
class Historian:
    node: NodeClient
    courier: Courier
    deployment: int
    since_ms: int
    sink: trio.MemorySendChannel[Told]
    _told_up_to: dict[LeaseId, int] = field(factory=dict)
    _notes: dict[LeaseId, str] = field(factory=dict)

    async def run(self, *, follow: bool) -> None:
        """PhotonError when there is no such deployment, or it is not the caller's."""
        detail = await deployment_detail(self.node, self.deployment)
        height = (await self.node.status()).height
        first = await self._first_height(detail.deployment.created_height, height)
        leases = await self._leases(detail)
        past = [*await self._of_chain(first, height), *await self._of_leases(leases)]
        for entry in sorted(past, key=lambda entry: entry.time_ms)[-ENTRIES_MAX:]:
            await self.sink.send(entry)
        if follow and detail.deployment.state is not DeploymentState.CLOSED:
            await self._follow(height + 1, detail)

    # --- the past -----------------------------------------------------------------------------------------------------

    async def _first_height(self, low: int, high: int) -> int:
        """Of the first block that is not older than what is asked for."""
        if not self.since_ms:
            return low
        while low < high:
            middle = (low + high) // 2
            block = await self.node.block(middle)
            if block is None or block.header.time_ms < self.since_ms:
                low = middle + 1
            else:
                high = middle
        return low

    async def _leases(self, detail: DeploymentDetail) -> list[LeaseId]:
        found = []
        for group in detail.groups:
            found += [lease.id for lease in await past_leases(self.node, group)]
            if group.order is not None and group.order.lease is not None:
                found.append(group.order.lease.id)
        return found

    async def _of_chain(self, first: int, last: int) -> list[Entry]:
        found: list[Entry] = []
        if first > last:
            return found
        async with aclosing(cast("AsyncGenerator[BlockEvents, None]", self.node.events(first))) as blocks:
            async for block in blocks:
                found = (found + list(self._of_block(block)))[-ENTRIES_MAX:] if block.events else found
                if block.height >= last:
                    break
        return found

    def _of_block(self, block: BlockEvents) -> Iterable[Entry]:
        for index, event in enumerate(block.events):
            if block.time_ms >= self.since_ms and (of := about(event, self.deployment)):
                yield Entry(time_ms=block.time_ms, key=f"chain/{block.height}/{index}", about=of, event=event)

    async def _of_leases(self, leases: list[LeaseId]) -> list[Entry]:
        """Side by side: a provider that is away keeps the others' answers from nobody."""
        found: list[Entry] = []
        failures: list[PhotonError] = []

        async def ask(lease: LeaseId) -> None:
            try:
                found.extend(await self._of_lease(lease, wait=False))
            except PhotonError as error:
                if error.code == "not-yours":
                    failures.append(error)
                else:
                    await self._note(lease, error)

        async with trio.open_nursery() as nursery:
            for lease in leases:
                nursery.start_soon(ask, lease)
        if failures:
            raise failures[0]
        return found

    async def _of_lease(self, lease: LeaseId, *, wait: bool) -> list[Entry]:
        after = self._told_up_to.get(lease, 0)
        timeout_s = None if wait else STATUS_LINK_TIMEOUT_S
        came = await self.courier.events(lease, after=after, wait=wait, link_timeout_s=timeout_s)
        fresh = [event for event in came[:LEASE_EVENTS_MAX] if event.sequence > after]
        if fresh:
            self._told_up_to[lease] = fresh[-1].sequence
        self._notes.pop(lease, None)
        return [
            Entry(time_ms=event.time_ms, key=f"{lease}/{event.sequence}", about=_of_instance(lease, event), event=event)
            for event in fresh
            if event.time_ms >= self.since_ms
        ]

    async def _note(self, lease: LeaseId, error: PhotonError) -> None:
        if self._notes.get(lease) != error.code:
            self._notes[lease] = error.code
            await self.sink.send(HistoryNote(f"what the provider of lease {lease} saw is not here: {error.what}"))

    # --- and what comes -----------------------------------------------------------------------------------------------

    async def _follow(self, from_height: int, detail: DeploymentDetail) -> None:
        """Until the deployment has closed."""
        active = [group.order.lease.id for group in detail.groups if group.order and group.order.lease]
        async with trio.open_nursery() as nursery:
            scopes = {lease: trio.CancelScope() for lease in active}
            for lease in active:
                nursery.start_soon(self._follow_lease, lease, scopes[lease])
            async with aclosing(cast("AsyncGenerator[BlockEvents, None]", self.node.events(from_height))) as blocks:
                async for block in blocks:
                    for entry in self._of_block(block):
                        await self.sink.send(entry)
                        match entry.event:
                            case events.LeaseCreated(lease=lease):
                                scopes[lease] = trio.CancelScope()
                                nursery.start_soon(self._follow_lease, lease, scopes[lease])
                            case events.LeaseClosed(lease=lease) if lease in scopes:
                                scopes.pop(lease).cancel()
                            case events.DeploymentClosed():
                                nursery.cancel_scope.cancel()
                                return
                            case _:
                                pass

    async def _follow_lease(self, lease: LeaseId, scope: trio.CancelScope) -> None:
        wait_s = RETRY_FIRST_S
        with scope:
            while True:
                try:
                    for entry in await self._of_lease(lease, wait=True):
                        await self.sink.send(entry)
                    wait_s = RETRY_FIRST_S
                except PhotonError as error:
                    await self._note(lease, error)
                    if error.code not in WORTH_RETRYING:
                        return
                await trio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_MAX_S)


def _of_instance(lease: LeaseId, event: LeaseEvent) -> str:
    if not event.service:
        return str(lease)
    return f"{lease} {event.service}" + ("" if event.ordinal is None else f"/{event.ordinal}")
