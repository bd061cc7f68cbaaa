"""A bid's collateral, and the end of an order for all who bid on it."""

from __future__ import annotations

from attrs import evolve

from photon_core.api.ids import Address
from photon_core.api.market import BidStatus
from photon_core.exchange import keys, settlement
from photon_core.exchange.events import BidEnded
from photon_core.exchange.execution import Execution
from photon_core.exchange.records import Bid, Order, OrderState

PPM = 1_000_000


def forfeit_share(run: Execution, bid: Bid, ppm: int) -> tuple[Bid, int]:
    """Millionths of an open bid's collateral to the tenant, rounded down; the bid with the rest, and the sum."""
    amount = bid.collateral_uptn * ppm // PPM
    run.credit(run.ledger.deployment(bid.order.deployment).owner, amount)
    bid = evolve(bid, collateral_uptn=bid.collateral_uptn - amount)
    run.ledger.put_bid(bid)
    return bid, amount


def release(
    run: Execution, bid: Bid, status: BidStatus, reason: str, *, forfeited_uptn: int = 0, compensation_uptn: int = 0
) -> None:
    """An open bid ends: what it still has locked goes back to its payer."""
    assert bid.status is BidStatus.OPEN
    run.credit(bid.payer, bid.collateral_uptn + compensation_uptn)
    run.ledger.put_bid(evolve(bid, status=status, collateral_uptn=0, reason=reason))
    run.emit(
        BidEnded(
            order=bid.order,
            provider=bid.provider,
            returned_uptn=bid.collateral_uptn,
            forfeited_uptn=forfeited_uptn,
            compensation_uptn=compensation_uptn,
            reason=reason,
        )
    )


def drop(run: Execution, order: Order, provider: Address) -> Order:
    """Forgets an ended bid of an order that goes on: a place is free, and its provider may bid again."""
    run.ledger.put(keys.bid_key(order.id, provider), None)
    order = evolve(order, bidders=tuple(bidder for bidder in order.bidders if bidder != provider))
    run.ledger.put_order(order)
    return order


def end_order(
    run: Execution,
    order: Order,
    end: OrderState,
    reason: str,
    *,
    winner: Address | None = None,
    compensate: bool = False,
) -> None:
    """No more bids; all but the winner's lose. `compensate`: the tenant closed it and pays every bidder the least fee.

    The compensation comes out of the deposit, as far as that goes; all leases of the deployment are settled by then.
    """
    for provider in order.bidders:
        bid = run.ledger.bid(order.id, provider)
        if provider == winner or bid.status is not BidStatus.OPEN:
            continue
        compensation = _take_compensation(run, order.id.deployment) if compensate else 0
        release(run, bid, BidStatus.LOST, reason, compensation_uptn=compensation)
    run.ledger.put_order(evolve(order, state=end, deadline_ms=None, winner=winner, reason=reason))


def _take_compensation(run: Execution, deployment_id: int) -> int:
    deployment = run.ledger.deployment(deployment_id)
    amount = min(run.parameters.min_fee_uptn, settlement.deposit_uptn(deployment))
    if amount:
        run.ledger.put_deployment(evolve(deployment, spent_uptn=deployment.spent_uptn + amount))
    return amount


def forget_order(run: Execution, order: Order) -> None:
    """Removes an order that came to nothing, with its bids: a group nobody serves must not grow the state for ever."""
    assert order.state is OrderState.EXPIRED
    for provider in order.bidders:
        run.ledger.put(keys.bid_key(order.id, provider), None)
    run.ledger.put(keys.order_key(order.id), None)
