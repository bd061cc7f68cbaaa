"""What tenants ask of a provider over a link: take a manifest section, tell a lease's state, show its logs, say why
there was no bid.

Every request about a lease carries an authorization (`photon_core.peers.authorization`) that is checked against the
link's peer, the lease's owner on chain and the clock, before anything else is looked at; so a stranger learns only
whether a lease exists, which the chain says anyway. Refusals go by name. Sizes, rates and how many at once are
`Peers`' to bound; here log followers of one lease are.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, TypeVar, cast

import trio

from photon_core.api import fields
from photon_core.api.errors import PhotonError
from photon_core.api.fields import Plain
from photon_core.api.ids import InstanceId, LeaseId, NodeKey
from photon_core.api.runtime import RuntimeFailure
from photon_core.exchange.records import LeaseState
from photon_core.manifest.versions import section_hash
from photon_core.node.views import LeaseDetail
from photon_core.peers import Peers, Refusal
from photon_core.peers.authorization import Demand, NotAuthorized, Scope, SignedAuthorization, check_authorization
from photon_core.peers.methods import (
    LOG_CHUNK_BYTES_MAX,
    DecisionRequest,
    Delivered,
    DeliverRequest,
    LogChunk,
    LogsRequest,
    Method,
    RefusalCode,
    StatusRequest,
)
from photon_core.peers.requests import everyone

from .driver import Agent
from .manifests import SectionRefused, check_section
from .network.grants import instance_ids
from .report import lease_report

log = logging.getLogger(__name__)

T = TypeVar("T")

DELIVER_PARAMS_BYTES_MAX = 1_048_576 + 4096
"""A section and its authorization."""
DECISION_PARAMS_BYTES_MAX = 64
"""An order's name. It is a question without papers, so it must cost next to nothing: a look into two tables."""
FOLLOWERS_PER_LEASE_MAX = 16
CHUNKS_WAITING = 4
"""Of each log request: a slow reader holds back the reading, not memory."""


