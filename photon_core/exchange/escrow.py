"""A deployment's deposit: who put in how much, whose money is spent first, and what goes back to whom.

Spending takes from the first depositor first. What each one still has is never stored: it follows from the sums put in
and the one sum that went out, so nothing can drift.
"""

from __future__ import annotations

from attrs import evolve

from photon_core.api.ids import Address
from photon_core.exchange.records import DEPOSITORS_MAX, Deployment, Depositor
from photon_core.exchange.refusals import Code, Refused


def with_deposit(deployment: Deployment, account: Address, amount_uptn: int) -> Deployment:
    """The deployment with more in it; an account's second deposit is added to its first."""
    depositors = deployment.depositors
    if any(depositor.account == account for depositor in depositors):
        merged = tuple(
            evolve(d, amount_uptn=d.amount_uptn + amount_uptn) if d.account == account else d for d in depositors
        )
        return evolve(deployment, depositors=merged)
    if len(depositors) >= DEPOSITORS_MAX:
        raise Refused(
            Code.TOO_MANY_DEPOSITORS,
            f"deployment {deployment.id} has {len(depositors)} depositors, the most is {DEPOSITORS_MAX}",
        )
    return evolve(deployment, depositors=(*depositors, Depositor(account=account, amount_uptn=amount_uptn)))


def unspent_shares(deployment: Deployment) -> tuple[tuple[Address, int], ...]:
    """(account, uptn) of what each depositor gets back, when nothing is leased any more."""
    to_spend = deployment.spent_uptn + deployment.refunded_uptn
    shares = []
    for depositor in deployment.depositors:
        used = min(to_spend, depositor.amount_uptn)
        to_spend -= used
        if depositor.amount_uptn > used:
            shares.append((depositor.account, depositor.amount_uptn - used))
    assert to_spend == 0, f"deployment {deployment.id} spent {to_spend} uptn more than it had"
    return tuple(shares)
