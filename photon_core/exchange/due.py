"""What happens when a timer fires, as of its own due time.

The block's start fires what is due, in (due, id) order, at most `events_per_block`. If that is not all, market time
waits: it never passes an event that is still to fire. Otherwise whoever makes a backlog could make others late: a match
that fires a period after it was due would make a lease that is stale, and its collateral lost, before anybody saw it.

So what a block leaves behind is due at the block's own market time. A transaction that touches a deployment first fires
what is left of that deployment: a backlog makes nobody both late and in time.
"""

from __future__ import annotations

from typing import assert_never

from photon_core.api.ids import GroupId, OrderId
from photon_core.exchange import keys, leases, lifecycle, market, settlement
from photon_core.exchange.execution import Execution
from photon_core.exchange.records import CloseReason, LeaseStatus
from photon_core.exchange.refusals import Code, Refused
from photon_core.exchange.schedule import Timer, TimerKind

EVENTS_MAX = 50_000
"""What a block's start, or one transaction, may emit before it stops: records of events, where a single timer has up to
some 850 (a deployment that closes 16 orders with 50 bids each). Some 4 MiB of receipts."""


def fire(run: Execution, timer: Timer) -> None:
    """One event. Sets `run.now_ms` to its due time; the caller sets it back."""
    run.now_ms = timer.due_ms
    ledger = run.ledger
    match timer.kind:
        case TimerKind.DEADLINE:
            market.deadline(run, ledger.order(keys.order_id_of(timer.suffix)))
        case TimerKind.REOPEN:
            group = GroupId(int.from_bytes(timer.suffix[:8], "big"), int.from_bytes(timer.suffix[8:], "big"))
            market.order_again(run, ledger.group(group))
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


def fire_due(run: Execution, now_ms: int) -> int:
    """Everything that is due by `now_ms`, or as much of it as one block may do. Returns how far market time got."""
    for _ in range(run.parameters.events_per_block):
        timer = run.schedule.next_due()
        if timer is None or timer.due_ms > now_ms or len(run.events) >= EVENTS_MAX:
            break
        fire(run, timer)
    left = run.schedule.next_due()
    run.now_ms = now_ms if left is None else min(now_ms, left.due_ms)
    return run.now_ms


def fire_overdue(run: Execution, deployment: int, now_ms: int) -> None:
    """What the block's start has left of one deployment's events. All transactions of a block together may fire as many
    as its start: one that needs more is refused, and may come again.
    """
    while (timer := _overdue(run, deployment)) is not None and timer.due_ms <= now_ms:
        if not run.overdue_left:
            run.now_ms = now_ms
            raise Refused(
                Code.BACKLOG,
                f"deployment {deployment} has events that are due and wait for the next block; send it again",
            )
        run.overdue_left -= 1
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
