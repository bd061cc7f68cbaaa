"""A lease as its tenant sees it, put together from the newest pass."""

from __future__ import annotations

from attrs import evolve

from photon_core.api.ids import InstanceId
from photon_core.exchange.records import LeaseState, LeaseStatus
from photon_core.node.views import LeaseDetail
from photon_core.peers.methods import (
    INSTANCES_MAX,
    NOTES_MAX,
    InstancePhase,
    InstanceReport,
    LeaseReport,
    ServiceReport,
)

from .driver import Agent
from .health import Health, Memory
from .reconcile import Judgement

TEXT_BYTES_MAX = 400


def lease_report(agent: Agent, detail: LeaseDetail) -> LeaseReport:
    lease = detail.lease.id
    judgement = agent.judgements.get(lease) or Judgement(status=LeaseStatus.AWAITING_MANIFEST)
    if judgement.status is LeaseStatus.AWAITING_MANIFEST and agent.section(lease) is not None:
        judgement = Judgement(status=LeaseStatus.STARTING)  # delivered since the last pass
    held = agent.held.get(lease)
    if lease in agent.sections.unapplied and judgement.status is LeaseStatus.SERVING:
        judgement = evolve(judgement, status=LeaseStatus.STARTING)  # it is the version before that serves
    fabric, notes = agent.fabric, []
    if detail.lease.state is not LeaseState.ACTIVE:
        notes.append(f"the lease is {detail.lease.state.name.lower()}: {detail.lease.close_reason.name.lower()}")
    if agent.executor and (trouble := agent.executor.trouble.get(lease)):
        notes.append(f"the provider's runtime has a problem: {trouble.what}")
    if agent.section(lease) is None and detail.lease.state is LeaseState.ACTIVE:
        notes.append("waiting for the manifest: the tenant or its keeper has to deliver it")
    if held is not None and held.hash != detail.group.spec.section_hash:
        notes.append("a newer manifest stands on chain: until it is delivered, the one before it is run")
    notes += fabric.notes(lease) if fabric else ()
    return LeaseReport(
        lease=lease,
        status=judgement.status,
        reason=_bounded(judgement.reason),
        services=_services(agent, judgement),
        endpoints=fabric.endpoints(lease) if fabric else (),
        refused=fabric.refused(lease) if fabric else (),
        notes=tuple(_bounded(note) for note in notes[:NOTES_MAX]),
        section_hash=held.hash if held is not None else None,
    )


def _services(agent: Agent, judgement: Judgement) -> tuple[ServiceReport, ...]:
    observed = {one.id: one for one in agent.observed or ()}
    services: dict[str, list[InstanceReport]] = {}
    for id_, health in judgement.instances.items():
        one, memory = observed.get(id_), agent.memory.get(id_, Memory())
        services.setdefault(id_.service, []).append(
            InstanceReport(
                ordinal=id_.ordinal,
                phase=health.phase,
                reason=_bounded(_why(agent, id_, health)),
                restarts=one.restarts if one else 0,
                exit_code=None if memory.exit_code is None else memory.exit_code & 0xFF,
                since_ms=one.since_ms if one else 0,
            )
        )
    return tuple(
        ServiceReport(name=name, instances=tuple(instances[:INSTANCES_MAX])) for name, instances in services.items()
    )


def _why(agent: Agent, id_: InstanceId, health: Health) -> str:
    section = agent.section(id_.lease)
    if health.phase is not InstancePhase.WAITING or section is None:
        return health.reason
    needed = next((service.depends_on for service in section.services if service.name == id_.service), ())
    return f"waiting for {', '.join(needed)}" if needed else health.reason


def _bounded(text: str) -> str:
    return text.encode()[:TEXT_BYTES_MAX].decode(errors="ignore")
