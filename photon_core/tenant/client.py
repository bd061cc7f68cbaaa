"""The tenant's client: plan, deploy, follow, deliver, status, logs, close.

Theory of operation
-------------------
Before a deployment's transaction is sent, its manifest is on disk under its version, and a delegation for this home's
keeper beside it: whatever dies afterwards, the salts are not lost and somebody can deliver. When the chain gives the
deployment a number the file is renamed; if nobody lived to see it, the next start finds the number by the version.

Nothing else is remembered: how a deployment is, is what the chain and its providers say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from photon_core import sdl
from photon_core.api.errors import ExitCode, PhotonError
from photon_core.api.ids import Hash, LeaseId
from photon_core.api.runtime import TerminalSize
from photon_core.api.transport import Transport
from photon_core.chain import keys
from photon_core.chain.keys import KeyPurpose, SigningKey
from photon_core.exchange import settlement
from photon_core.exchange.events import DeploymentCreated
from photon_core.exchange.messages import CloseDeployment, CreateDeployment, Deposit, ResumeGroup
from photon_core.exchange.records import GroupState
from photon_core.manifest.vault import Vault
from photon_core.manifest.versions import Manifest, seal_plan
from photon_core.node.account import AccountSender, Sent, TransactionRefused
from photon_core.node.client import NodeClient
from photon_core.node.views import DeploymentDetail
from photon_core.peers.methods import Delivered, LeaseReport, LogChunk

from . import history, money, steps
from .delivery import Courier
from .errors import no_active_lease
from .follow import STEPS_WAITING_MAX, Follower
from .identity import keeper_key
from .links import ProviderLinks, open_links
from .log_follow import LogFollower, Told
from .lookup import deployment_detail, deployment_status, past_leases
from .money import MoneySummary
from .papers import KeptPapers, OwnPapers
from .pending import assign_pending
from .remote import RemoteSession
from .status import DeploymentStatus
from .tasks import background_tasks

MakeTransport = Callable[[bytes, Hash], Transport]
"""(node seed, chain id) -> a transport that does not run yet."""
TRANSACTIONS_LOOKED_AT_MAX = 256
T = TypeVar("T")


@asynccontextmanager
async def open_tenant(
    node: NodeClient, key: SigningKey, *, home: Path, make_transport: MakeTransport
) -> AsyncIterator[Tenant]:
    """`key` is the tenant's unlocked account key; `home` keeps the manifests. Links live as long as the block."""
    chain_id = (await node.status()).chain_id
    node_key = keys.generate(KeyPurpose.NODE)  # of this process: two at once must not meet as one peer
    async with open_links(lambda: make_transport(node_key.seed, chain_id)) as links:
        papers = OwnPapers(key, chain_id=chain_id, caller=node_key.public)
        vault = Vault(home, chain_id)
        await assign_pending(node, vault, (key.address,))
        yield Tenant(
            node,
            key,
            chain_id=chain_id,
            vault=vault,
            links=links,
            courier=Courier(node, vault, links, papers),
            delegations=KeptPapers(home, chain_id=chain_id, caller=keeper_key(home).public),
        )


