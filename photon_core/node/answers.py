"""Joins records of the exchange into the API's answers. Reads only; each function sees one state between blocks."""

from __future__ import annotations

from photon_core.api.ids import OrderId
from photon_core.exchange import settlement
from photon_core.exchange.records import Deployment, Group, Lease, LeaseState
from photon_core.exchange.state import Ledger

from .views import DeploymentDetail, GroupDetail, LeaseDetail, OrderDetail


def order_detail(ledger: Ledger, order_id: OrderId) -> OrderDetail | None:
    order = ledger.find_order(order_id)
    if order is None:
        return None
    return OrderDetail(
        order=order,
        group=ledger.group(order_id.group_id),
        bids=tuple(ledger.bid(order_id, provider) for provider in order.bidders),
        lease=ledger.find_lease(order_id),
    )


def lease_detail(ledger: Ledger, lease_id: OrderId) -> LeaseDetail | None:
    lease = ledger.find_lease(lease_id)
    if lease is None:
        return None
    return LeaseDetail(
        lease=lease,
        group=ledger.group(lease_id.group_id),
        deployment=ledger.deployment(lease_id.deployment),
        earned_uptn=_earned(ledger, lease),
        confirmed_ms=_confirmed(ledger, lease),
    )


def deployment_detail(ledger: Ledger, deployment_id: int) -> DeploymentDetail | None:
    deployment = ledger.find_deployment(deployment_id)
    if deployment is None:
        return None
    groups = tuple(_group_detail(ledger, group) for group in ledger.groups(deployment))
    open_leases = [
        g.order.lease
        for g in groups
        if g.order is not None and g.order.lease is not None and g.order.lease.state is LeaseState.ACTIVE
    ]
    return DeploymentDetail(
        deployment=deployment,
        groups=groups,
        earned_uptn=deployment.spent_uptn + sum(_earned(ledger, lease) for lease in open_leases),
        held_uptn=_held(deployment, open_leases),
    )


def _group_detail(ledger: Ledger, group: Group) -> GroupDetail:
    if not group.orders:
        return GroupDetail(group=group, order=None)
    newest = OrderId(group.deployment, group.index, group.orders - 1)
    return GroupDetail(group=group, order=order_detail(ledger, newest))


def _held(deployment: Deployment, open_leases: list[Lease]) -> int:
    """Escrow by its definition in `exchange.records.Deployment`."""
    return settlement.deposit_uptn(deployment) - sum(lease.paid_uptn for lease in open_leases)


def _earned(ledger: Ledger, lease: Lease) -> int:
    return settlement.earned_now_uptn(lease, ledger.provider(lease.provider))


def _confirmed(ledger: Ledger, lease: Lease) -> int:
    if lease.state is not LeaseState.ACTIVE:
        return lease.confirmed_ms
    return settlement.confirmed_until_ms(lease, ledger.provider(lease.provider))
