"""A deployment's steps, one record each, as `Tenant.following` tells them; `photon_core/cli/steps.py` words them."""

from __future__ import annotations

from attrs import frozen

from photon_core.api.ids import Address, GroupId, Hash, LeaseId, OrderId
from photon_core.exchange.records import CloseReason, LeaseStatus
from photon_core.peers.methods import Endpoint


@frozen(kw_only=True)
class Ordered:
    """Prices are 10⁻⁶ uptn per hour for the whole group."""

    order: OrderId
    max_price: int
    collateral_uptn: int


@frozen(kw_only=True)
class BidCame:
    order: OrderId
    provider: Address
    price: int


@frozen(kw_only=True)
class NobodyWon:
    """The order ended without a lease; the group is ordered again later."""

    order: OrderId
    reason: str


@frozen(kw_only=True)
class Leased:
    lease: LeaseId
    provider: Address
    price: int


@frozen(kw_only=True)
class DeliveryWaits:
    """Tried again; `reason` is why the last attempt failed, told once for each reason."""

    lease: LeaseId
    reason: str


@frozen(kw_only=True)
class DeliveryFailed:
    """Not tried again."""

    lease: LeaseId
    reason: str


@frozen(kw_only=True)
class ManifestDelivered:
    """The provider has the section and found that its hash is the one on chain. `by_us`: this process brought it."""

    lease: LeaseId
    provider: Address
    by_us: bool


@frozen(kw_only=True)
class VersionChanged:
    """The deployment has another manifest on chain; its providers run the one before until it is delivered."""

    deployment: int
    version: Hash


@frozen(kw_only=True)
class WorkloadChanged:
    """What the provider itself says, asked over a link; the chain hears of it with the next confirmation."""

    lease: LeaseId
    status: LeaseStatus
    reason: str


@frozen(kw_only=True)
class Serving:
    """`again`: after an update, what was delivered last."""

    lease: LeaseId
    endpoints: tuple[Endpoint, ...]
    again: bool = False


@frozen(kw_only=True)
class LeaseEnded:
    """`why`: what the provider last said of a workload at fault."""

    lease: LeaseId
    reason: CloseReason
    paid_uptn: int
    why: str = ""


@frozen(kw_only=True)
class Paused:
    """Not ordered again before `photon resume`, or an update."""

    group: GroupId
    reason: str


@frozen(kw_only=True)
class Ended:
    """Billing has stopped and what was unspent went back."""

    deployment: int
    refunded_uptn: int


Step = (
    Ordered
    | BidCame
    | NobodyWon
    | Leased
    | DeliveryWaits
    | DeliveryFailed
    | ManifestDelivered
    | VersionChanged
    | WorkloadChanged
    | Serving
    | LeaseEnded
    | Paused
    | Ended
)
