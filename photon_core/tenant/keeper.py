"""The keeper (`photon serve`): brings the sections of a home to whoever wins its leases, while the tenant is away.

Theory of operation
-------------------
Level-triggered. A round compares, for each deployment whose manifest is kept, the active leases on chain with what this
process has delivered, and starts a delivery for each difference; deliveries are idempotent and go on with back-off
until they succeed, the lease ends, or the provider says that it never will. Rounds come at the start, after events that
concern a deployment, when files appear in the home, and every `ROUND_S` whatever happens: so a crash, a lost event, a
provider that lost its disk and a node that was away all heal by themselves.

A provider that has no section confirms `awaiting-manifest`; the chain tells, and what was delivered counts no more. Nor
does it after an update, for then the chain has another hash: the client keeps the new manifest here before it sends.

The keeper has a node key and delegations, no account key: it can deliver and ask, and spend nothing. So a group that
the chain paused because no manifest came is only told of, unless an account key was given to resume it with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import cast

import trio
from attrs import define, field

from photon_core.api.errors import PhotonError
from photon_core.api.ids import Hash, LeaseId
from photon_core.chain.keys import SigningKey
from photon_core.exchange import events
from photon_core.exchange.messages import ResumeGroup
from photon_core.exchange.records import CloseReason, DeploymentState, Group, GroupState, Lease, LeaseStatus
from photon_core.manifest.vault import Vault
from photon_core.node.account import AccountSender
from photon_core.node.client import NodeClient
from photon_core.node.views import GroupDetail

from .client import MakeTransport
from .delivery import Courier
from .follow import BlockStream
from .identity import keeper_key
from .links import open_links
from .papers import KeptPapers
from .pending import assign_pending

ROUND_S = 30.0
"""Between two comparisons of everything when nothing happens."""
FOLDER_LOOK_S = 1.0
"""A file that appears is seen this soon. A listing costs microseconds, and needs no watch of the kernel's."""
AGAIN_AFTER_S = 10.0
"""When the chain calls a delivered section awaited for longer, it is delivered again: a confirmation takes a while."""
DELIVERIES_AT_ONCE = 16
"""As many links to providers at the same moment."""
NODE_RETRY_S = 2.0
NO_DEPLOYMENT = 0
"""They are numbered from 1."""

Tell = Callable[[str], None]


@asynccontextmanager
async def open_keeper(
    node: NodeClient, *, home: Path, make_transport: MakeTransport, tell: Tell, key: SigningKey | None = None
) -> AsyncIterator[Keeper]:
    """`tell` gets a line for all that people want to know. `key`: an unlocked account key to resume groups with."""
    chain_id = (await node.status()).chain_id
    identity = keeper_key(home)
    vault, papers = Vault(home, chain_id), KeptPapers(home, chain_id=chain_id, caller=identity.public)
    async with open_links(lambda: make_transport(identity.seed, chain_id)) as links:
        yield Keeper(
            node=node,
            vault=vault,
            papers=papers,
            courier=Courier(node, vault, links, papers),
            tell=tell,
            sender=AccountSender(node, key) if key is not None else None,
        )


