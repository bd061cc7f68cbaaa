"""Every lease of an agent as one look saw it: what `happenings` compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photon_core.api.ids import LeaseId
from photon_core.exchange.records import LeaseState
from photon_core.node.views import LeaseDetail
from photon_core.peers.methods import INSTANCES_MAX, REFUSED_MAX

from .happenings import GRANTS_SEEN_MAX, INSTANCES_SEEN_MAX, InstanceSight, RefusedSight, Sight
from .health import Memory
from .network.grants import LeaseNetwork
from .problems import Source
from .reconcile import Judgement

if TYPE_CHECKING:
    from .driver import Agent

TEXT_CHARS_MAX = 100


def sights(agent: Agent) -> dict[LeaseId, Sight]:
    """Of those that are active; one that is not here any more is over."""
    leases = agent.view.leases if agent.view else ()
    active = [detail for detail in leases if detail.lease.state is LeaseState.ACTIVE]
    return {detail.lease.id: _sight(agent, detail) for detail in active}


def _sight(agent: Agent, detail: LeaseDetail) -> Sight:
    lease = detail.lease.id
    judgement = agent.judgements.get(lease)
    trouble = agent.executor.trouble.get(lease) if agent.executor else None
    wired = agent.fabric.wired.get(lease) if agent.fabric else None
    refused = agent.fabric.refused(lease) if agent.fabric else ()
    return Sight(
        instances=None if agent.observed is None else _instances(agent, judgement),
        manifest=held.hash if (held := agent.held.get(lease)) is not None else b"",
        grants=_grants(wired) if wired else None,
        trouble=_bounded(trouble.what if trouble else agent.problems.of(Source.RUNTIME)),
        refused=tuple(
            RefusedSight(service=one.service, target=f"{one.name or one.address}:{one.port}", count=one.count)
            for one in refused[:REFUSED_MAX]
        ),
    )


def _instances(agent: Agent, judgement: Judgement | None) -> tuple[InstanceSight, ...]:
    observed = {one.id: one for one in agent.observed or ()}
    found = []
    for id_, health in judgement.instances.items() if judgement else ():
        one, memory = observed.get(id_), agent.memory.get(id_, Memory())
        found.append(
            InstanceSight(
                service=id_.service,
                ordinal=min(id_.ordinal, INSTANCES_MAX),
                phase=health.phase,
                restarts=one.restarts if one else 0,
                exit_code=None if memory.exit_code is None else memory.exit_code & 0xFF,
                reason=_bounded(one.reason if one and one.reason else health.reason),
                held_until_ms=max(memory.hold_until_ms, 0),
            )
        )
    return tuple(found[:INSTANCES_SEEN_MAX])


def _grants(network: LeaseNetwork) -> tuple[str, ...]:
    words = dict.fromkeys(f"{grant.client.service} may reach {grant.name}:{grant.port}" for grant in network.grants)
    words |= dict.fromkeys(f"everyone may reach {rule.service}:{rule.as_port}" for rule in network.ingress)
    return tuple(words)[:GRANTS_SEEN_MAX]


def _bounded(text: str) -> str:
    return text[:TEXT_CHARS_MAX]
