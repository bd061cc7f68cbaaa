"""What tenants ask of a provider over a link: take a manifest section, tell a lease's state, show its logs, run a
command beside a workload, say why there was no bid.

Every request about a lease carries an authorization (`photon_core.peers.authorization`) that is checked against the
link's peer, the lease's owner on chain and the clock, before anything else is looked at; so a stranger learns only
whether a lease exists, which the chain says anyway. Refusals go by name. Sizes, rates and how many at once are
`Peers`' to bound; here log followers of one lease are, and in `exec_desk` its sessions.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
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
    INPUT_BYTES_MAX,
    LOG_CHUNK_BYTES_MAX,
    DecisionRequest,
    Delivered,
    DeliverRequest,
    EventsRequest,
    ExecInput,
    ExecInputTaken,
    ExecRequest,
    LeaseEvents,
    LogChunk,
    LogsRequest,
    Method,
    RefusalCode,
    StatusRequest,
)
from photon_core.peers.requests import everyone

from .driver import Agent
from .exec_desk import ExecDesk
from .manifests import SectionRefused, check_section
from .network.grants import instance_ids
from .report import lease_report

log = logging.getLogger(__name__)

T = TypeVar("T")

DELIVER_PARAMS_BYTES_MAX = 1_048_576 + 4096
"""A section and its authorization."""
DECISION_PARAMS_BYTES_MAX = 64
"""An order's name. It is a question without papers, so it must cost next to nothing: a look into two tables."""
EVENTS_WAIT_S = 20.0
"""Below what a caller waits for an answer."""
EXEC_PARAMS_BYTES_MAX = 96 * 1024
"""A command of more than one long word, and its authorization."""
INPUT_MORE_BYTES = 64
"""What goes beside a piece of input: the session's name and a size."""
FOLLOWERS_PER_LEASE_MAX = 16
FOLLOW_AGAIN_S = 1.0
CHUNKS_WAITING = 4
"""Of each log request: a slow reader holds back the reading, not memory."""


