"""What a provider says of its leases, and how either side ends one.

One ConfirmLeases speaks for all of a provider's leases by changing one record, the provider's. Leases named in it are
the only ones that cost anything: those whose status is new, and those left out, now or by the confirmation before.
"""

from __future__ import annotations

from attrs import evolve

from photon_core.api.ids import Address, LeaseId
from photon_core.exchange import leases, lifecycle, settlement
from photon_core.exchange.events import LeaseStatusChanged
from photon_core.exchange.execution import Execution
from photon_core.exchange.handlers.market import operated_by
from photon_core.exchange.messages import (
    CloseLease,
    ConfirmClosed,
    ConfirmLeases,
    ProviderCloseReason,
    StatusChange,
    Withdraw,
)
from photon_core.exchange.records import CloseReason, Lease, LeaseState, Provider
from photon_core.exchange.refusals import Code, Refused

_REASONS = {
    ProviderCloseReason.PROVIDER: CloseReason.PROVIDER,
    ProviderCloseReason.FAULT: CloseReason.FAULT,
    ProviderCloseReason.NO_MANIFEST: CloseReason.NO_MANIFEST,
}


def confirm(run: Execution, sender: Address, message: ConfirmLeases) -> None:
    provider = operated_by(run, sender)
    _check_freshness(run, provider, message.height)
    _omit(run, provider, message)
    for change in message.changes:
        _change_status(run, _lease_of(run, provider, change.lease), change)
    run.ledger.put_provider(evolve(provider, confirmed_ms=run.now_ms, confirmed_height=message.height))


def close(run: Execution, sender: Address, message: CloseLease) -> None:
    lease = run.ledger.find_lease(message.lease)
    if lease is None:
        raise Refused(Code.NOT_FOUND, f"there is no lease {message.lease}")
    if sender == run.ledger.deployment(lease.id.deployment).owner:
        reason = CloseReason.TENANT
    elif sender == run.ledger.provider(lease.provider).operator:
        reason = _REASONS[message.reason]
    else:
        raise Refused(Code.NOT_ALLOWED, f"lease {lease.id} is closed by its tenant or its provider's operator only")
    if lease.state is not LeaseState.ACTIVE:
        raise Refused(Code.WRONG_STATE, f"lease {lease.id} is {lease.state.name.lower()}, not active")
    lifecycle.end_lease(run, lease, reason)


def confirm_closed(run: Execution, sender: Address, message: ConfirmClosed) -> None:
    provider = operated_by(run, sender)
    for lease_id in message.leases:
        lease = _lease_of(run, provider, lease_id)
        if lease.state is LeaseState.ACTIVE:
            raise Refused(Code.WRONG_STATE, f"lease {lease_id} is active, not closing")
        if lease.state is LeaseState.CLOSING:  # one that is closed meanwhile must not spoil the others
            leases.finish(run, lease, forfeit=False)


def withdraw(run: Execution, sender: Address, message: Withdraw) -> None:
    for lease_id in message.leases:
        lease = run.ledger.find_lease(lease_id)
        if lease is None:
            raise Refused(Code.NOT_FOUND, f"there is no lease {lease_id}")
        provider = run.ledger.provider(lease.provider)
        if sender not in {provider.payee, provider.operator}:
            raise Refused(Code.NOT_ALLOWED, f"lease {lease_id} pays out when its payee or operator asks")
        if lease.state is LeaseState.ACTIVE:  # the others are paid already
            leases.pay_out(run, lease, settlement.earned_now_uptn(lease, provider))


def _check_freshness(run: Execution, provider: Provider, height: int) -> None:
    if height >= run.height:
        raise Refused(Code.OUT_OF_RANGE, f"confirms height {height} in the block at height {run.height}")
    made_ms = run.ledger.block_market_ms(height)
    oldest_ms = run.now_ms - run.parameters.confirm_interval_ms
    if made_ms is None or made_ms < oldest_ms:
        raise Refused(
            Code.CONFIRMATION_TOO_OLD,
            f"made at height {height}, whose market time is "
            f"{'no longer kept' if made_ms is None else made_ms}; the oldest that counts is {oldest_ms}",
        )
    if height < provider.confirmed_height:
        raise Refused(
            Code.CONFIRMATION_OUT_OF_ORDER,
            f"made at height {height}, the provider's newest confirmation at {provider.confirmed_height}",
        )
    if late := run.schedule.stale_before(provider.id, run.now_ms):
        raise Refused(
            Code.STALE_PENDING, f"{late} leases of the provider went stale before this and are still to be closed"
        )


def _omit(run: Execution, provider: Provider, message: ConfirmLeases) -> None:
    """Leases named as omitted keep their last confirmation; those that the newest confirmation left out come back."""
    named = dict.fromkeys(message.omitted)
    for lease_id in run.schedule.omitted(provider.id):
        if lease_id not in named:
            run.ledger.put_lease(evolve(run.ledger.lease(lease_id), omitted=False))
    for lease_id in named:
        lease = _lease_of(run, provider, lease_id)
        if lease.state is LeaseState.ACTIVE and not lease.omitted:
            confirmed_ms = settlement.confirmed_until_ms(lease, provider)
            run.ledger.put_lease(evolve(lease, omitted=True, confirmed_ms=confirmed_ms))


def _change_status(run: Execution, lease: Lease, change: StatusChange) -> None:
    """A lease that has ended meanwhile is passed over: the agent could not know."""
    if lease.state is not LeaseState.ACTIVE:
        return
    same = lease.status is change.status
    if same and lease.status_reason == change.reason:
        return
    since_ms = lease.status_since_ms if same else run.now_ms
    run.ledger.put_lease(
        evolve(
            lease,
            status=change.status,
            status_since_ms=since_ms,
            status_reason=change.reason,
        )
    )
    run.emit(
        LeaseStatusChanged(
            lease=lease.id,
            provider=lease.provider,
            status=change.status,
            reason=change.reason,
        )
    )


def _lease_of(run: Execution, provider: Provider, lease_id: LeaseId) -> Lease:
    lease = run.ledger.find_lease(lease_id)
    if lease is None:
        raise Refused(Code.NOT_FOUND, f"there is no lease {lease_id}")
    if lease.provider != provider.id:
        raise Refused(Code.NOT_ALLOWED, f"lease {lease_id} is another provider's")
    return lease
