"""What the end of a lease means for its group, and of its groups for a deployment.

Theory of operation
-------------------
A group is OPEN (ordered now, or again at `reopen_ms`), LEASED, PAUSED or CLOSED, and has at most one live order or
active lease. When its lease ends and the deployment persists, it is ordered again: at once, except that after a fault
or a manifest that never came the provider is left out, the delay doubles, and after `pause_after_failures` such ends in
a row the group waits, PAUSED, for its tenant. So nothing loops, whoever is at fault. "At once" is a timer due now: but
for a deployment's first, orders are opened by due events, under the bound of events per block.

An order that nobody won is opened again for as long as the deposit pays: each time costs the least fee, as a message of
the tenant's would. Otherwise one uptn would buy events for ever, and a million such deployments the whole chain.

A deployment closes when its owner says so, when its deposit is spent, or when all its groups are closed, which happens
only without `persist`. Billing stops and what is unspent goes back in the same instant; leases then wait, closing, for
their workloads to be gone, each for one reconfirmation period at most.
"""

from __future__ import annotations

from attrs import evolve

from photon_core.api.ids import GroupId, OrderId
from photon_core.exchange import bids, escrow, leases
from photon_core.exchange.events import DeploymentClosing, GroupClosed, GroupPaused
from photon_core.exchange.execution import Execution
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import (
    EXCLUDED_MAX,
    CloseReason,
    Deployment,
    DeploymentState,
    Excluded,
    Group,
    GroupState,
    Lease,
    OrderState,
)
from photon_core.exchange.refusals import bounded_text

_DOUBLINGS_MAX = 62
"""Enough to pass any `reopen_backoff_max_ms`; counters of a group that nobody serves grow for ever."""
_PAUSE_REASON_BYTES_MAX = 200
_FAILURES = (CloseReason.FAULT, CloseReason.NO_MANIFEST)


def backoff_ms(failures: int, parameters: Parameters) -> int:
    """How long a group waits after this many failures in a row."""
    assert failures >= 1
    doubled = parameters.reopen_backoff_ms << min(failures - 1, _DOUBLINGS_MAX)
    return min(doubled, parameters.reopen_backoff_max_ms)


def end_lease(run: Execution, lease: Lease, reason: CloseReason) -> None:
    """An active lease ends, for any reason but its deployment's closing."""
    lease = leases.stop_billing(run, lease, reason)
    deployment = run.ledger.deployment(lease.id.deployment)
    group = run.ledger.group(lease.id.group_id)
    if deployment.persist:
        _order_again(run, group, lease)
    else:
        _close_group(run, group)
    leases.refresh_funds_due(run, deployment.id)
    if not deployment.persist and _all_closed(run, deployment):
        close_deployment(run, deployment.id, reason)
    if reason is CloseReason.STALE:
        leases.finish(run, run.ledger.lease(lease.id), forfeit=True)


def close_deployment(run: Execution, deployment_id: int, reason: CloseReason) -> None:
    """Billing stops, orders end, what is unspent goes back to its depositors."""
    deployment = run.ledger.deployment(deployment_id)
    assert deployment.state is DeploymentState.ACTIVE
    groups = run.ledger.groups(deployment)
    for group in groups:  # leases first: what they are owed comes before what closing an order costs
        if lease_id := leases.current_lease_id(group):
            leases.stop_billing(run, run.ledger.lease(lease_id), reason)
    for group in groups:
        if group.state is GroupState.OPEN and group.reopen_ms is None:
            order = run.ledger.order(OrderId(group.deployment, group.index, group.orders - 1))
            bids.end_order(run, order, OrderState.CLOSED, "the deployment was closed", compensate=True)
        if group.state is not GroupState.CLOSED:
            _close_group(run, group)
    deployment = run.ledger.deployment(deployment_id)
    shares = escrow.unspent_shares(deployment)
    for account, amount in shares:
        run.credit(account, amount)
    refunded = sum(amount for _, amount in shares)
    run.ledger.put_deployment(
        evolve(
            deployment,
            state=DeploymentState.CLOSING,
            funds_due_ms=None,
            refunded_uptn=deployment.refunded_uptn + refunded,
        )
    )
    run.emit(DeploymentClosing(deployment=deployment_id, refunded_uptn=refunded))
    leases.close_deployment_if_done(run, deployment_id)


def _close_group(run: Execution, group: Group) -> None:
    run.ledger.put_group(evolve(group, state=GroupState.CLOSED, reopen_ms=None, pause_reason=""))
    run.emit(GroupClosed(group=GroupId(group.deployment, group.index)))


def _all_closed(run: Execution, deployment: Deployment) -> bool:
    return all(group.state is GroupState.CLOSED for group in run.ledger.groups(deployment))


def _order_again(run: Execution, group: Group, lease: Lease) -> None:
    if lease.close_reason not in _FAILURES:
        run.ledger.put_group(evolve(group, state=GroupState.OPEN, failures=0, reopen_ms=run.now_ms))
        return
    # A lease that lasted longer than the longest back-off does not belong to the row of quick failures before it.
    lasted_ms = run.now_ms - lease.origin_ms
    failures = 1 if lasted_ms > run.parameters.reopen_backoff_max_ms else group.failures + 1
    others = tuple(e for e in group.excluded if e.provider != lease.provider)
    left_out = Excluded(provider=lease.provider, reason=lease.close_reason)
    group = evolve(group, failures=failures, excluded=(*others, left_out)[-EXCLUDED_MAX:])
    if failures < run.parameters.pause_after_failures:
        delay_ms = backoff_ms(failures, run.parameters)
        run.ledger.put_group(evolve(group, state=GroupState.OPEN, reopen_ms=run.now_ms + delay_ms))
        return
    what = "the workload failed" if lease.close_reason is CloseReason.FAULT else "no manifest came"
    reason = f"{what} in {failures} leases in a row"
    if lease.status_reason:
        reason = f"{reason}; the last: {lease.status_reason}"
    reason = bounded_text(reason, _PAUSE_REASON_BYTES_MAX)
    run.ledger.put_group(evolve(group, state=GroupState.PAUSED, pause_reason=reason))
    run.emit(GroupPaused(group=GroupId(group.deployment, group.index), reason=reason))
