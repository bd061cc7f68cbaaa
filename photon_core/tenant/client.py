"""The tenant's client: plan, deploy, update, follow, deliver, status, logs, close.

Theory of operation
-------------------
Before a deployment's transaction is sent, its manifest is on disk under its version, and a delegation for this home's
keeper beside it: whatever dies afterwards, the salts are not lost and somebody can deliver. When the chain gives the
deployment a number the file is renamed; if nobody lived to see it, the next start finds the number by the version.

An update is on disk beside the version before it, and takes its place when the chain has it. Asked for again, it is the
same update: an interrupted one is finished, not sent twice.

Nothing else is remembered: how a deployment is, is what the chain and its providers say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import trio

from photon_core import sdl
from photon_core.api.errors import ExitCode, PhotonError
from photon_core.api.ids import Address, Hash, LeaseId
from photon_core.api.runtime import TerminalSize
from photon_core.api.transport import Transport
from photon_core.chain import keys
from photon_core.chain.keys import KeyPurpose, SigningKey
from photon_core.exchange import settlement
from photon_core.exchange.events import DeploymentCreated
from photon_core.exchange.messages import CloseDeployment, CreateDeployment, Deposit, ResumeGroup, UpdateDeployment
from photon_core.exchange.records import GroupState
from photon_core.exchange.refusals import Code
from photon_core.manifest.plan import GroupPlan
from photon_core.manifest.vault import Vault
from photon_core.manifest.versions import Manifest, seal_plan
from photon_core.node.account import AccountSender, Sent, TransactionRefused
from photon_core.node.client import NodeClient
from photon_core.node.views import DeploymentDetail
from photon_core.peers.methods import Delivered, LeaseReport, LogChunk

from . import history, log_follow, money, steps
from .delivery import Courier
from .errors import no_active_lease
from .follow import STEPS_WAITING_MAX, Follower
from .identity import keeper_key
from .links import ProviderLinks, open_links
from .lookup import deployment_detail, deployment_status, past_leases
from .money import MoneySummary
from .papers import KeptPapers, OwnPapers
from .pending import assign_pending
from .remote import RemoteSession
from .status import DeploymentStatus
from .tasks import background_tasks
from .updating import (
    Updated,
    changed_groups,
    check_may_update,
    in_order_of,
    is_up_to_date,
    same_version,
    seal_update,
)

MakeTransport = Callable[[bytes, Hash], Transport]
"""(node seed, chain id) -> a transport that does not run yet."""
TRANSACTIONS_LOOKED_AT_MAX = 256


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

    async def update(self, deployment: int, plan: sdl.Plan) -> Updated:
        """Gives the deployment the plan's manifest; done once its block has a certificate. Nothing is delivered yet.

        When the chain has it already and a provider does not, there is nothing to send: deliver, or follow.

        Raises:
            UsageError: `groups-differ`, the plan orders something else; `same-version`, there is nothing to do.
            PhotonError: `not-yours`, `deployment-closed`, and what the chain says.
        """
        detail = await self.detail(deployment)
        check_may_update(detail, self.address)
        groups = in_order_of(detail, plan.groups)
        manifest, resealed = await trio.to_thread.run_sync(self._seal_update, detail, groups)
        if manifest.version == detail.deployment.version:
            status = await self.status(deployment)
            if all(is_up_to_date(group) for group in status.groups):
                raise same_version(deployment, manifest.version)
            return Updated(
                deployment=deployment,
                version=manifest.version,
                changed={
                    group.detail.group.index: group.detail.group.spec.name
                    for group in status.groups
                    if not is_up_to_date(group)
                },
                sent=None,
                height=(await self.node.status()).height,
            )
        sent = await self._send_update(deployment, manifest)
        return Updated(
            deployment=deployment,
            version=manifest.version,
            changed=changed_groups(detail, manifest),
            sent=sent,
            height=sent.height if sent is not None else (await self.node.status()).height,
            resealed=resealed,
        )

    def _seal_update(self, detail: DeploymentDetail, groups: Sequence[GroupPlan]) -> tuple[Manifest, bool]:
        number = detail.deployment.id
        previous = self._vault.at_version(number, detail.deployment.version)
        pending = self._vault.updates(number)
        manifest = seal_update(detail, groups, chain_id=self._chain_id, previous=previous, pending=pending)
        return manifest, previous is None

    async def _send_update(self, deployment: int, manifest: Manifest) -> Sent | None:
        """The manifest is on disk before the transaction leaves, and stays there unless the chain refuses it. None: an
        earlier transaction of the same update was faster.
        """
        kept_before = manifest.version in [each.version for each in self._vault.updates(deployment)]
        await trio.to_thread.run_sync(self._keep_update, deployment, manifest)
        hashes = tuple(spec.section_hash for spec in manifest.groups)
        message = UpdateDeployment(deployment=deployment, version=manifest.version, section_hashes=hashes)
        sent = None
        try:
            sent = await self._sender.send(message)
        except TransactionRefused as refused:
            if refused.code != Code.SAME_VERSION:
                if not kept_before:  # else an earlier transaction may still bring it on chain
                    self._vault.forget_update(deployment, manifest.version)
                raise
        await trio.to_thread.run_sync(self._vault.at_version, deployment, manifest.version)
        return sent

    def _keep_update(self, deployment: int, manifest: Manifest) -> None:
        self._delegations.grant(self._key)
        self._vault.keep_update(deployment, manifest)

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
        async with self._steps(deployment, detail.deployment.created_height, deliver=deliver) as source:
            yield source

    @asynccontextmanager
    async def following_update(self, updated: Updated) -> AsyncIterator[trio.MemoryReceiveChannel[steps.Step]]:
        """As `following`, from the update on: what changed goes to the leases that there are, and to new ones."""
        detail = await self.detail(updated.deployment)
        leases = {
            group.order.lease.id: group.order.lease.provider
            for group in detail.groups
            if group.group.index in updated.changed
            and group.group.state is GroupState.LEASED
            and group.order is not None
            and group.order.lease is not None
        }
        async with self._steps(updated.deployment, updated.height + 1, leases=leases) as source:
            yield source

    @asynccontextmanager
    async def _steps(
        self,
        deployment: int,
        from_height: int,
        *,
        deliver: bool = True,
        leases: Mapping[LeaseId, Address] | None = None,
    ) -> AsyncIterator[trio.MemoryReceiveChannel[steps.Step]]:
        sink, source = trio.open_memory_channel[steps.Step](STEPS_WAITING_MAX)
        follower = Follower(
            node=self.node,
            courier=self.courier,
            links=self._links,
            deployment=deployment,
            from_height=from_height,
            deliver=deliver,
            sink=sink,
            leases=leases or {},
        )
        async with source, background_tasks() as nursery:
            nursery.start_soon(follower.run)
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

    def history(
        self, deployment: int, *, since_ms: int = 0, follow: bool = False
    ) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[history.Told]]:
        """What the chain and the providers saw happen, in time order: see `history.telling`."""
        return history.telling(self.node, self.courier, deployment, since_ms=since_ms, follow=follow)

    def following_logs(
        self, deployment: int, service: str = "", *, lease: LeaseId | None = None, tail_lines: int = 1000
    ) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[log_follow.Told]]:
        """Lines and notes, through restarts and moves of the lease: see `log_follow.telling`."""
        return log_follow.telling(
            self.node, self.courier, self.active_lease, deployment, lease, service=service, tail_lines=tail_lines
        )

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