class Gateway:
    def __init__(self, agent: Agent, peers: Peers) -> None:
        self._agent, self._parts = agent, agent.parts
        self._followers: Counter[LeaseId] = Counter()
        peers.serve(Method.DELIVER, self.deliver, allow=everyone, max_params_bytes=DELIVER_PARAMS_BYTES_MAX)
        peers.serve(Method.STATUS, self.status, allow=everyone)
        peers.serve(Method.LOGS, self.logs, allow=everyone)
        peers.serve(Method.DECISION, self.decision, allow=everyone, max_params_bytes=DECISION_PARAMS_BYTES_MAX)

    # --- methods ------------------------------------------------------------------------------------------------------

    async def deliver(self, caller: NodeKey, params: Any) -> Plain:
        request = _read(DeliverRequest, params)
        detail = await self._admit(caller, request.authorization, request.lease, Scope.DELIVER)
        hash_ = section_hash(self._parts.chain_id, request.salt, request.section)
        if self._agent.section(request.lease) is not None or hash_ != detail.group.spec.section_hash:
            detail = await self._ask_node(request.lease)  # an update may be newer than the last look at the chain
        if detail.lease.state is not LeaseState.ACTIVE:
            raise Refusal(RefusalCode.LEASE_CLOSED, f"lease {request.lease} is {detail.lease.state.name.lower()}")
        try:
            held = check_section(self._parts.chain_id, detail.group.spec, request.salt, request.section)
        except SectionRefused as refused:
            raise Refusal(refused.code, _words(refused)) from None
        return fields.to_plain(Delivered(news=await self._agent.take_section(request.lease, held)))

    async def status(self, caller: NodeKey, params: Any) -> Plain:
        request = _read(StatusRequest, params)
        detail = await self._admit(caller, request.authorization, request.lease, Scope.STATUS)
        return fields.to_plain(lease_report(self._agent, detail))

    async def logs(self, caller: NodeKey, params: Any) -> AsyncIterator[Plain]:
        request = _read(LogsRequest, params)
        detail = await self._admit(caller, request.authorization, request.lease, Scope.LOGS)
        if detail.lease.state is not LeaseState.ACTIVE:
            state = detail.lease.state.name.lower()
            raise Refusal(RefusalCode.LEASE_CLOSED, f"lease {request.lease} is {state}, and its logs go with it")
        instances = self._instances(request)
        if self._followers[request.lease] >= FOLLOWERS_PER_LEASE_MAX:
            raise Refusal(RefusalCode.BUSY, f"{FOLLOWERS_PER_LEASE_MAX} others read this lease's logs")
        self._followers[request.lease] += 1
        try:
            async with aclosing(self._follow(instances, request)) as chunks:
                async for chunk in chunks:
                    yield fields.to_plain(chunk)
        finally:
            self._followers[request.lease] -= 1
            if not self._followers[request.lease]:
                del self._followers[request.lease]

    async def decision(self, caller: NodeKey, params: Any) -> Plain:
        """Of no lease, so nobody's secret: why this provider did not bid."""
        del caller
        request = _read(DecisionRequest, params)
        if self._agent.view is None:
            raise Refusal(RefusalCode.CHAIN_UNREACHABLE, "this provider has not seen the chain yet")
        return fields.to_plain(self._agent.desk.decision(request.order, self._agent.view))

    # --- who may ------------------------------------------------------------------------------------------------------

    async def _admit(self, caller: NodeKey, signed: SignedAuthorization, lease: LeaseId, scope: Scope) -> LeaseDetail:
        detail = await self._detail(lease)
        demand = Demand(
            chain_id=self._parts.chain_id,
            caller=caller,
            provider=self._parts.provider,
            deployment=lease.deployment,
            owner=detail.deployment.owner,
            scope=scope,
            now_ms=self._parts.now_ms(),
        )
        try:
            check_authorization(signed, demand)
        except NotAuthorized as refused:
            raise Refusal(refused.code, _words(refused)) from None
        return detail

    async def _detail(self, lease: LeaseId) -> LeaseDetail:
        """Of a lease with this provider, from the view, or from the node when the view does not have it (yet)."""
        leases = self._agent.view.leases if self._agent.view else ()
        found = next((detail for detail in leases if detail.lease.id == lease), None)
        return found if found is not None else await self._ask_node(lease)

    async def _ask_node(self, lease: LeaseId) -> LeaseDetail:
        try:
            found = await self._parts.node.lease(lease)
        except PhotonError as error:
            raise Refusal(RefusalCode.CHAIN_UNREACHABLE, error.what) from None
        if found is None or found.lease.provider != self._parts.provider:
            raise Refusal(RefusalCode.UNKNOWN_LEASE, f"this provider has no lease {lease}")
        return found

    # --- logs ---------------------------------------------------------------------------------------------------------

    def _instances(self, request: LogsRequest) -> tuple[InstanceId, ...]:
        section = self._agent.section(request.lease)
        if section is None:
            raise Refusal(RefusalCode.NO_MANIFEST, f"lease {request.lease} waits for its manifest: nothing has run yet")
        ids = instance_ids(request.lease, section)
        chosen = tuple(id_ for id_ in ids if request.service in ("", id_.service))
        if not chosen:
            names = ", ".join(service.name for service in section.services)
            raise Refusal(RefusalCode.UNKNOWN_SERVICE, f"no service {request.service!r} here; there are {names}"[:1000])
        return chosen

    async def _follow(self, instances: tuple[InstanceId, ...], request: LogsRequest) -> AsyncGenerator[LogChunk, None]:
        """Readers are the agent's tasks: a generator must not own a nursery across its yields."""
        assert self._agent.nursery is not None
        send, receive = trio.open_memory_channel[LogChunk](CHUNKS_WAITING)
        scopes = [trio.CancelScope() for _ in instances]
        async with send:
            for instance, scope in zip(instances, scopes, strict=True):
                self._agent.nursery.start_soon(self._read_log, instance, request, send.clone(), scope)
        try:
            async with receive:
                async for chunk in receive:
                    yield chunk
        finally:
            for scope in scopes:
                scope.cancel()

    async def _read_log(
        self,
        instance: InstanceId,
        request: LogsRequest,
        send: trio.MemorySendChannel[LogChunk],
        scope: trio.CancelScope,
    ) -> None:
        logs = self._parts.runtime.logs(instance, follow=request.follow, tail_lines=request.tail_lines)
        with scope:
            try:
                async with send, aclosing(cast(Any, logs)) as chunks:
                    async for chunk in chunks:
                        for start in range(0, len(chunk), LOG_CHUNK_BYTES_MAX):
                            data = chunk[start : start + LOG_CHUNK_BYTES_MAX]
                            await send.send(LogChunk(service=instance.service, ordinal=instance.ordinal, data=data))
            except (RuntimeFailure, OSError, KeyError, trio.BrokenResourceError):
                return  # nothing to read yet, or nobody reads any more
            except Exception:  # a runtime plugin's bug is this reader's trouble, not the end of all leases
                log.exception("the logs of %s cannot be read", instance)


def _read(cls: type[T], params: Any) -> T:
    return fields.from_plain(cls, params)  # a CodecError becomes `bad-request`


def _words(error: PhotonError) -> str:
    parts = [
        error.what,
        f"expected {error.expected}" if error.expected else "",
        f"found {error.found}" if error.found else "",
    ]
    return "; ".join(part for part in parts if part)[:1000]
