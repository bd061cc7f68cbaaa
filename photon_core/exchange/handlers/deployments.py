"""What a tenant asks for, pays into, and ends."""

from __future__ import annotations

from attrs import evolve

from photon_core.api import resources
from photon_core.api.ids import Address, GroupId
from photon_core.exchange import escrow, leases, lifecycle, market, settlement
from photon_core.exchange.events import DeploymentCreated, DeploymentFunded, DeploymentUpdated, GroupResumed
from photon_core.exchange.execution import Execution
from photon_core.exchange.messages import CloseDeployment, CreateDeployment, Deposit, ResumeGroup, UpdateDeployment
from photon_core.exchange.records import (
    CloseReason,
    Deployment,
    DeploymentState,
    Depositor,
    Group,
    GroupSpec,
    GroupState,
)
from photon_core.exchange.refusals import Code, Refused

PRICE_MAX = 2**63
"""Of a whole group: what an order's record holds."""


def create(run: Execution, sender: Address, message: CreateDeployment) -> None:
    max_price = sum(_checked_price(index, spec) for index, spec in enumerate(message.groups))
    least = settlement.deployment_minimum_uptn(max_price, run.parameters)
    if message.deposit_uptn < least:
        raise Refused(
            Code.DEPOSIT_TOO_LOW,
            f"the deposit is {message.deposit_uptn} uptn, at its highest price the deployment needs {least} uptn",
        )
    run.debit(sender, message.deposit_uptn, "the deposit")
    status = run.ledger.status
    run.ledger.put_status(evolve(status, next_deployment=status.next_deployment + 1))
    deployment = Deployment(
        id=status.next_deployment,
        owner=sender,
        version=message.version,
        persist=message.persist,
        third_party_deposits=message.third_party_deposits,
        groups=len(message.groups),
        depositors=(Depositor(account=sender, amount_uptn=message.deposit_uptn),),
        created_ms=run.now_ms,
        created_height=run.height,
    )
    run.ledger.put_deployment(deployment)
    run.emit(
        DeploymentCreated(
            deployment=deployment.id,
            owner=sender,
            version=message.version,
            deposit_uptn=message.deposit_uptn,
        )
    )
    for index, spec in enumerate(message.groups):
        market.open_order(run, Group(deployment=deployment.id, index=index, spec=spec))


def update(run: Execution, sender: Address, message: UpdateDeployment) -> None:
    """Another manifest, and with it a new start for every group: whom the old one failed with may bid again, nobody
    waits out a back-off that the old one earned, and a group that it had paused is ordered. Leases go on as they are:
    what they have earned, and how long they have been in their status, is not the new manifest's doing.
    """
    deployment = _active(run, message.deployment)
    _owned_by(deployment, sender)
    if message.version == deployment.version:
        raise Refused(
            Code.SAME_VERSION, f"version {message.version.hex()} is the one that deployment {deployment.id} has already"
        )
    if len(message.section_hashes) != deployment.groups:
        raise Refused(
            Code.GROUPS_DIFFER,
            f"the update is of {len(message.section_hashes)} groups, deployment {deployment.id} has "
            f"{deployment.groups}",
        )
    run.ledger.put_deployment(evolve(deployment, version=message.version))
    run.emit(DeploymentUpdated(deployment=deployment.id, version=message.version))
    for before, section_hash in zip(run.ledger.groups(deployment), message.section_hashes, strict=True):
        group = evolve(before, spec=evolve(before.spec, section_hash=section_hash))
        if _is_held_back(group):
            _order_afresh(run, group)
        else:
            run.ledger.put_group(evolve(group, failures=0, expiries=0, excluded=()))


def close(run: Execution, sender: Address, message: CloseDeployment) -> None:
    deployment = _active(run, message.deployment)
    _owned_by(deployment, sender)
    lifecycle.close_deployment(run, deployment.id, CloseReason.TENANT)


def deposit(run: Execution, sender: Address, message: Deposit) -> None:
    deployment = _active(run, message.deployment)
    if sender != deployment.owner and not deployment.third_party_deposits:
        raise Refused(Code.NOT_ALLOWED, f"deployment {deployment.id} takes deposits of its owner only")
    run.debit(sender, message.amount_uptn, "the deposit")
    run.ledger.put_deployment(escrow.with_deposit(deployment, sender, message.amount_uptn))
    leases.refresh_funds_due(run, deployment.id)
    run.emit(DeploymentFunded(deployment=deployment.id, depositor=sender, amount_uptn=message.amount_uptn))


def resume_group(run: Execution, sender: Address, message: ResumeGroup) -> None:
    """Its tenant says that it is worth another try: with every provider, those that were left out as well."""
    deployment = _active(run, message.deployment)
    _owned_by(deployment, sender)
    group = run.ledger.find_group(GroupId(message.deployment, message.group))
    if group is None:
        raise Refused(Code.NOT_FOUND, f"deployment {deployment.id} has {deployment.groups} groups")
    if not _is_held_back(group):
        raise Refused(
            Code.WRONG_STATE, f"group {message.deployment}/{message.group} is {group.state.name.lower()}, not paused"
        )
    _order_afresh(run, group)


def _is_held_back(group: Group) -> bool:
    """Paused, or waiting until it is ordered again."""
    return group.state is GroupState.PAUSED or (group.state is GroupState.OPEN and group.reopen_ms is not None)


def _order_afresh(run: Execution, group: Group) -> None:
    """As if it had never failed: with every provider, now."""
    run.ledger.put_group(
        evolve(
            group,
            state=GroupState.OPEN,
            failures=0,
            expiries=0,
            excluded=(),
            pause_reason="",
            reopen_ms=run.now_ms,
        )
    )
    run.emit(GroupResumed(group=GroupId(group.deployment, group.index)))


def _active(run: Execution, deployment_id: int) -> Deployment:
    deployment = run.ledger.find_deployment(deployment_id)
    if deployment is None:
        raise Refused(Code.NOT_FOUND, f"there is no deployment {deployment_id}")
    if deployment.state is not DeploymentState.ACTIVE:
        raise Refused(Code.DEPLOYMENT_CLOSED, f"deployment {deployment_id} is {deployment.state.name.lower()}")
    return deployment


def _owned_by(deployment: Deployment, sender: Address) -> None:
    if sender != deployment.owner:
        raise Refused(
            Code.NOT_ALLOWED, f"deployment {deployment.id} belongs to {deployment.owner.hex()}, not to the sender"
        )


def _checked_price(index: int, spec: GroupSpec) -> int:
    price = resources.max_price(spec.units)
    if price > PRICE_MAX:
        raise Refused(Code.OUT_OF_RANGE, f"group {index} costs up to {price}, the most is {PRICE_MAX} per hour")
    return price
