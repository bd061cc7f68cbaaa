"""What the exchange remembers: every record is a leaf of the state tree, its key beginning with its table's letter.

All times are market time in milliseconds unless a name says `block_time`; all money is uptn; prices are 10⁻⁶ uptn per
hour for a whole group. A record's first byte on disk is its table, so that one ordered scan rebuilds every index.
"""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

from photon_core.api import fields
from photon_core.api.ids import ORDER_ID, Address, ConsensusKey, Hash, NodeKey, OrderId
from photon_core.api.market import STATE_BYTES_MAX, BidStatus
from photon_core.api.resources import UNITS_PER_GROUP_MAX, ResourceUnit

UPTN_PER_PTN = 1_000_000
UPTN_MAX = 2**63 - 1
"""No balance or sum of balances can pass this: genesis supply is bounded by it and nothing is minted."""
DEPOSITORS_MAX = 8
EXCLUDED_MAX = 16
BIDS_PER_ORDER_MAX = 50

_PAIR = fields.list_form(fields.text_form(128), 2, 2)


class DeploymentState(IntEnum):
    ACTIVE = 0
    CLOSING = 1
    CLOSED = 2


class GroupState(IntEnum):
    OPEN = 0
    LEASED = 1
    PAUSED = 2
    CLOSED = 3


class OrderState(IntEnum):
    OPEN = 0
    MATCHED = 1
    EXPIRED = 2
    CLOSED = 3


class LeaseState(IntEnum):
    ACTIVE = 0
    CLOSING = 1
    CLOSED = 2


class LeaseStatus(IntEnum):
    """What the provider says of the workload. All but SERVING are bounded in time, and none costs collateral."""

    AWAITING_MANIFEST = 0
    STARTING = 1
    SERVING = 2
    WORKLOAD_FAULT = 3


class CloseReason(IntEnum):
    NONE = 0
    TENANT = 1
    PROVIDER = 2
    PROVIDER_NOTICE = 3
    FUNDS = 4
    STALE = 5
    FAULT = 6
    NO_MANIFEST = 7


@frozen(kw_only=True)
class GroupSpec:
    """One placement: what is ordered from one provider. `attributes` are (key, value) pairs a provider must have.

    `section_hash` is the salted hash of the group's manifest section; `collateral_uptn` what a bid must lock;
    `allowed_providers` empty means everybody. `name` is the placement's, for people.
    """

    name: str = fields.text(63)
    units: tuple[ResourceUnit, ...] = fields.listof(fields.record_form(ResourceUnit), UNITS_PER_GROUP_MAX, 1)
    attributes: tuple[tuple[str, str], ...] = fields.listof(_PAIR, 64, 0, ())
    collateral_uptn: int = fields.uint(UPTN_MAX)
    section_hash: Hash = fields.hash32()
    allowed_providers: tuple[Address, ...] = fields.listof(fields.address_form(), 16, 0, ())


@frozen(kw_only=True)
class Account:
    """`sequence` is the number of transactions it has sent: the next carries exactly this. Never deleted once > 0."""

    balance_uptn: int = fields.uint(UPTN_MAX, default=0)
    sequence: int = fields.uint(default=0)

    def with_balance(self, balance_uptn: int) -> Account:
        """As `evolve`, which is twice as slow: every transaction changes some balances."""
        return Account(balance_uptn=balance_uptn, sequence=self.sequence)


@frozen(kw_only=True)
class Provider:
    """`id` is the address that registered it. `confirmed_*` are those of its newest ConfirmLeases (0: none yet)."""

    id: Address = fields.address()
    payee: Address = fields.address()
    operator: Address = fields.address()
    node_key: NodeKey = fields.blob(32)
    addresses: tuple[str, ...] = fields.listof(fields.text_form(256), 8)
    attributes: tuple[tuple[str, str], ...] = fields.listof(_PAIR, 64)
    bond_uptn: int = fields.uint(UPTN_MAX)
    registered_ms: int = fields.uint()
    confirmed_ms: int = fields.uint(default=0)
    confirmed_height: int = fields.uint(default=0)


@frozen(kw_only=True)
class Depositor:
    """`amount_uptn` is what this depositor put in; spending takes from the first depositor first."""

    account: Address = fields.address()
    amount_uptn: int = fields.uint(UPTN_MAX)


@frozen(kw_only=True)
class Deployment:
    """`spent_uptn` is what its closed leases, bidders of closed orders and orders opened again have taken; open leases
    settle lazily.

    Held in escrow = sum of depositors − spent − sum of the open leases' `paid_uptn`. `funds_due_ms` is when the open
    leases will have used it all, None while nothing is leased.
    """

    id: int = fields.uint()
    owner: Address = fields.address()
    state: DeploymentState = fields.choice(DeploymentState, DeploymentState.ACTIVE)
    version: Hash = fields.hash32()
    persist: bool = fields.flag()
    third_party_deposits: bool = fields.flag()
    groups: int = fields.uint(64)
    depositors: tuple[Depositor, ...] = fields.listof(fields.record_form(Depositor), DEPOSITORS_MAX)
    spent_uptn: int = fields.uint(UPTN_MAX, default=0)
    refunded_uptn: int = fields.uint(UPTN_MAX, default=0)
    funds_due_ms: int | None = fields.optional(fields.uint_form())
    created_ms: int = fields.uint()
    created_height: int = fields.uint()
    closed_ms: int | None = fields.optional(fields.uint_form())
    open_leases: int = fields.uint(default=0)
    """Active and closing: the deployment is closed when none is left."""


