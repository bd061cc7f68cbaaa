"""Where every uptn of a deployment went."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from photon_core.api.ids import Address, LeaseId
from photon_core.exchange.records import Lease, LeaseState
from photon_core.exchange.settlement import PRICE_MS_PER_UPTN
from photon_core.node.views import DeploymentDetail

DEFAULT_DEPOSIT_HOURS = 24
HOUR_MS = 3_600_000


@frozen(kw_only=True)
class LeasePayment:
    lease: LeaseId
    provider: Address
    paid_uptn: int
    collateral_received_uptn: int


@frozen(kw_only=True)
class MoneySummary:
    """deposited = paid + owed + bidders + refunded + held, to the uptn. Fees and collateral are no part of the deposit.

    `owed_uptn` is earned and not paid out yet; `bidders_uptn` is what bidders got because an order was closed under
    their bids, with what ordering again cost after orders that nobody won. `fees_uptn` are of the transactions that
    created and closed it; `collateral_received_uptn` went to the owner's account, for leases whose provider fell
    silent.
    """

    deposited_uptn: int
    paid_uptn: int
    owed_uptn: int
    bidders_uptn: int
    refunded_uptn: int
    held_uptn: int
    collateral_received_uptn: int
    fees_uptn: int
    leases: tuple[LeasePayment, ...]

    @property
    def unaccounted_uptn(self) -> int:
        """Nothing, or the ledger is wrong."""
        known = self.paid_uptn + self.owed_uptn + self.bidders_uptn + self.refunded_uptn + self.held_uptn
        return self.deposited_uptn - known


def newest_leases(detail: DeploymentDetail) -> tuple[Lease, ...]:
    """Of each group the lease of its newest order, if it came to one: only these can still be active."""
    return tuple(g.order.lease for g in detail.groups if g.order is not None and g.order.lease is not None)


def summarize(detail: DeploymentDetail, earlier: Sequence[Lease], *, fees_uptn: int = 0) -> MoneySummary:
    """`earlier` are the leases of the groups' older orders, all ended."""
    deployment, leases = detail.deployment, (*earlier, *newest_leases(detail))
    paid_to_ended = sum(lease.paid_uptn for lease in leases if lease.state is not LeaseState.ACTIVE)
    paid_to_active = sum(lease.paid_uptn for lease in leases if lease.state is LeaseState.ACTIVE)
    owed = detail.earned_uptn - deployment.spent_uptn - paid_to_active
    payments = tuple(
        LeasePayment(
            lease=lease.id,
            provider=lease.provider,
            paid_uptn=lease.paid_uptn,
            collateral_received_uptn=lease.collateral_forfeited_uptn,
        )
        for lease in sorted(leases, key=lambda lease: lease.id)
    )
    return MoneySummary(
        deposited_uptn=sum(depositor.amount_uptn for depositor in deployment.depositors),
        paid_uptn=paid_to_ended + paid_to_active,
        owed_uptn=owed,
        bidders_uptn=deployment.spent_uptn - paid_to_ended,
        refunded_uptn=deployment.refunded_uptn,
        held_uptn=detail.held_uptn - owed,
        collateral_received_uptn=sum(payment.collateral_received_uptn for payment in payments),
        fees_uptn=fees_uptn,
        leases=payments,
    )


def default_deposit_uptn(max_price: int) -> int:
    """24 hours of the highest price (10⁻⁶ uptn per hour), rounded up."""
    return -(-max_price * DEFAULT_DEPOSIT_HOURS * HOUR_MS // PRICE_MS_PER_UPTN)
