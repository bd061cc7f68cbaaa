"""What must be true after every block, whatever was sent. Reads the whole state: for tests and on demand."""

from __future__ import annotations

from collections.abc import Iterable

from photon_core.api.ids import GroupId
from photon_core.api.market import BidStatus
from photon_core.exchange import keys, settlement
from photon_core.exchange.records import (
    Account,
    Bid,
    Deployment,
    DeploymentState,
    Group,
    GroupState,
    Lease,
    LeaseState,
    Order,
    OrderState,
    Provider,
)
from photon_core.exchange.state import Ledger


def check(ledger: Ledger) -> tuple[str, ...]:
    """What is wrong, each as a sentence; empty when all is well."""
    accounts: list[Account] = [record for _, record in ledger.scan(keys.ACCOUNT)]
    providers: list[Provider] = [record for _, record in ledger.scan(keys.PROVIDER)]
    deployments: list[Deployment] = [record for _, record in ledger.scan(keys.DEPLOYMENT)]
    groups: list[Group] = [record for _, record in ledger.scan(keys.GROUP)]
    orders: list[Order] = [record for _, record in ledger.scan(keys.ORDER)]
    bids: list[Bid] = [record for _, record in ledger.scan(keys.BID)]
    leases: list[Lease] = [record for _, record in ledger.scan(keys.LEASE)]

    held = {deployment.id: settlement.deposit_uptn(deployment) for deployment in deployments}
    for lease in leases:
        if lease.state is LeaseState.ACTIVE:
            held[lease.id.deployment] -= lease.paid_uptn
    total = (
        sum(a.balance_uptn for a in accounts)
        + sum(p.bond_uptn for p in providers)
        + sum(held.values())
        + sum(b.collateral_uptn for b in bids)
        + sum(x.collateral_uptn for x in leases)
    )
    problems = []
    if total != ledger.status.supply_uptn:
        problems.append(f"the supply is {ledger.status.supply_uptn} uptn, accounted for are {total}")
    problems += [f"deployment {name} holds {amount} uptn" for name, amount in held.items() if amount < 0]
    problems += [f"a balance of {a.balance_uptn} uptn" for a in accounts if a.balance_uptn < 0]
    problems += _collateral_problems(bids, leases)
    problems += _group_problems(deployments, groups, orders, leases)
    problems += _deployment_problems(ledger.status.market_ms, deployments, leases, providers, held)
    return tuple(problems)


def _collateral_problems(bids: Iterable[Bid], leases: Iterable[Lease]) -> list[str]:
    found = [
        f"bid {b.order} of {b.provider.hex()} is {b.status.name} and locks {b.collateral_uptn} uptn"
        for b in bids
        if b.collateral_uptn and b.status is not BidStatus.OPEN
    ]
    return found + [
        f"lease {x.id} is closed and locks {x.collateral_uptn} uptn"
        for x in leases
        if x.collateral_uptn and x.state is LeaseState.CLOSED
    ]


def _group_problems(
    deployments: Iterable[Deployment], groups: Iterable[Group], orders: Iterable[Order], leases: Iterable[Lease]
) -> list[str]:
    """One live order or active lease per group, exactly when its state says so."""
    open_orders: dict[GroupId, int] = {}
    for order in orders:
        if order.state is OrderState.OPEN:
            open_orders[order.id.group_id] = open_orders.get(order.id.group_id, 0) + 1
    active: dict[GroupId, int] = {}
    for lease in leases:
        if lease.state is LeaseState.ACTIVE:
            active[lease.id.group_id] = active.get(lease.id.group_id, 0) + 1
    alive = {d.id for d in deployments if d.state is DeploymentState.ACTIVE}
    problems = []
    for group in groups:
        group_id = GroupId(group.deployment, group.index)
        ordered = group.state is GroupState.OPEN and group.reopen_ms is None
        found = (open_orders.get(group_id, 0), active.get(group_id, 0))
        expected = (1 if ordered else 0, 1 if group.state is GroupState.LEASED else 0)
        if found != expected:
            problems.append(f"group {group_id} is {group.state.name} with {found[0]} open orders, {found[1]} leases")
        if group.state is not GroupState.CLOSED and group.deployment not in alive:
            problems.append(f"group {group_id} is {group.state.name}, its deployment has ended")
    return problems


def _deployment_problems(
    now_ms: int,
    deployments: Iterable[Deployment],
    leases: Iterable[Lease],
    providers: Iterable[Provider],
    held: dict[int, int],
) -> list[str]:
    """Open leases are counted right, an ended deployment holds nothing, an active one can pay what is owed."""
    by_id = {provider.id: provider for provider in providers}
    open_leases: dict[int, int] = {}
    owed: dict[int, int] = {}
    for lease in leases:
        name = lease.id.deployment
        if lease.state is not LeaseState.CLOSED:
            open_leases[name] = open_leases.get(name, 0) + 1
        if lease.state is LeaseState.ACTIVE:
            owed[name] = owed.get(name, 0) + settlement.earned_now_uptn(lease, by_id[lease.provider]) - lease.paid_uptn
    problems = []
    for deployment in deployments:
        if deployment.open_leases != open_leases.get(deployment.id, 0):
            problems.append(
                f"deployment {deployment.id} counts {deployment.open_leases} open leases, "
                f"there are {open_leases.get(deployment.id, 0)}"
            )
        if deployment.state is not DeploymentState.ACTIVE and held[deployment.id]:
            problems.append(f"deployment {deployment.id} has ended and holds {held[deployment.id]} uptn")
        if deployment.state is DeploymentState.CLOSED and deployment.open_leases:
            problems.append(f"deployment {deployment.id} is closed with {deployment.open_leases} leases open")
        if owed.get(deployment.id, 0) > held[deployment.id]:
            problems.append(f"deployment {deployment.id} owes {owed[deployment.id]} of {held[deployment.id]} uptn")
        if deployment.created_ms > now_ms:
            problems.append(f"deployment {deployment.id} was made at {deployment.created_ms}, now is {now_ms}")
    return problems