class Gateway:
    def __init__(self, agent: Agent, peers: Peers) -> None:
        self._agent, self._parts = agent, agent.parts
        self._followers: Counter[LeaseId] = Counter()
        self.exec_desk = ExecDesk(agent)
        peers.serve(Method.DELIVER, self.deliver, allow=everyone, max_params_bytes=DELIVER_PARAMS_BYTES_MAX)
        peers.serve(Method.STATUS, self.status, allow=everyone)
        peers.serve(Method.EVENTS, self.events, allow=everyone)
        peers.serve(Method.LOGS, self.logs, allow=everyone)
        peers.serve(Method.EXEC, self.exec, allow=everyone, max_params_bytes=EXEC_PARAMS_BYTES_MAX)
        peers.serve(
            Method.EXEC_INPUT, self.exec_input, allow=everyone, max_params_bytes=INPUT_BYTES_MAX + INPUT_MORE_BYTES
        )
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

    async def events(self, caller: NodeKey, params: Any) -> Plain:
        """Also of a lease that is over, as long as they are kept: that is when somebody asks what happened."""
        request = _read(EventsRequest, params)
        await self._admit(caller, request.authorization, request.lease, Scope.STATUS)
        if request.wait:
            await self._agent.chronicle.wait_news(request.lease, request.after, EVENTS_WAIT_S)
        return fields.to_plain(LeaseEvents(events=await self._agent.chronicle.events(request.lease, request.after)))

    async def logs(self, caller: NodeKey, params: Any) -> AsyncIterator[Plain]:
        request = _read(LogsRequest, params)
        detail = await self._admit(caller, request.authorization, request.lease, Scope.LOGS)
        if detail.lease.state is not LeaseState.ACTIVE:
            state = detail.lease.state.name.lower()
            raise Refusal(RefusalCode.LEASE_CLOSED, f"lease {request.lease} is {state}, and its logs go with it")
        instances = self._chosen(request.lease, request.service)
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

    async def exec(self, caller: NodeKey, params: Any) -> AsyncIterator[Plain]:
        request = _read(ExecRequest, params)
        detail = await self._admit(caller, request.authorization, request.lease, Scope.EXEC)
        if detail.lease.state is not LeaseState.ACTIVE:
            raise Refusal(RefusalCode.LEASE_CLOSED, f"lease {request.lease} is {detail.lease.state.name.lower()}")
        instance = self._instance(request)
        async with aclosing(self.exec_desk.run(caller, detail.deployment.owner, instance, request)) as items:
            async for item in items:
                yield fields.to_plain(item)

    async def exec_input(self, caller: NodeKey, params: Any) -> Plain:
        """Of a session that this caller has opened: who may was asked then, and the link proves that it is the same."""
        taken = await self.exec_desk.take(caller, _read(ExecInput, params))
        return fields.to_plain(ExecInputTaken(taken=taken))

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

    # --- which instances ----------------------------------------------------------------------------------------------

    def _chosen(self, lease: LeaseId, name: str) -> tuple[InstanceId, ...]:
        """Of a service, or of all."""
        section = self._agent.section(lease)
        if section is None:
            raise Refusal(RefusalCode.NO_MANIFEST, f"lease {lease} waits for its manifest: nothing has run yet")
        chosen = tuple(id_ for id_ in instance_ids(lease, section) if name in ("", id_.service))
        if not chosen:
            names = ", ".join(service.name for service in section.services)
            raise Refusal(RefusalCode.UNKNOWN_SERVICE, f"no service {name!r} here; there are {names}"[:1000])
        return chosen

    def _instance(self, request: ExecRequest) -> InstanceId:
        chosen = self._chosen(request.lease, request.service)
        names = dict.fromkeys(id_.service for id_ in chosen)
        if len(names) > 1:
            raise Refusal(RefusalCode.UNKNOWN_SERVICE, f"say which service: there are {', '.join(names)}"[:1000])
        found = next((id_ for id_ in chosen if id_.ordinal == request.ordinal), None)
        if found is None:
            last, name = len(chosen) - 1, chosen[0].service
            raise Refusal(RefusalCode.UNKNOWN_INSTANCE, f"{name} has no instance {request.ordinal}, the last is {last}")
        return found

    # --- logs ---------------------------------------------------------------------------------------------------------

    async def _follow(self, instances: tuple[InstanceId, ...], request: LogsRequest) -> AsyncGenerator[LogChunk, None]:
        """Readers are the agent's tasks: a generator must not own a nursery across its yields."""
        assert self._agent.nursery is not None
        send, receive = trio.open_memory_channel[LogChunk | None](CHUNKS_WAITING)
        scopes = [trio.CancelScope() for _ in instances]
        async with send:
            for instance, scope in zip(instances, scopes, strict=True):
                self._agent.nursery.start_soon(self._read_log, instance, request, send.clone(), scope)
        try:
            async with receive:
                async for chunk in receive:
                    if chunk is None:
                        return  # the reader asks again, and finds what is there by then
                    yield chunk
        finally:
            for scope in scopes:
                scope.cancel()

    async def _read_log(
        self,
        instance: InstanceId,
        request: LogsRequest,
        send: trio.MemorySendChannel[LogChunk | None],
        scope: trio.CancelScope,
    ) -> None:
        """Of one instance. Who follows waits for one that has nothing yet; when one ends that had something, as a
        sandbox that was killed does, all ends: only the reader knows how far it has read.
        """
        with scope:
            try:
                async with send:
                    found = await self._read_once(instance, request, send)
                    while request.follow and not found:
                        await trio.sleep(FOLLOW_AGAIN_S)
                        found = await self._read_once(instance, request, send)
                    if request.follow:
                        await send.send(None)
            except trio.BrokenResourceError:
                return  # nobody reads any more
            except Exception:  # a runtime plugin's bug is this reader's trouble, not the end of all leases
                log.exception("the logs of %s cannot be read", instance)

    async def _read_once(
        self, instance: InstanceId, request: LogsRequest, send: trio.MemorySendChannel[LogChunk | None]
    ) -> bool:
        """Whether there was anything."""
        found = False
        logs = self._parts.runtime.logs(instance, follow=request.follow, tail_lines=request.tail_lines)
        with suppress(RuntimeFailure, OSError, KeyError):  # nothing to read yet
            async with aclosing(cast(Any, logs)) as chunks:
                async for chunk in chunks:
                    for start in range(0, len(chunk), LOG_CHUNK_BYTES_MAX):
                        found = True
                        data = chunk[start : start + LOG_CHUNK_BYTES_MAX]
                        await send.send(LogChunk(service=instance.service, ordinal=instance.ordinal, data=data))
        return found


def _read(cls: type[T], params: Any) -> T:
    return fields.from_plain(cls, params)  # a CodecError becomes `bad-request`


def _words(error: PhotonError) -> str:
    parts = [
        error.what,
        f"expected {error.expected}" if error.expected else "",
        f"found {error.found}" if error.found else "",
    ]
    return "; ".join(part for part in parts if part)[:1000]