@define(kw_only=True, eq=False)
class Keeper:
    """Made by `open_keeper`; `run` never returns."""

    node: NodeClient
    vault: Vault
    papers: KeptPapers
    courier: Courier
    tell: Tell
    sender: AccountSender | None
    _delivered: dict[LeaseId, tuple[Hash, float]] = field(factory=dict)
    """The section's hash, and when, by trio's clock."""
    _running: dict[LeaseId, trio.CancelScope] = field(factory=dict)
    _again: dict[LeaseId, None] = field(factory=dict)
    """Running deliveries that are not the last."""
    _resuming: dict[str, None] = field(factory=dict)
    """Groups, by name."""
    _told: dict[tuple[int, str], str] = field(factory=dict)
    """By deployment and what of it; 0: what is of none."""
    _due: dict[int, None] = field(factory=dict)
    """Deployments to look at before the next full round."""
    _wake: trio.Event = field(factory=trio.Event)
    _at_once: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(DELIVERIES_AT_ONCE))

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear)
            nursery.start_soon(self._watch_folder)
            while True:
                await self._round(nursery)
                with trio.move_on_after(ROUND_S):
                    while True:
                        await self._wake.wait()
                        self._wake = trio.Event()
                        await self._look_at_due(nursery)

    # --- what makes it look ----------------------------------------------------------------------------------------

    async def _hear(self) -> None:
        """The chain's events from now on; the first round looks at what was before."""
        while True:
            try:
                height = (await self.node.status()).height
                async with aclosing(cast("BlockStream", self.node.events(height))) as blocks:
                    async for block in blocks:
                        for event in block.events:
                            self._on_event(event)
            except PhotonError as error:
                self._tell_once((NO_DEPLOYMENT, "events"), str(error))
            await trio.sleep(NODE_RETRY_S)

    def _on_event(self, event: events.Event) -> None:
        match event:
            case events.LeaseCreated(lease=lease):
                self._concern(lease.deployment)
            case events.LeaseStatusChanged(lease=lease, status=LeaseStatus.AWAITING_MANIFEST):
                self._delivered.pop(lease, None)
                if lease in self._running:  # what is under way may have arrived before the provider lost it
                    self._again[lease] = None
                self._concern(lease.deployment)
            case events.DeploymentUpdated(deployment=deployment):
                for lease in self._running:
                    if lease.deployment == deployment:  # what is under way may be the section before
                        self._again[lease] = None
                self._concern(deployment)
            case events.LeaseClosing(lease=lease):
                self._forget_lease(lease)
                if scope := self._running.get(lease):
                    scope.cancel()
            case events.GroupPaused(group=group):
                self._concern(group.deployment)
            case events.DeploymentClosing(deployment=deployment) | events.DeploymentCreated(deployment=deployment):
                self._concern(deployment)

    def _concern(self, deployment: int) -> None:
        self._due[deployment] = None
        self._wake.set()

    async def _watch_folder(self) -> None:
        seen: tuple[int, ...] = self.vault.deployments()
        while True:
            await trio.sleep(FOLDER_LOOK_S)
            now = self.vault.deployments()
            for deployment in now:
                if deployment not in seen:
                    self._concern(deployment)
            seen = now

    # --- looking ---------------------------------------------------------------------------------------------------

    async def _round(self, nursery: trio.Nursery) -> None:
        try:
            await assign_pending(self.node, self.vault, self.papers.owners())
        except PhotonError as error:
            self._tell_once((NO_DEPLOYMENT, "node"), str(error))
            return
        self._told.pop((NO_DEPLOYMENT, "node"), None)
        for deployment in self.vault.deployments():
            self._due[deployment] = None
        await self._look_at_due(nursery)

    async def _look_at_due(self, nursery: trio.Nursery) -> None:
        kept = set(self.vault.deployments())
        while self._due:
            deployment = next(iter(self._due))
            del self._due[deployment]  # before the look: what happens meanwhile is a reason to look again
            if deployment not in kept and self.vault.new_versions():
                await self._assign_quietly()
                kept = set(self.vault.deployments())
            try:
                if deployment in kept:
                    await self._look_at(deployment, nursery)
            except PhotonError as error:
                self._tell_once((deployment, "look"), str(error))

    async def _assign_quietly(self) -> None:
        try:
            await assign_pending(self.node, self.vault, self.papers.owners())
        except PhotonError as error:
            self._tell_once((NO_DEPLOYMENT, "node"), str(error))

    async def _look_at(self, deployment: int, nursery: trio.Nursery) -> None:
        detail = await self.node.deployment(deployment)
        if detail is None:
            self._tell_once((deployment, "look"), f"deployment {deployment} is not on this chain; its manifest is kept")
            return
        if detail.deployment.state is not DeploymentState.ACTIVE:
            self._forget(deployment)
            self.tell(f"deployment {deployment} is {detail.deployment.state.name.lower()}: its manifest is deleted")
            return
        for group in detail.groups:
            match group.group.state:
                case GroupState.LEASED:
                    self._compare(group, nursery)
                case GroupState.PAUSED:
                    self._paused(group.group, nursery)

    def _forget(self, deployment: int) -> None:
        self.vault.forget(deployment)
        self._delivered = {lease: at for lease, at in self._delivered.items() if lease.deployment != deployment}
        self._told = {about: text for about, text in self._told.items() if about[0] != deployment}

    def _forget_lease(self, lease: LeaseId) -> None:
        self._delivered.pop(lease, None)
        self._told.pop(_of_lease(lease), None)

    def _compare(self, group: GroupDetail, nursery: trio.Nursery) -> None:
        lease = group.order.lease if group.order is not None else None
        if lease is None or lease.id in self._running:
            return
        wanted = group.group.spec.section_hash
        if self._is_delivered(lease, wanted):
            return
        scope = self._running[lease.id] = trio.CancelScope()
        nursery.start_soon(self._deliver, lease, wanted, scope)

    def _is_delivered(self, lease: Lease, wanted: Hash) -> bool:
        section, at = self._delivered.get(lease.id, (b"", 0.0))
        if section != wanted:
            return False
        return lease.status is not LeaseStatus.AWAITING_MANIFEST or trio.current_time() < at + AGAIN_AFTER_S

    # --- acting ----------------------------------------------------------------------------------------------------

    async def _deliver(self, lease: Lease, wanted: Hash, scope: trio.CancelScope) -> None:
        try:
            with scope:
                async with self._at_once:
                    delivered = await self.courier.deliver_patiently(lease.id)
                if lease.id not in self._again:
                    self._delivered[lease.id] = wanted, trio.current_time()
                self._told.pop(_of_lease(lease.id), None)
                if delivered.news:
                    self.tell(f"lease {lease.id}: manifest delivered and checked")
        except PhotonError as error:
            self._tell_once(_of_lease(lease.id), f"lease {lease.id}: {error}")  # tried again in the next round
        finally:
            self._running.pop(lease.id, None)
            if lease.id in self._again:
                del self._again[lease.id]
                self._concern(lease.id.deployment)

    def _paused(self, group: Group, nursery: trio.Nursery) -> None:
        name = f"{group.deployment}/{group.index}"
        if name in self._resuming:
            return
        no_manifest = bool(group.excluded) and group.excluded[-1].reason is CloseReason.NO_MANIFEST
        if no_manifest and self.sender is not None:
            self._resuming[name] = None
            nursery.start_soon(self._resume, self.sender, group, name)
            return
        about = (group.deployment, f"paused {group.index}")
        self._tell_once(about, f"group {name} is paused: {group.pause_reason}; `photon resume {name}`")

    async def _resume(self, sender: AccountSender, group: Group, name: str) -> None:
        """A transaction may wait a minute for its block: a task of its own, so that no delivery waits with it."""
        try:
            await sender.send(ResumeGroup(deployment=group.deployment, group=group.index))
            self.tell(f"group {name} was paused ({group.pause_reason}); resumed, since its manifest is here")
        except PhotonError as error:
            about = (group.deployment, f"paused {group.index}")
            self._tell_once(about, f"group {name} could not be resumed: {error}")  # tried again in the next round
        finally:
            del self._resuming[name]

    def _tell_once(self, about: tuple[int, str], text: str) -> None:
        """Until it changes."""
        if self._told.get(about) != text:
            self._told[about] = text
            self.tell(text)


def _of_lease(lease: LeaseId) -> tuple[int, str]:
    return (lease.deployment, str(lease))