@frozen(kw_only=True)
class Excluded:
    provider: Address = fields.address()
    reason: CloseReason = fields.choice(CloseReason)


@frozen(kw_only=True)
class Group:
    """`orders` counts its orders: the newest is `deployment/index/orders-1`. `reopen_ms`: when it is ordered again.

    `failures` counts closes for fault, no-manifest or expiry in a row, from which back-off and pause follow.
    """

    deployment: int = fields.uint()
    index: int = fields.uint(64)
    spec: GroupSpec = fields.record(GroupSpec)
    state: GroupState = fields.choice(GroupState, GroupState.OPEN)
    orders: int = fields.uint(2**32 - 1, default=0)
    failures: int = fields.uint(default=0)
    expiries: int = fields.uint(default=0)
    reopen_ms: int | None = fields.optional(fields.uint_form())
    excluded: tuple[Excluded, ...] = fields.listof(fields.record_form(Excluded), EXCLUDED_MAX, 0, ())
    pause_reason: str = fields.text(200, "")


@frozen(kw_only=True)
class Order:
    """`bidders` are those whose bids the order holds, in the order in which they came, which is that of their `serial`.

    The market rule of `opened_height` is the one that it ends under. `bids_taken` counts every bid that it ever
    took, and gives the next one its serial.
    """

    id: OrderId = fields.of(ORDER_ID)
    state: OrderState = fields.choice(OrderState, OrderState.OPEN)
    phase: str = fields.text(32, "")
    max_price: int = fields.uint(2**63)
    collateral_uptn: int = fields.uint(UPTN_MAX)
    opened_ms: int = fields.uint()
    opened_height: int = fields.uint()
    deadline_ms: int | None = fields.optional(fields.uint_form())
    market_state: bytes = fields.blob(maximum=STATE_BYTES_MAX, default=b"")
    bidders: tuple[Address, ...] = fields.listof(fields.address_form(), BIDS_PER_ORDER_MAX, 0, ())
    bids_taken: int = fields.uint(2**32, default=0)
    winner: Address | None = fields.optional(fields.address_form())
    reason: str = fields.text(200, "")


@frozen(kw_only=True)
class Bid:
    """`collateral_uptn` is what is locked now (0 once lost or withdrawn); `payer` is the operator it goes back to."""

    order: OrderId = fields.of(ORDER_ID)
    provider: Address = fields.address()
    payer: Address = fields.address()
    serial: int = fields.uint(2**32)
    price: int = fields.uint(2**63)
    status: BidStatus = fields.choice(BidStatus, BidStatus.OPEN)
    collateral_uptn: int = fields.uint(UPTN_MAX)
    placed_ms: int = fields.uint()
    market_state: bytes = fields.blob(maximum=STATE_BYTES_MAX, default=b"")
    reason: str = fields.text(200, "")


@frozen(kw_only=True)
class Lease:
    """`origin_ms` is where earning began; `paid_uptn` what has gone to the payee since. See `settlement.py`.

    `covered`: the provider's newest confirmation holds for it. Otherwise its own `confirmed_ms` holds (the match, or
    the last confirmation before it was omitted). `status_since_ms` bounds every status but SERVING.
    """

    id: OrderId = fields.of(ORDER_ID)
    provider: Address = fields.address()
    price: int = fields.uint(2**63)
    collateral_uptn: int = fields.uint(UPTN_MAX)
    collateral_payer: Address = fields.address()
    state: LeaseState = fields.choice(LeaseState, LeaseState.ACTIVE)
    status: LeaseStatus = fields.choice(LeaseStatus, LeaseStatus.AWAITING_MANIFEST)
    status_since_ms: int = fields.uint()
    status_reason: str = fields.text(200, "")
    origin_ms: int = fields.uint()
    matched_height: int = fields.uint()
    confirmed_ms: int = fields.uint()
    omitted: bool = fields.flag(False)
    paid_uptn: int = fields.uint(UPTN_MAX, default=0)
    close_reason: CloseReason = fields.choice(CloseReason, CloseReason.NONE)
    closed_ms: int | None = fields.optional(fields.uint_form())
    collateral_forfeited_uptn: int = fields.uint(UPTN_MAX, default=0)


@frozen(kw_only=True)
class ChainStatus:
    """The exchange's own clock and counters; one record. `oldest_height` is the oldest whose BlockTime is kept."""

    height: int = fields.uint(default=0)
    block_time_ms: int = fields.uint()
    market_ms: int = fields.uint(default=0)
    next_deployment: int = fields.uint(default=1)
    supply_uptn: int = fields.uint(UPTN_MAX)
    oldest_height: int = fields.uint(default=0)


@frozen(kw_only=True)
class BlockTime:
    """The market time of a recent block, kept for as long as a ConfirmLeases may name its height."""

    market_ms: int = fields.uint()


@frozen(kw_only=True)
class Operator:
    """Which provider an operator's account acts for: at most one."""

    provider: Address = fields.address()


@frozen(kw_only=True)
class ValidatorRecord:
    """Who validates, with which power, and where its fees go. Consensus key and node key are bound by it."""

    key: ConsensusKey = fields.blob(32)
    node_key: NodeKey = fields.blob(32)
    power: int = fields.uint(2**53, 1)
    payee: Address = fields.address()
