"""What a tenant or its keeper says to the provider of a lease: here is the section; how is it; show me the logs.

Theory of operation
-------------------
Everything that decides who is asked comes from the chain: the lease names its provider, the provider's record its node
key and addresses, the group's record the hash of its section. What is kept at home is compared with that hash before
anything leaves: a section is shown to nobody but the provider of a live lease whose group's version it has.

Delivering is idempotent, so it is simply done again until it succeeded, or until the provider's answer says that it
never will.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from photon_core.api.errors import ExitCode, PhotonError
from photon_core.api.ids import LeaseId
from photon_core.api.runtime import TerminalSize
from photon_core.exchange.records import LeaseState, Provider
from photon_core.manifest.vault import Vault
from photon_core.manifest.versions import SealedSection
from photon_core.node.client import NodeClient
from photon_core.node.views import LeaseDetail
from photon_core.peers.authorization import Scope, SignedAuthorization
from photon_core.peers.methods import (
    Delivered,
    DeliverRequest,
    EventsRequest,
    ExecItem,
    ExecRequest,
    LeaseEvent,
    LeaseEvents,
    LeaseReport,
    LogChunk,
    LogsRequest,
    Method,
    RefusalCode,
    StatusRequest,
)

from .errors import no_lease, no_manifest, other_version
from .links import ProviderLinks
from .papers import Papers
from .remote import RemoteSession, screen_size

RETRY_FIRST_S = 0.1
RETRY_MAX_S = 5.0
WORTH_RETRYING = frozenset(
    {
        "provider-unreachable",
        "node-unreachable",
        RefusalCode.BUSY.value,
        RefusalCode.CHAIN_UNREACHABLE.value,
        RefusalCode.UNKNOWN_LEASE.value,  # the provider's own node may be a block behind
        "rate",
        "timeout",
        "internal",
    }
)
"""Codes after which the same delivery may succeed. All others say that it never will."""


class Courier:
    """One chain, one home."""

    def __init__(self, node: NodeClient, vault: Vault, links: ProviderLinks, papers: Papers) -> None:
        self._node, self._vault, self._links, self._papers = node, vault, links, papers

    async def deliver(self, lease: LeaseId) -> Delivered:
        """One attempt. PhotonError says why the section was not accepted."""
        detail, provider = await self._of(lease)
        if detail.lease.state is not LeaseState.ACTIVE:
            raise PhotonError(
                code=RefusalCode.LEASE_CLOSED.value,
                what=f"lease {lease} is {detail.lease.state.name.lower()}",
                exit_code=ExitCode.REFUSED,
            )
        sealed = self.section(detail)
        paper = self._paper(detail, Scope.DELIVER)
        request = DeliverRequest(authorization=paper, lease=lease, salt=sealed.salt, section=sealed.raw)
        async with self._links.to(provider) as link:
            return await link.call(Method.DELIVER, request, Delivered)

    async def deliver_patiently(self, lease: LeaseId) -> Delivered:
        """Again and again with back-off, until it succeeded or an answer says that it never will."""
        wait_s = RETRY_FIRST_S
        while True:
            try:
                return await self.deliver(lease)
            except PhotonError as error:
                if error.code not in WORTH_RETRYING:
                    raise
            await trio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)

    async def report(self, lease: LeaseId, link_timeout_s: float | None = None) -> LeaseReport:
        """What the provider says of the lease now."""
        detail, provider = await self._of(lease)
        async with self._links.to(provider, link_timeout_s) as link:
            request = StatusRequest(authorization=self._paper(detail, Scope.STATUS), lease=lease)
            return await link.call(Method.STATUS, request, LeaseReport)

    async def events(
        self, lease: LeaseId, *, after: int = 0, wait: bool = False, link_timeout_s: float | None = None
    ) -> tuple[LeaseEvent, ...]:
        """What the provider saw happen to the lease, above that sequence; `wait` until there is some, for a while."""
        detail, provider = await self._of(lease)
        async with self._links.to(provider, link_timeout_s) as link:
            paper = self._paper(detail, Scope.STATUS)
            request = EventsRequest(authorization=paper, lease=lease, after=after, wait=wait)
            return (await link.call(Method.EVENTS, request, LeaseEvents)).events

    @asynccontextmanager
    async def logs(
        self, lease: LeaseId, service: str = "", *, follow: bool = False, tail_lines: int = 1000
    ) -> AsyncIterator[AsyncIterator[LogChunk]]:
        """`async with courier.logs(lease) as chunks: async for chunk in chunks: …`"""
        detail, provider = await self._of(lease)
        request = LogsRequest(
            authorization=self._paper(detail, Scope.LOGS),
            lease=lease,
            service=service,
            follow=follow,
            tail_lines=tail_lines,
        )
        async with self._links.to(provider) as link, link.stream(Method.LOGS, request, LogChunk) as chunks:
            yield chunks

    @asynccontextmanager
    async def exec(
        self,
        lease: LeaseId,
        command: tuple[str, ...],
        *,
        service: str = "",
        ordinal: int = 0,
        terminal: TerminalSize | None = None,
    ) -> AsyncIterator[RemoteSession]:
        """A command beside an instance of the lease; it is killed when the block is left before it ended."""
        detail, provider = await self._of(lease)
        request = ExecRequest(
            authorization=self._paper(detail, Scope.EXEC),
            lease=lease,
            service=service,
            ordinal=ordinal,
            command=command,
            terminal=None if terminal is None else screen_size(terminal),
        )
        async with self._links.to(provider) as link, link.stream(Method.EXEC, request, ExecItem) as items:
            yield await RemoteSession.begun(link, items)

    def section(self, detail: LeaseDetail) -> SealedSection:
        """The section of the lease's group as it is kept here; PhotonError unless it is the one on chain."""
        deployment = detail.deployment.id
        manifest = self._vault.get(deployment)
        if manifest is None:
            raise no_manifest(deployment, str(self._vault.folder))
        index = detail.group.index
        if index >= len(manifest.groups) or manifest.groups[index].section_hash != detail.group.spec.section_hash:
            raise other_version(deployment)
        return manifest.sections[index]

    async def _of(self, lease: LeaseId) -> tuple[LeaseDetail, Provider]:
        detail = await self._node.lease(lease)
        if detail is None:
            raise no_lease(lease)
        provider = await self._node.provider(detail.lease.provider)
        assert provider is not None, "a lease's provider is on chain: providers are never deleted"
        return detail, provider

    def _paper(self, detail: LeaseDetail, scope: Scope) -> SignedAuthorization:
        return self._papers.paper(
            owner=detail.deployment.owner, provider=detail.lease.provider, deployment=detail.deployment.id, scope=scope
        )