class Tenant:
    """One account at one node. Made by `open_tenant`."""

    def __init__(
        self,
        node: NodeClient,
        key: SigningKey,
        *,
        chain_id: Hash,
        vault: Vault,
        links: ProviderLinks,
        courier: Courier,
        delegations: KeptPapers,
    ) -> None:
        self.node, self.address, self.courier = node, key.address, courier
        self._key, self._chain_id, self._vault = key, chain_id, vault
        self._links, self._delegations = links, delegations
        self._sender = AccountSender(node, key)

    # --- deploying -----------------------------------------------------------------------------------------------

    async def plan(self, path: Path) -> sdl.Plan:
        """What a file asks for; SdlErrors with everything that is wrong with it."""
        return await trio.to_thread.run_sync(sdl.load, path)

    async def deploy(
        self,
        plan: sdl.Plan,
        *,
        deposit_uptn: int | None = None,
        persist: bool = True,
        third_party_deposits: bool = False,
    ) -> int:
        """The new deployment's number, once its block has a certificate. Nothing is delivered yet.

        Args:
            plan: From `plan`, or made by a program.
            deposit_uptn: None: 24 hours of the highest price, and never less than the chain asks for.
            persist: Order again when a lease ends for another's reason.
            third_party_deposits: Let other accounts pay into it.

        Raises:
            TransactionRefused: The chain said no; nothing is kept.
        """
        if deposit_uptn is None:
            deposit_uptn = await self.default_deposit_uptn(plan.max_price)
        manifest = seal_plan(plan.groups, chain_id=self._chain_id)
        await trio.to_thread.run_sync(self._keep, manifest)
        try:
            sent = await self._sender.send(
                CreateDeployment(
                    groups=manifest.groups,
                    version=manifest.version,
                    deposit_uptn=deposit_uptn,
                    persist=persist,
                    third_party_deposits=third_party_deposits,
                )
            )
        except TransactionRefused:
            self._vault.forget_new(manifest.version)
            raise
        created = next(e for e in sent.receipt.events if isinstance(e, DeploymentCreated))
        await trio.to_thread.run_sync(self._vault.assign, manifest.version, created.deployment)
        return created.deployment

    def _keep(self, manifest: Manifest) -> None:
        self._delegations.grant(self._key)
        self._vault.keep_new(manifest)

    async def default_deposit_uptn(self, max_price: int) -> int:
        least = settlement.deployment_minimum_uptn(max_price, await self.node.parameters())
        return max(money.default_deposit_uptn(max_price), least, 1)

    async def deposit(self, deployment: int, amount_uptn: int) -> Sent:
        return await self._sender.send(Deposit(deployment=deployment, amount_uptn=amount_uptn))

    async def resume(self, deployment: int, group: int | None = None) -> tuple[int, ...]:
        """Orders paused groups again, all of them unless one is named; returns their indexes."""
        detail = await self.detail(deployment)
        waiting = [g.group.index for g in detail.groups if g.group.state is GroupState.PAUSED]
        wanted = waiting if group is None else [group]
        if not wanted:
            raise PhotonError(
                code="wrong-state",
                what=f"no group of deployment {deployment} is paused",
                remedy=f"`photon status {deployment}` says what each waits for",
                exit_code=ExitCode.REFUSED,
            )
        await self._sender.send(*(ResumeGroup(deployment=deployment, group=index) for index in wanted))
        return tuple(wanted)

    async def close(self, deployment: int) -> MoneySummary:
        """Billing stops, what is unspent comes back; says where every uptn went. The kept manifest is deleted."""
        created_fee = await self._creation_fee((await self.detail(deployment)).deployment.created_height, deployment)
        sent = await self._sender.send(CloseDeployment(deployment=deployment))
        await trio.to_thread.run_sync(self._vault.forget, deployment)
        return await self.money(deployment, fees_uptn=created_fee + sent.receipt.fee_uptn)

    async def _creation_fee(self, height: int, deployment: int) -> int:
        """What the transaction that created it cost; 0 when its block has too many to look through."""
        block = await self.node.block(height)
        for transaction_id in block.transaction_ids[:TRANSACTIONS_LOOKED_AT_MAX] if block is not None else ():
            found = await self.node.transaction(transaction_id)
            receipt = found.receipt if found is not None else None
            if receipt is not None and any(
                isinstance(e, DeploymentCreated) and e.deployment == deployment for e in receipt.events
            ):
                return receipt.fee_uptn
        return 0

    # --- looking -------------------------------------------------------------------------------------------------

    async def list(self) -> tuple[DeploymentDetail, ...]:
        return await self.node.deployments(self.address)

    async def detail(self, deployment: int) -> DeploymentDetail:
        return await deployment_detail(self.node, deployment)

    async def money(self, deployment: int, *, fees_uptn: int = 0) -> MoneySummary:
        detail = await self.detail(deployment)
        earlier = [lease for group in detail.groups for lease in await past_leases(self.node, group)]
        return money.summarize(detail, earlier, fees_uptn=fees_uptn)

    async def status(self, deployment: int) -> DeploymentStatus:
        """The chain's view joined with what each lease's provider answers now."""
        return await deployment_status(self.node, deployment, self.courier, self._links)

    @asynccontextmanager
    async def following(
        self, deployment: int, *, deliver: bool = True
    ) -> AsyncIterator[trio.MemoryReceiveChannel[steps.Step]]:
        """Its steps from the beginning; the sections are delivered on the way unless somebody else does.

        The channel ends when the deployment does; leaving the block stops the following.
        """
        detail = await self.detail(deployment)
        sink, source = trio.open_memory_channel[steps.Step](STEPS_WAITING_MAX)
        async with source, background_tasks() as nursery:
            nursery.start_soon(
                Follower(
                    node=self.node,
                    courier=self.courier,
                    links=self._links,
                    deployment=deployment,
                    from_height=detail.deployment.created_height,
                    deliver=deliver,
                    sink=sink,
                ).run
            )
            yield source

    # --- leases --------------------------------------------------------------------------------------------------

    async def deliver(self, lease: LeaseId) -> Delivered:
        """The lease's section to its provider, until it has it; PhotonError when it never will."""
        return await self.courier.deliver_patiently(lease)

    async def report(self, lease: LeaseId) -> LeaseReport:
        return await self.courier.report(lease)

    def logs(
        self, lease: LeaseId, service: str = "", *, follow: bool = False, tail_lines: int = 1000
    ) -> AbstractAsyncContextManager[AsyncIterator[LogChunk]]:
        """`async with tenant.logs(lease, follow=True) as chunks: async for chunk in chunks: …`; empty: all services."""
        return self.courier.logs(lease, service, follow=follow, tail_lines=tail_lines)

    @asynccontextmanager
    async def history(
        self, deployment: int, *, since_ms: int = 0, follow: bool = False
    ) -> AsyncIterator[trio.MemoryReceiveChannel[history.Told]]:
        """What the chain and the providers saw happen, in time order, and notes on what cannot be asked.

        `since_ms`: Unix time, that instant included. With `follow` it goes on until the deployment is closed.
        """
        sink, source = trio.open_memory_channel[history.Told](0)
        teller = history.Historian(
            node=self.node, courier=self.courier, deployment=deployment, since_ms=since_ms, sink=sink
        )
        async with _told_by(partial(teller.run, follow=follow), sink, source) as told:
            yield told

    @asynccontextmanager
    async def following_logs(
        self, deployment: int, service: str = "", *, lease: LeaseId | None = None, tail_lines: int = 1000
    ) -> AsyncIterator[trio.MemoryReceiveChannel[Told]]:
        """Lines, and notes on what happened to the reading, through restarts and moves of the lease.

        The channel ends when the deployment does, or the lease if one was named; leaving the block stops it. What
        waiting cannot mend (a service that is not there, a paper that is refused) is a PhotonError out of the block.
        """
        sink, source = trio.open_memory_channel[Told](0)
        follower = LogFollower(
            node=self.node,
            courier=self.courier,
            active_lease=self.active_lease,
            deployment=deployment,
            lease=lease,
            service=service,
            tail_lines=tail_lines,
            sink=sink,
        )
        async with _told_by(follower.run, sink, source) as told:
            yield told

    def exec(
        self,
        lease: LeaseId,
        command: tuple[str, ...],
        *,
        service: str = "",
        ordinal: int = 0,
        terminal: TerminalSize | None = None,
    ) -> AbstractAsyncContextManager[RemoteSession]:
        """`async with tenant.exec(lease, ("sh",), terminal=…) as session: …`; it is what a runtime's session is."""
        return self.courier.exec(lease, command, service=service, ordinal=ordinal, terminal=terminal)

    async def active_lease(self, deployment: int, service: str = "") -> LeaseId:
        """The one lease of the deployment that is active (and has the service); PhotonError when there is none."""
        detail = await self.detail(deployment)
        active = [
            g.order.lease.id
            for g in detail.groups
            if g.order is not None and g.order.lease is not None and g.group.state is GroupState.LEASED
        ]
        manifest = self._vault.get(deployment)
        if service and manifest is not None:
            active = [
                lease
                for lease in active
                if any(s.name == service for s in manifest.sections[lease.group].section.services)
            ]
        if not active:
            raise no_active_lease(deployment, service)
        return active[0]


@asynccontextmanager
async def _told_by(
    tell: Callable[[], Awaitable[None]], sink: trio.MemorySendChannel[T], source: trio.MemoryReceiveChannel[T]
) -> AsyncIterator[trio.MemoryReceiveChannel[T]]:
    """What a task of its own tells until it is done, or fails: then the channel ends, and the block with its error."""
    failure: list[PhotonError] = []

    async def run() -> None:
        try:
            await tell()
        except PhotonError as error:  # a nursery would put it into a group
            failure.append(error)
        sink.close()  # only now: who reads its end leaves the block at once

    async with source, background_tasks() as nursery:
        nursery.start_soon(run)
        yield source
    if failure:
        raise failure[0]
