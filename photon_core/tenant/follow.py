"""Following a deployment: the chain's events and the providers' answers, joined into steps.

Theory of operation
-------------------
One task reads the blocks from the one that created the deployment on, and turns what concerns it into steps. For each
lease it starts another, which delivers the section (unless somebody else does), then asks the provider how the workload
is until it serves, and now and then after that. When the lease ends its task is cancelled; when the deployment is
updated it begins anew, for then there is another section to deliver. Steps of one lease are in order; the reader takes
them from a channel of bounded size, and who does not read stops the following, not the lease.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import cast

import trio
from attrs import define, field, frozen

from photon_core.api.errors import PhotonError
from photon_core.api.ids import Address, LeaseId
from photon_core.exchange import events
from photon_core.exchange.records import LeaseStatus
from photon_core.node.client import NodeClient
from photon_core.node.views import BlockEvents
from photon_core.peers.methods import LeaseReport

from . import steps
from .delivery import Courier, Patience
from .links import ProviderLinks

BlockStream = AsyncGenerator[BlockEvents, None]
"""What `NodeClient.events` is, so that it can be closed."""
STEPS_WAITING_MAX = 64
ASK_FIRST_S = 0.05
"""A process serves within a tenth of a second; who waits for it wants to know."""
ASK_MAX_S = 2.0


@frozen(kw_only=True)
class _Attended:
    """`again`: it had a section before the one that is brought now."""

    lease: LeaseId
    provider: Address
    again: bool


@define(kw_only=True)
class Follower:
    """`deliver` False: a keeper delivers, this only looks. `leases`: those that are attended from the beginning, by the
    provider that has them: what happened before `from_height` is not read.
    """

    node: NodeClient
    courier: Courier
    links: ProviderLinks
    deployment: int
    from_height: int
    deliver: bool
    sink: trio.MemorySendChannel[steps.Step]
    leases: Mapping[LeaseId, Address] = field(factory=dict)
    _scopes: dict[LeaseId, trio.CancelScope] = field(factory=dict)
    _providers: dict[LeaseId, Address] = field(factory=dict)
    """Of leases that are attended."""
    _faults: dict[LeaseId, str] = field(factory=dict)
    """What the chain has heard of workloads at fault; the provider forgets a lease that has ended."""

    async def run(self) -> None:
        """Until the deployment has ended; closes the channel then."""
        async with self.sink, trio.open_nursery() as nursery:
            nursery.start_soon(self.links.start)  # while the bids come in
            for lease, provider in self.leases.items():
                self._attend(lease, provider, nursery, again=True)
            generator = cast("BlockStream", self.node.events(self.from_height))
            async with aclosing(generator) as blocks:
                async for block in blocks:
                    for event in block.events:
                        if await self._on_event(event, nursery):
                            nursery.cancel_scope.cancel()
                            return

    async def _on_event(self, event: events.Event, nursery: trio.Nursery) -> bool:
        """Whether this was the last."""
        ours = self.deployment
        match event:
            case events.OrderOpened(order=order) if order.deployment == ours:
                await self._tell(
                    steps.Ordered(order=order, max_price=event.max_price, collateral_uptn=event.collateral_uptn)
                )
            case events.BidPlaced(order=order) if order.deployment == ours:
                await self._tell(steps.BidCame(order=order, provider=event.provider, price=event.price))
            case events.OrderExpired(order=order) if order.deployment == ours:
                await self._tell(steps.NobodyWon(order=order, reason=event.reason))
            case events.LeaseCreated(lease=lease) if lease.deployment == ours:
                await self._tell(steps.Leased(lease=lease, provider=event.provider, price=event.price))
                if lease not in self._providers:
                    self._attend(lease, event.provider, nursery, again=False)
            case events.DeploymentUpdated(deployment=number) if number == ours:
                await self._tell(steps.VersionChanged(deployment=number, version=event.version))
                for lease, provider in list(self._providers.items()) if self.deliver else ():
                    self._leave(lease)
                    self._attend(lease, provider, nursery, again=True)
            case events.LeaseStatusChanged(lease=lease) if lease.deployment == ours:
                self._faults[lease] = event.reason if event.status is LeaseStatus.WORKLOAD_FAULT else ""
            case events.LeaseClosing(lease=lease) if lease.deployment == ours:
                self._leave(lease)
                why = self._faults.pop(lease, "")
                await self._tell(steps.LeaseEnded(lease=lease, reason=event.reason, paid_uptn=event.paid_uptn, why=why))
            case events.GroupPaused(group=group) if group.deployment == ours:
                await self._tell(steps.Paused(group=group, reason=event.reason))
            case events.DeploymentClosing(deployment=number) if number == ours:
                await self._tell(steps.Ended(deployment=number, refunded_uptn=event.refunded_uptn))
                return True
        return False

    async def _tell(self, step: steps.Step) -> None:
        await self.sink.send(step)

    # --- one lease -----------------------------------------------------------------------------------------------

    def _attend(self, lease: LeaseId, provider: Address, nursery: trio.Nursery, *, again: bool) -> None:
        scope = self._scopes[lease] = trio.CancelScope()
        self._providers[lease] = provider
        nursery.start_soon(self._bring, _Attended(lease=lease, provider=provider, again=again), scope)

    async def _bring(self, to: _Attended, scope: trio.CancelScope) -> None:
        with scope:
            if not self.deliver or await self._deliver(to):
                await self._watch(to)

    def _leave(self, lease: LeaseId) -> None:
        self._providers.pop(lease, None)
        if scope := self._scopes.pop(lease, None):
            scope.cancel()

    async def _deliver(self, to: _Attended) -> bool:
        patience, told = Patience(), ""
        while True:
            try:
                await self.courier.deliver(to.lease)
            except PhotonError as error:
                if patience.is_over(error):
                    await self._tell(steps.DeliveryFailed(lease=to.lease, reason=error.what))
                    return False
                if error.code != told:
                    told = error.code
                    await self._tell(steps.DeliveryWaits(lease=to.lease, reason=error.what))
            else:
                await self._tell(steps.ManifestDelivered(lease=to.lease, provider=to.provider, by_us=True))
                return True
            await patience.wait()

    async def _watch(self, to: _Attended) -> None:
        """Asks the provider until the lease is over. An answer that fails is asked for again: the chain decides."""
        before = LeaseStatus.AWAITING_MANIFEST, ""
        wait_s = ASK_FIRST_S
        while True:
            try:
                report = await self.courier.report(to.lease)
            except PhotonError:
                pass  # it may be restarting, or its node a block behind; if it stays silent the lease goes stale
            else:
                now = report.status, report.reason
                if now != before:
                    wait_s = ASK_FIRST_S
                    await self._changed(to, before[0], report)
                    before = now
            await trio.sleep(wait_s)
            wait_s = min(1.5 * wait_s, ASK_MAX_S)

    async def _changed(self, of: _Attended, before: LeaseStatus, report: LeaseReport) -> None:
        if before is LeaseStatus.AWAITING_MANIFEST and not self.deliver:
            await self._tell(steps.ManifestDelivered(lease=of.lease, provider=of.provider, by_us=False))
        if report.status is LeaseStatus.SERVING:
            await self._tell(steps.Serving(lease=of.lease, endpoints=report.endpoints, again=of.again))
        else:
            await self._tell(steps.WorkloadChanged(lease=of.lease, status=report.status, reason=report.reason))
