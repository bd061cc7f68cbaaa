"""A lease's own money: made at the match, paid lazily, billing stopped once, collateral given back or forfeited.

What a lease's end means for its group and deployment is in `lifecycle`.
"""

from __future__ import annotations

from attrs import evolve

from photon_core.api.ids import OrderId
from photon_core.exchange import settlement
from photon_core.exchange.events import DeploymentClosed, LeaseClosed, LeaseClosing, LeaseCreated, PaidOut
from photon_core.exchange.execution import Execution
from photon_core.exchange.records import (
    Bid,
    CloseReason,
    Deployment,
    DeploymentState,
    Group,
    GroupState,
    Lease,
    LeaseState,
)


def current_lease_id(group: Group) -> OrderId | None:
    """The group's active lease: that of its newest order."""
    return OrderId(group.deployment, group.index, group.orders - 1) if group.state is GroupState.LEASED else None


def earning(run: Execution, deployment: Deployment) -> list[tuple[int, int]]:
    """(price, origin_ms) of the deployment's active leases, of which each group has at most one."""
    active = (run.ledger.lease(lease) for g in run.ledger.groups(deployment) if (lease := current_lease_id(g)))
    return [(lease.price, lease.origin_ms) for lease in active]


def create(run: Execution, bid: Bid, price: int) -> None:
    """The winning bid's collateral moves, as it is, into a new lease that earns from now on."""
    deployment = run.ledger.deployment(bid.order.deployment)
    lease = Lease(
        id=bid.order,
        provider=bid.provider,
        price=price,
        collateral_uptn=bid.collateral_uptn,
        collateral_payer=bid.payer,
        status_since_ms=run.now_ms,
        origin_ms=run.now_ms,
        matched_height=run.height,
        confirmed_ms=run.now_ms,
    )
    run.ledger.put_lease(lease)
    run.ledger.put_deployment(evolve(deployment, open_leases=deployment.open_leases + 1))
    run.emit(LeaseCreated(lease=lease.id, provider=lease.provider, owner=deployment.owner, price=price))


def refresh_funds_due(run: Execution, deployment_id: int) -> None:
    """When the deposit runs out, computed again: after any change of leases, prices or the deposit."""
    deployment = run.ledger.deployment(deployment_id)
    due_ms = settlement.funds_due_ms(settlement.deposit_uptn(deployment), earning(run, deployment))
    assert due_ms is None or due_ms >= run.now_ms, f"deployment {deployment_id} ran out at {due_ms}, now {run.now_ms}"
    run.ledger.put_deployment(evolve(deployment, funds_due_ms=due_ms))


def pay_out(run: Execution, lease: Lease, total_uptn: int) -> Lease:
    """Pays the payee what of `total_uptn` the lease has not been paid yet."""
    owed = total_uptn - lease.paid_uptn
    assert owed >= 0, f"lease {lease.id} was paid {lease.paid_uptn} uptn, more than the {total_uptn} it earned"
    if owed:
        run.credit(run.ledger.provider(lease.provider).payee, owed)
        run.emit(PaidOut(lease=lease.id, provider=lease.provider, amount_uptn=owed))
    paid = evolve(lease, paid_uptn=total_uptn)
    run.ledger.put_lease(paid)
    return paid


def stop_billing(run: Execution, lease: Lease, reason: CloseReason) -> Lease:
    """The lease pays up to now, a stale one up to its last confirmation, and waits for its workload to be gone."""
    assert lease.state is LeaseState.ACTIVE
    until_ms = run.now_ms
    if reason is CloseReason.STALE:
        until_ms = settlement.confirmed_until_ms(lease, run.ledger.provider(lease.provider))
    lease = pay_out(run, lease, settlement.earned_uptn(lease.price, until_ms - lease.origin_ms))
    lease = evolve(lease, state=LeaseState.CLOSING, close_reason=reason, closed_ms=run.now_ms)
    run.ledger.put_lease(lease)
    deployment = run.ledger.deployment(lease.id.deployment)
    run.ledger.put_deployment(evolve(deployment, spent_uptn=deployment.spent_uptn + lease.paid_uptn))
    run.emit(
        LeaseClosing(
            lease=lease.id,
            provider=lease.provider,
            reason=reason,
            paid_uptn=lease.paid_uptn,
            settled_ms=until_ms,
        )
    )
    return lease


def finish(run: Execution, lease: Lease, *, forfeit: bool) -> None:
    """A closing lease is closed: its collateral goes back to its payer or, for silence, to the deployment's owner."""
    assert lease.state is LeaseState.CLOSING
    deployment = run.ledger.deployment(lease.id.deployment)
    run.credit(deployment.owner if forfeit else lease.collateral_payer, lease.collateral_uptn)
    forfeited = lease.collateral_uptn if forfeit else 0
    run.ledger.put_lease(
        evolve(
            lease,
            state=LeaseState.CLOSED,
            collateral_uptn=0,
            collateral_forfeited_uptn=forfeited,
        )
    )
    run.emit(
        LeaseClosed(
            lease=lease.id,
            provider=lease.provider,
            collateral_returned_uptn=lease.collateral_uptn - forfeited,
            collateral_forfeited_uptn=forfeited,
        )
    )
    run.ledger.put_deployment(evolve(deployment, open_leases=deployment.open_leases - 1))
    close_deployment_if_done(run, deployment.id)


def close_deployment_if_done(run: Execution, deployment_id: int) -> None:
    """A closing deployment is closed when all its leases are."""
    deployment = run.ledger.deployment(deployment_id)
    if deployment.state is DeploymentState.CLOSING and deployment.open_leases == 0:
        run.ledger.put_deployment(evolve(deployment, state=DeploymentState.CLOSED, closed_ms=run.now_ms))
        run.emit(DeploymentClosed(deployment=deployment_id))
