"""What happened in the exchange, as receipts carry it and the API streams it. Data for agents and people, never state.

Each names the ids that it touches, so that an agent needs no second question to know whether it is concerned.

A new event is: a record here, its place at the end of EVENTS (a tag is never reused) and in the union `Event`; whoever
causes it emits it; an example in `tools/formats_values.py`; and whoever must react to it: `AGENT_CONCERNS` of
`photon_core/provider/chain.py`, `photon_core/tenant/follow.py` and its `steps.py`, `photon_core/tenant/keeper.py`.
"""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

from photon_core.api import fields
from photon_core.api.ids import GROUP_ID, ORDER_ID, Address, GroupId, Hash, LeaseId, OrderId

from .records import UPTN_MAX, CloseReason, LeaseStatus


@frozen(kw_only=True)
class Transferred:
    sender: Address = fields.address()
    to: Address = fields.address()
    amount_uptn: int = fields.uint(UPTN_MAX)


@frozen(kw_only=True)
class ProviderChanged:
    """Registered, or updated."""

    provider: Address = fields.address()


@frozen(kw_only=True)
class DeploymentCreated:
    deployment: int = fields.uint()
    owner: Address = fields.address()
    version: Hash = fields.hash32()
    deposit_uptn: int = fields.uint(UPTN_MAX)


@frozen(kw_only=True)
class DeploymentUpdated:
    """Its groups have other sections now; providers that serve it run the old ones until the new ones are delivered."""

    deployment: int = fields.uint()
    version: Hash = fields.hash32()


@frozen(kw_only=True)
class DeploymentFunded:
    deployment: int = fields.uint()
    depositor: Address = fields.address()
    amount_uptn: int = fields.uint(UPTN_MAX)


@frozen(kw_only=True)
class DeploymentClosing:
    deployment: int = fields.uint()
    refunded_uptn: int = fields.uint(UPTN_MAX)


@frozen(kw_only=True)
class DeploymentClosed:
    deployment: int = fields.uint()


@frozen(kw_only=True)
class GroupPaused:
    group: GroupId = fields.of(GROUP_ID)
    reason: str = fields.text(200)


@frozen(kw_only=True)
class GroupClosed:
    """It is not ordered again: its deployment closes, or its lease ended and the deployment does not persist."""

    group: GroupId = fields.of(GROUP_ID)


@frozen(kw_only=True)
class GroupResumed:
    group: GroupId = fields.of(GROUP_ID)


@frozen(kw_only=True)
class OrderOpened:
    """`fee_uptn` is what it took out of the deposit to order again what nobody wanted."""

    order: OrderId = fields.of(ORDER_ID)
    max_price: int = fields.uint(2**63)
    collateral_uptn: int = fields.uint(UPTN_MAX)
    deadline_ms: int | None = fields.optional(fields.uint_form())
    fee_uptn: int = fields.uint(UPTN_MAX, default=0)


@frozen(kw_only=True)
class OrderPhaseChanged:
    order: OrderId = fields.of(ORDER_ID)
    phase: str = fields.text(32)
    deadline_ms: int | None = fields.optional(fields.uint_form())


@frozen(kw_only=True)
class OrderExpired:
    order: OrderId = fields.of(ORDER_ID)
    reason: str = fields.text(200)


@frozen(kw_only=True)
class BidPlaced:
    order: OrderId = fields.of(ORDER_ID)
    provider: Address = fields.address()
    price: int = fields.uint(2**63)
    collateral_uptn: int = fields.uint(UPTN_MAX)


@frozen(kw_only=True)
class BidEnded:
    """Lost, evicted or withdrawn; `returned_uptn` went back to the operator, `forfeited_uptn` to the tenant.

    `compensation_uptn` is what the tenant paid the bidder for closing the order under its bid.
    """

    order: OrderId = fields.of(ORDER_ID)
    provider: Address = fields.address()
    returned_uptn: int = fields.uint(UPTN_MAX)
    forfeited_uptn: int = fields.uint(UPTN_MAX, default=0)
    compensation_uptn: int = fields.uint(UPTN_MAX, default=0)
    reason: str = fields.text(200)


