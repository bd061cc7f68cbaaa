"""The planner: what the chain, the manifests and the runtime say goes in, what is to be done comes out. Pure.

Theory of operation
-------------------
The agent is level-triggered: at start, on every event and every few seconds it looks at everything anew and plans from
what it sees, never from what it remembers having done. So a crash, a lost event, a killed workload or a restarted agent
needs no code of its own; planning again after all actions were carried out plans nothing.

What is to be, per lease:

    on chain    section   what ought to be here                      what the chain is told
    ---------   -------   ----------------------------------------   --------------------------------------------
    active      no        nothing                                    AWAITING_MANIFEST
    active      yes       a sandbox per instance, wired; then the    STARTING, SERVING or WORKLOAD_FAULT, as
                          instances, each when what it depends on    `health` judges the worst of them
                          is ready
    closing     -         nothing                                    ConfirmClosed, when nothing is left
    no such     -         nothing: orphans are removed               -

The section is the one that was delivered last. While an update that stands on chain is not delivered the old one is
run, and the lease is as it is. Once the new one is here: first the network, in place, while all runs as before
(`Rewire`); then what has another `spec_digest` is made anew, each when what it depends on is ready, and nothing else.

Three rules keep it from doing harm:

- **Never act on an old view.** Unless the view of the chain is `fresh` (see `chain`) orphans stay, manifests are kept
  and nothing is sent: a node that is behind does not know the leases of today. What runs is kept running all the same.
- **Never say what was not seen.** Without an observation of the runtime nothing is confirmed; silence is the truth
  then, and the agent has two more intervals before a lease goes stale.
- **One thing at a time per lease.** A lease in `busy` has an action of the runtime under way (an image pull may take
  minutes); it is judged and confirmed, and left alone otherwise. Other leases go on.

Restarts: `apply` starts exited instances again, so it is asked for only once the back-off of `health` is over.
`Trouble` is the runtime failing, not the workload: retried with back-off too, and when it lasts the provider closes the
lease itself, so that the tenant can go elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from attrs import evolve, field, frozen

from photon_core.api.ids import Hash, InstanceId, LeaseId
from photon_core.api.runtime import Desired, InstanceState, Observed
from photon_core.exchange.messages import REASON_BYTES_MAX, ProviderCloseReason, StatusChange
from photon_core.exchange.records import LeaseState, LeaseStatus
from photon_core.manifest.records import Section
from photon_core.node.views import LeaseDetail
from photon_core.peers.methods import InstancePhase

from . import health, workload
from .health import Health, Memory
from .network.grants import LeaseNetwork, network_of

REPLACED = "another version is to take its place"

# --- what goes in -----------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Policy:
    """`trouble_patience_ms`: how long the runtime may fail on one lease before the provider gives it up."""

    capabilities: frozenset[str]
    ready_timeout_ms: int
    confirm_interval_ms: int
    trouble_patience_ms: int = 120_000


@frozen(kw_only=True)
class Trouble:
    """The runtime failed on a lease, and has since `since_ms`; the next try is due at `retry_ms`."""

    what: str
    since_ms: int
    retry_ms: int


@frozen(kw_only=True)
class Situation:
    """Everything that is known in one pass.

    `leases` are those on chain that are not closed. `observed` None: the runtime did not answer. `closed_ports`: what a
    probe of each running instance found. `removed`: leases whose remnants the runtime said are gone.
    """

    leases: tuple[LeaseDetail, ...]
    sections: Mapping[LeaseId, Section]
    observed: tuple[Observed, ...] | None
    closed_ports: Mapping[InstanceId, tuple[int, ...]] = field(factory=dict)
    wired: Mapping[LeaseId, LeaseNetwork] = field(factory=dict)
    contested: Mapping[LeaseId, Mapping[str, str]] = field(factory=dict)
    """Services that may find a port of theirs in use, and why: see `LeaseNetwork.contested`."""
    busy: AbstractSet[LeaseId] = frozenset()
    trouble: Mapping[LeaseId, Trouble] = field(factory=dict)
    removed: AbstractSet[LeaseId] = frozenset()
    memory: Mapping[InstanceId, Memory] = field(factory=dict)
    fresh: bool = True
    height: int
    now_ms: int
    confirm_due_ms: int = 0
    """When the next confirmation is due though nothing changed."""
    confirm_not_before_ms: int = 0
    """A confirmation failed, or is under way: none before this."""


# --- what comes out ---------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Apply:
    """First what runs, then what connects it. Instances that are new in `desired` have their sandbox wired already."""

    desired: Desired
    network: LeaseNetwork

    @property
    def lease(self) -> LeaseId:
        return self.desired.lease


@frozen(kw_only=True)
class Rewire:
    """Only what connects it: what runs is left as it is, though some of it is to be made anew after this."""

    network: LeaseNetwork

    @property
    def lease(self) -> LeaseId:
        return self.network.lease


@frozen(kw_only=True)
class Remove:
    """Everything of the lease: its network first, then what runs."""

    lease: LeaseId


@frozen(kw_only=True)
class ForgetSection:
    lease: LeaseId


@frozen(kw_only=True)
class Confirm:
    height: int
    changes: tuple[StatusChange, ...]
    omitted: tuple[LeaseId, ...] = ()


@frozen(kw_only=True)
class ConfirmClosed:
    leases: tuple[LeaseId, ...]


@frozen(kw_only=True)
class CloseLease:
    """`height`: of the view that it was planned from."""

    lease: LeaseId
    reason: ProviderCloseReason
    why: str
    height: int


Action = Apply | Rewire | Remove | ForgetSection | Confirm | ConfirmClosed | CloseLease


@frozen(kw_only=True)
class Judgement:
    """How a lease is: what the chain is told and the tenant sees."""

    status: LeaseStatus
    reason: str = ""
    instances: Mapping[InstanceId, Health] = field(factory=dict)


@frozen(kw_only=True)
class Plan:
    actions: tuple[Action, ...]
    judgements: Mapping[LeaseId, Judgement]
    memory: Mapping[InstanceId, Memory]


def plan(situation: Situation, policy: Policy) -> Plan:
    """Actions in the order in which to begin them. Those of one lease are at most one runtime action."""
    seen = _by_lease(situation.observed or ())
    memory = _remember(situation)
    judgements: dict[LeaseId, Judgement] = {}
    actions: list[Action] = []
    active = sorted((d for d in situation.leases if d.lease.state is LeaseState.ACTIVE), key=lambda d: d.lease.id)
    for detail in active:
        lease = detail.lease.id
        judgements[lease] = _judge(situation, lease, seen.get(lease, {}), memory, policy)
        actions += _plan_active(situation, detail, seen.get(lease, {}), memory, judgements[lease], policy)
    actions += _plan_endings(situation, seen)
    giving_up = {action.lease for action in actions if isinstance(action, CloseLease)}
    actions += _plan_confirmation(situation, [d for d in active if d.lease.id not in giving_up], judgements)
    return Plan(actions=tuple(actions), judgements=judgements, memory=memory)


# --- how it is --------------------------------------------------------------------------------------------------------


def _by_lease(observed: tuple[Observed, ...]) -> dict[LeaseId, dict[InstanceId, Observed]]:
    seen: dict[LeaseId, dict[InstanceId, Observed]] = {}
    for one in sorted(observed, key=lambda o: o.id):
        seen.setdefault(one.id.lease, {})[one.id] = one
    return seen


def _remember(situation: Situation) -> dict[InstanceId, Memory]:
    """Memory of what is there now, brought up to date; of what has gone, or is to be another, there is none."""
    if situation.observed is None:
        return dict(situation.memory)
    wanted = {
        id_: spec
        for lease, section in situation.sections.items()
        for id_, spec in workload.instance_specs(lease, section, b"").items()
    }
    return {
        one.id: health.remember(
            situation.memory.get(one.id, Memory()), one, situation.closed_ports.get(one.id), situation.now_ms
        )
        for one in situation.observed
        if not workload.is_outdated(one, wanted.get(one.id))
    }


def _judge(
    situation: Situation,
    lease: LeaseId,
    seen: Mapping[InstanceId, Observed],
    memory: Mapping[InstanceId, Memory],
    policy: Policy,
) -> Judgement:
    section = situation.sections.get(lease)
    if section is None:
        return Judgement(status=LeaseStatus.AWAITING_MANIFEST)
    if reason := workload.unfit(section, policy.capabilities):
        return Judgement(status=LeaseStatus.WORKLOAD_FAULT, reason=_bounded(reason))
    contested = situation.contested.get(lease, {})
    instances = {
        id_: _named(
            health.judge(
                seen.get(id_),
                memory.get(id_, Memory()),
                situation.closed_ports.get(id_),
                situation.now_ms,
                policy.ready_timeout_ms,
            ),
            contested.get(id_.service, ""),
        )
        if not workload.is_outdated(seen.get(id_), spec)
        else Health(phase=InstancePhase.WAITING, reason=REPLACED)
        for id_, spec in workload.instance_specs(lease, section, b"").items()
    }
    faults = [f"{id_.service}/{id_.ordinal} {one.fault}" for id_, one in instances.items() if one.fault]
    if faults:
        return Judgement(status=LeaseStatus.WORKLOAD_FAULT, reason=_bounded(faults[0]), instances=instances)
    if all(one.phase is InstancePhase.READY for one in instances.values()):
        return Judgement(status=LeaseStatus.SERVING, instances=instances)
    trouble = situation.trouble.get(lease)
    return Judgement(status=LeaseStatus.STARTING, reason=_bounded(trouble.what) if trouble else "", instances=instances)


def _named(judged: Health, contest: str) -> Health:
    """A fault that a contested port explains is told by that name: "exited with code 1" says nothing of it."""
    if not judged.fault or not contest:
        return judged
    why = f"port-conflict: {judged.fault}; {contest}"
    return evolve(judged, reason=why, fault=why)


def _bounded(text: str) -> str:
    return text.encode()[:REASON_BYTES_MAX].decode(errors="ignore")


# --- what an active lease needs ---------------------------------------------------------------------------------------


def _plan_active(
    situation: Situation,
    detail: LeaseDetail,
    seen: Mapping[InstanceId, Observed],
    memory: Mapping[InstanceId, Memory],
    judgement: Judgement,
    policy: Policy,
) -> list[Action]:
    lease = detail.lease.id
    section = situation.sections.get(lease)
    if section is None or situation.observed is None or lease in situation.busy:
        return []
    if reason := workload.unfit(section, policy.capabilities):
        return _close(situation, lease, ProviderCloseReason.FAULT, _bounded(reason))
    trouble = situation.trouble.get(lease)
    if trouble is not None and situation.now_ms - trouble.since_ms >= policy.trouble_patience_ms:
        return _close(situation, lease, ProviderCloseReason.PROVIDER, trouble.what)
    if trouble is not None and situation.now_ms < trouble.retry_ms:
        return []
    action = _apply(situation, lease, section, detail.deployment.version, seen, memory, judgement)
    return [action] if action else []


def _close(situation: Situation, lease: LeaseId, reason: ProviderCloseReason, why: str) -> list[Action]:
    if not situation.fresh:
        return []
    return [CloseLease(lease=lease, reason=reason, why=why, height=situation.height)]


def _apply(
    situation: Situation,
    lease: LeaseId,
    section: Section,
    version: Hash,
    seen: Mapping[InstanceId, Observed],
    memory: Mapping[InstanceId, Memory],
    judgement: Judgement,
) -> Apply | Rewire | None:
    specs = workload.instance_specs(lease, section, version)
    network = network_of(lease, section)
    wired = situation.wired.get(lease) == network
    outdated = {id_ for id_ in specs if workload.is_outdated(seen.get(id_), specs[id_])}
    sandboxed = set(specs) == set(seen)
    if outdated and sandboxed and not wired and lease not in situation.trouble:
        return Rewire(network=network)
    made = {id_ for id_ in seen if id_ in specs and seen[id_].state is not InstanceState.SANDBOX} - outdated
    startable = {id_ for id_ in specs if id_ not in made and wired and _dependencies_ready(id_, section, judgement)}
    too_long = any(seen[id_].state in (InstanceState.RUNNING, InstanceState.PREPARING) for id_ in outdated - startable)
    ended = any(
        seen[id_].state in (InstanceState.EXITED, InstanceState.FAILED)
        and situation.now_ms >= memory[id_].hold_until_ms
        for id_ in made
    )
    if wired and sandboxed and not (startable or too_long or ended):
        return None
    return Apply(desired=workload.desired(lease, specs, made | startable), network=network)


def _dependencies_ready(instance: InstanceId, section: Section, judgement: Judgement) -> bool:
    needed = next(service.depends_on for service in section.services if service.name == instance.service)
    return all(one.phase is InstancePhase.READY for id_, one in judgement.instances.items() if id_.service in needed)


# --- what has ended ---------------------------------------------------------------------------------------------------


def _plan_endings(situation: Situation, seen: Mapping[LeaseId, Mapping[InstanceId, Observed]]) -> list[Action]:
    actions: list[Action] = []
    known = {detail.lease.id: detail.lease.state for detail in situation.leases}
    gone: list[LeaseId] = []
    for lease in sorted(lease for lease, state in known.items() if state is LeaseState.CLOSING):
        if lease in situation.removed and lease not in seen and lease not in situation.wired:
            gone.append(lease)
        elif _may_remove(situation, lease):
            actions.append(Remove(lease=lease))
    if situation.fresh:
        orphans = sorted((set(seen) | set(situation.wired)) - set(known))
        actions += [Remove(lease=lease) for lease in orphans if _may_remove(situation, lease)]
        over = sorted(lease for lease in situation.sections if known.get(lease) is not LeaseState.ACTIVE)
        actions += [ForgetSection(lease=lease) for lease in over]
    if gone and situation.fresh and situation.observed is not None:
        actions.append(ConfirmClosed(leases=tuple(gone)))
    return actions


def _may_remove(situation: Situation, lease: LeaseId) -> bool:
    trouble = situation.trouble.get(lease)
    waiting = trouble is not None and situation.now_ms < trouble.retry_ms
    return situation.observed is not None and lease not in situation.busy and not waiting


# --- what the chain is told -------------------------------------------------------------------------------------------


def _plan_confirmation(
    situation: Situation, active: list[LeaseDetail], judgements: Mapping[LeaseId, Judgement]
) -> list[Action]:
    """At each interval, and at once when a status changed. Only leases matched by `height` can be spoken of."""
    covered = [detail.lease for detail in active if detail.lease.matched_height <= situation.height]
    seen_all = situation.fresh and situation.observed is not None
    if not covered or not seen_all or situation.now_ms < situation.confirm_not_before_ms:
        return []
    changes = tuple(
        StatusChange(lease=lease.id, status=judgements[lease.id].status, reason=judgements[lease.id].reason)
        for lease in covered
        if judgements[lease.id].status is not lease.status
    )
    if not changes and situation.now_ms < situation.confirm_due_ms:
        return []
    return [Confirm(height=situation.height, changes=changes)]
