"""What happens when a timer fires, as of its own due time.

The block's start fires what is due, in (due, id) order, at most `events_per_block`. A transaction that touches a
deployment first fires what is overdue of that deployment, so that a backlog makes nobody both late and in time.
"""

from __future__ import annotations

from typing import assert_never

from photon_core.api.ids import GroupId, OrderId
from photon_core.exchange import keys, leases, lifecycle, market, settlement
from photon_core.exchange.execution import Execution
from photon_core.exchange.records import CloseReason, LeaseStatus
from photon_core.exchange.schedule import Timer, TimerKind


def fire(run: Execution, timer: Timer) -> None:
    """One event. Sets `run.now_ms` to its due time; the caller sets it back."""
    run.now_ms = timer.due_ms
    ledger = run.ledger
    match timer.kind:
        case TimerKind.DEADLINE:
            market.deadline(run, ledger.order(keys.order_id_of(timer.suffix)))
        case TimerKind.REOPEN:
            group = GroupId(int.from_bytes(timer.suffix[:8], "big"), int.from_bytes(timer.suffix[8:], "big"))
            market.open_order(run, ledger.group(group))
        case TimerKind.FUNDS:
            lifecycle.close_deployment(run, int.from_bytes(timer.suffix, "big"), CloseReason.FUNDS)
        case TimerKind.COLLATERAL:
            leases.finish(run, ledger.lease(keys.order_id_of(timer.suffix)), forfeit=True)
        case TimerKind.STATUS:
            _status_timeout(run, keys.order_id_of(timer.suffix))
        case TimerKind.STALE_LEASE:
            lifecycle.end_lease(run, ledger.lease(keys.order_id_of(timer.suffix)), CloseReason.STALE)
        case TimerKind.STALE_PROVIDER:
            lease = run.schedule.first_covered(timer.suffix)
            lifecycle.end_lease(run, ledger.lease(lease), CloseReason.STALE)
        case _:
            assert_never(timer.kind)


def fire_due(run: Execution, now_ms: int) -> None:
    """Everything that is due by `now_ms`, or as much of it as one block may do."""
    for _ in range(run.parameters.events_per_block):
        timer = run.schedule.next_due()
        if timer is None or timer.due_ms > now_ms:
            break
        fire(run, timer)
    run.now_ms = now_ms


def fire_overdue(run: Execution, deployment: int, now_ms: int) -> None:
    """What is overdue of one deployment. Bounded by its groups and closing leases; each event ends what it is for."""
    while (timer := _overdue(run, deployment)) is not None and timer.due_ms <= now_ms:
        if timer.kind is TimerKind.STALE_PROVIDER:  # of the provider's covered leases, this deployment's only
            run.now_ms = timer.due_ms
            lifecycle.end_lease(run, run.ledger.lease(keys.order_id_of(timer.suffix)), CloseReason.STALE)
        else:
            fire(run, timer)
    run.now_ms = now_ms


def _overdue(run: Execution, deployment_id: int) -> Timer | None:
    """The deployment's first timer; a covered lease's staleness counts, with the lease's suffix for its provider's."""
    found = run.schedule.next_due_of_deployment(deployment_id)
    deployment = run.ledger.find_deployment(deployment_id)
    candidates = [] if found is None else [found]
    for group in () if deployment is None else run.ledger.groups(deployment):
        if lease_id := leases.current_lease_id(group):
            lease = run.ledger.lease(lease_id)
            provider = run.ledger.provider(lease.provider)
            if settlement.is_covered(lease, provider):
                due_ms = provider.confirmed_ms + run.parameters.reconfirmation_period_ms
                candidates.append(Timer(due_ms, TimerKind.STALE_PROVIDER, keys.order_suffix(lease_id)))
    return min(candidates, default=None)


def _status_timeout(run: Execution, lease_id: OrderId) -> None:
    """A workload that did not get where it had to be in time. Nothing is forfeited: fault cannot be proved."""
    lease = run.ledger.lease(lease_id)
    no_manifest = lease.status is LeaseStatus.AWAITING_MANIFEST
    lifecycle.end_lease(run, lease, CloseReason.NO_MANIFEST if no_manifest else CloseReason.FAULT)