@frozen(kw_only=True)
class LeaseCreated:
    lease: LeaseId = fields.of(ORDER_ID)
    provider: Address = fields.address()
    owner: Address = fields.address()
    price: int = fields.uint(2**63)


@frozen(kw_only=True)
class LeaseStatusChanged:
    lease: LeaseId = fields.of(ORDER_ID)
    provider: Address = fields.address()
    status: LeaseStatus = fields.choice(LeaseStatus)
    reason: str = fields.text(200, "")


@frozen(kw_only=True)
class LeaseClosing:
    """Billing has stopped. `paid_uptn` is all that the lease ever paid; `settled_ms` the instant it is paid up to."""

    lease: LeaseId = fields.of(ORDER_ID)
    provider: Address = fields.address()
    reason: CloseReason = fields.choice(CloseReason)
    paid_uptn: int = fields.uint(UPTN_MAX)
    settled_ms: int = fields.uint()


@frozen(kw_only=True)
class LeaseClosed:
    """`collateral_returned_uptn` to the operator, `collateral_forfeited_uptn` to the tenant."""

    lease: LeaseId = fields.of(ORDER_ID)
    provider: Address = fields.address()
    collateral_returned_uptn: int = fields.uint(UPTN_MAX)
    collateral_forfeited_uptn: int = fields.uint(UPTN_MAX)


@frozen(kw_only=True)
class PaidOut:
    """Earned money that went to a provider's payee."""

    lease: LeaseId = fields.of(ORDER_ID)
    provider: Address = fields.address()
    amount_uptn: int = fields.uint(UPTN_MAX)


EVENTS: dict[int, type] = dict(
    enumerate(
        (
            Transferred,
            ProviderChanged,
            DeploymentCreated,
            DeploymentFunded,
            DeploymentClosing,
            DeploymentClosed,
            GroupPaused,
            GroupResumed,
            OrderOpened,
            OrderPhaseChanged,
            OrderExpired,
            BidPlaced,
            BidEnded,
            LeaseCreated,
            LeaseStatusChanged,
            LeaseClosing,
            LeaseClosed,
            PaidOut,
            GroupClosed,
            DeploymentUpdated,
        ),
        start=1,
    )
)
EVENT = fields.union_form("Event", EVENTS)

Event = (
    Transferred
    | ProviderChanged
    | DeploymentCreated
    | DeploymentFunded
    | DeploymentClosing
    | DeploymentClosed
    | GroupPaused
    | GroupResumed
    | OrderOpened
    | OrderPhaseChanged
    | OrderExpired
    | BidPlaced
    | BidEnded
    | LeaseCreated
    | LeaseStatusChanged
    | LeaseClosing
    | LeaseClosed
    | PaidOut
    | GroupClosed
    | DeploymentUpdated
)


EVENTS_PER_RECEIPT_MAX = 2**20
"""Far above what `due` and `machine` let one transaction do: a receipt that was written can always be read."""


class Outcome(IntEnum):
    """VOID: not executed, no fee, sequence unchanged. FAILED: fee paid, sequence used, nothing else changed."""

    DONE = 0
    FAILED = 1
    VOID = 2


@frozen(kw_only=True)
class Receipt:
    """`code` and `reason` are empty when DONE; `message` is the index of the message that failed."""

    transaction_id: Hash = fields.hash32()
    outcome: Outcome = fields.choice(Outcome)
    fee_uptn: int = fields.uint(UPTN_MAX)
    code: str = fields.text(64, "")
    reason: str = fields.text(400, "")
    message: int | None = fields.optional(fields.uint_form(64))
    events: tuple[Event, ...] = fields.listof(EVENT, EVENTS_PER_RECEIPT_MAX, 0, ())
