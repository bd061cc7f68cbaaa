"""The exchange's side of a market plugin: shows it an order, checks what it decides, carries that out.

A market is trusted to choose, not to keep the books. Every decision is checked against the contract of
`photon_core.api.market`; one that breaks it, or an exception in the rule, is a `MarketBroken`, which halts the node
with the order's id: skipping it would fork the chain from every node whose rule behaved.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from photon_core.api import market as api
from photon_core.api.ids import Address, OrderId
from photon_core.api.market import BidStatus
from photon_core.api.resources import max_price
from photon_core.exchange import bids, leases, lifecycle, settlement
from photon_core.exchange.events import BidPlaced, OrderExpired, OrderOpened, OrderPhaseChanged
from photon_core.exchange.execution import Execution
from photon_core.exchange.records import (
    Bid,
    CloseReason,
    Group,
    GroupState,
    Order,
    OrderState,
    Provider,
)
from photon_core.exchange.refusals import Code, Refused, bounded_text

PHASE_BYTES_MAX = 32
REASON_BYTES_MAX = 200


class MarketBroken(Exception):
    """A market rule raised, or decided what its contract forbids. The node must halt."""

    def __init__(self, order: OrderId, what: str) -> None:
        super().__init__(f"the market rule broke its contract at order {order}: {what}")
        self.order = order


# --- what happens to an order ----------------------------------------------------------------------------------------


def open_order(run: Execution, group: Group, *, fee_uptn: int = 0) -> None:
    """Orders the group anew. Its last order, if that came to nothing, is forgotten."""
    order_id = OrderId(group.deployment, group.index, group.orders)
    if group.orders:
        last = run.ledger.find_order(OrderId(group.deployment, group.index, group.orders - 1))
        if last is not None and last.state is OrderState.EXPIRED:
            bids.forget_order(run, last)
    order = Order(
        id=order_id,
        max_price=max_price(group.spec.units),
        collateral_uptn=group.spec.collateral_uptn,
        opened_ms=run.now_ms,
        opened_height=run.height,
    )
    run.ledger.put_order(order)
    run.ledger.put_group(evolve(group, state=GroupState.OPEN, orders=group.orders + 1, reopen_ms=None))
    decisions = _ask(run, order, lambda market: market.open(_view(run, order)))
    _forbid_answers(order_id, decisions)
    position = len(run.events)
    _carry_out(run, order_id, decisions)
    run.events.insert(
        position,
        OrderOpened(
            order=order_id,
            max_price=order.max_price,
            collateral_uptn=order.collateral_uptn,
            deadline_ms=run.ledger.order(order_id).deadline_ms,
            fee_uptn=fee_uptn,
        ),
    )


def order_again(run: Execution, group: Group) -> None:
    """A group's `reopen_ms` has come. If it costs more than the deposit has left, the deployment ends."""
    fee_uptn = run.parameters.min_fee_uptn if group.expiries else 0
    deployment = run.ledger.deployment(group.deployment)
    deposit_uptn = settlement.deposit_uptn(deployment)
    if fee_uptn > settlement.spare_uptn(deposit_uptn, leases.earning(run, deployment), run.now_ms):
        lifecycle.close_deployment(run, deployment.id, CloseReason.FUNDS)
        return
    if fee_uptn:
        run.credit(run.payee, fee_uptn)
        run.ledger.put_deployment(evolve(deployment, spent_uptn=deployment.spent_uptn + fee_uptn))
        leases.refresh_funds_due(run, deployment.id)
    open_order(run, group, fee_uptn=fee_uptn)


def offer(run: Execution, order: Order, provider: Provider, price: int, payload: bytes) -> None:
    """A bid that core has nothing against: the market takes or refuses it."""
    event = api.BidOffered(provider=provider.id, price=price, payload=payload)
    answer, rest = _answer(run, order, event)
    run.debit(provider.operator, order.collateral_uptn, f"the collateral of a bid on order {order.id}")
    bid = Bid(
        order=order.id,
        provider=provider.id,
        payer=provider.operator,
        serial=order.bids_taken,
        price=price,
        collateral_uptn=order.collateral_uptn,
        placed_ms=run.now_ms,
        market_state=answer.bid_state,
    )
    run.ledger.put_bid(bid)
    run.ledger.put_order(evolve(order, bidders=(*order.bidders, provider.id), bids_taken=order.bids_taken + 1))
    run.emit(
        BidPlaced(
            order=order.id,
            provider=provider.id,
            price=price,
            collateral_uptn=order.collateral_uptn,
        )
    )
    _carry_out(run, order.id, rest)
    held = len(run.ledger.order(order.id).bidders)
    if held > run.parameters.bids_per_order:
        raise Refused(Code.ORDER_FULL, f"order {order.id} holds {held - 1} bids, the most, and none was evicted")


def withdraw(run: Execution, order: Order, bid: Bid) -> None:
    """A bid is taken back before the match, which costs a share of its collateral."""
    _, rest = _answer(run, order, api.BidWithdrawn(provider=bid.provider))
    bid, forfeited = bids.forfeit_share(run, bid, run.parameters.withdraw_forfeit_ppm)
    bids.release(run, bid, BidStatus.WITHDRAWN, "withdrawn by its provider", forfeited_uptn=forfeited)
    bids.drop(run, order, bid.provider)
    _carry_out(run, order.id, rest)


def tell(run: Execution, order: Order, sender: Address, payload: bytes) -> None:
    """A message of the market's own."""
    _, rest = _answer(run, order, api.MarketPayload(sender=sender, payload=payload))
    _carry_out(run, order.id, rest)


def deadline(run: Execution, order: Order) -> None:
    """The deadline that the market had set has come."""
    assert order.deadline_ms == run.now_ms
    order = evolve(order, deadline_ms=None)
    run.ledger.put_order(order)
    decisions = _ask(run, order, lambda market: market.on_due(_view(run, order), run.now_ms))
    _forbid_answers(order.id, decisions)
    _carry_out(run, order.id, decisions)
    after = run.ledger.order(order.id)
    if after.state is OrderState.OPEN and after.deadline_ms is not None and after.deadline_ms <= run.now_ms:
        raise MarketBroken(order.id, f"on_due set a deadline of {after.deadline_ms}, which is not after {run.now_ms}")


# --- asking the market -----------------------------------------------------------------------------------------------


def _view(run: Execution, order: Order) -> api.OrderView:
    held = sorted((run.ledger.bid(order.id, provider) for provider in order.bidders), key=lambda bid: bid.serial)
    return api.OrderView(
        id=order.id,
        max_price=order.max_price,
        collateral_uptn=order.collateral_uptn,
        opened_ms=order.opened_ms,
        window_ms=run.parameters.bidding_window_ms,
        phase=order.phase,
        deadline_ms=order.deadline_ms,
        state=order.market_state,
        bids_max=run.parameters.bids_per_order,
        bids=tuple(
            api.BidView(
                provider=bid.provider,
                price=bid.price,
                collateral_uptn=bid.collateral_uptn,
                placed_ms=bid.placed_ms,
                serial=bid.serial,
                status=bid.status,
                state=bid.market_state,
            )
            for bid in held
        ),
    )


def _ask(
    run: Execution, order: Order, question: Callable[[api.Market], tuple[api.Decision, ...]]
) -> tuple[api.Decision, ...]:
    try:
        return tuple(question(run.market_at(order.opened_height)))
    except Exception as error:
        raise MarketBroken(order.id, f"it raised {type(error).__name__}: {error}") from error


def _answer(run: Execution, order: Order, event: api.MarketEvent) -> tuple[api.Accept, tuple[api.Decision, ...]]:
    """The market's Accept and what it decided beside; Refused when it refuses."""
    decisions = _ask(run, order, lambda market: market.on_message(_view(run, order), event, run.now_ms))
    answers = [decision for decision in decisions if isinstance(decision, api.Accept | api.Refuse)]
    if len(answers) != 1:
        raise MarketBroken(order.id, f"{len(answers)} answers to {type(event).__name__}, where one is due")
    if isinstance(answers[0], api.Refuse):
        if len(decisions) != 1:
            raise MarketBroken(order.id, "it refused a message, and decided something beside")
        raise Refused(Code.MARKET, answers[0].reason)
    _bounded_state(order.id, answers[0].bid_state)
    return answers[0], tuple(decision for decision in decisions if decision is not answers[0])


def _forbid_answers(order: OrderId, decisions: tuple[api.Decision, ...]) -> None:
    if any(isinstance(decision, api.Accept | api.Refuse) for decision in decisions):
        raise MarketBroken(order, "it answered, where there was no message")


# --- carrying decisions out ------------------------------------------------------------------------------------------


def _carry_out(run: Execution, order_id: OrderId, decisions: tuple[api.Decision, ...]) -> None:
    for decision in decisions:
        order = run.ledger.order(order_id)
        if order.state is not OrderState.OPEN:
            raise MarketBroken(order_id, f"it decided {type(decision).__name__} after the order had ended")
        match decision:
            case api.SetPhase():
                _set_phase(run, order, decision)
            case api.SetState():
                run.ledger.put_order(evolve(order, market_state=_bounded_state(order_id, decision.state)))
            case api.SetBidState():
                bid = _open_bid(run, order, decision.provider)
                run.ledger.put_bid(evolve(bid, market_state=_bounded_state(order_id, decision.state)))
            case api.Evict():
                bid = _open_bid(run, order, decision.provider)
                bids.release(run, bid, BidStatus.LOST, bounded_text(decision.reason, REASON_BYTES_MAX))
                bids.drop(run, order, bid.provider)
            case api.ForfeitShare():
                _forfeit(run, order, decision)
            case api.Match():
                _match(run, order, decision)
            case api.CloseUnmatched():
                _expire(run, order, bounded_text(decision.reason, REASON_BYTES_MAX))
            case _:
                raise MarketBroken(order_id, f"it decided {decision!r}, which is not a decision")


def _open_bid(run: Execution, order: Order, provider: Address) -> Bid:
    bid = run.ledger.find_bid(order.id, provider)
    if bid is None or bid.status is not BidStatus.OPEN:
        raise MarketBroken(order.id, f"{provider.hex()} has no open bid")
    return bid


def _bounded_state(order: OrderId, state: bytes) -> bytes:
    if type(state) is not bytes or len(state) > api.STATE_BYTES_MAX:
        raise MarketBroken(order, f"a state of more than {api.STATE_BYTES_MAX} bytes")
    return state


def _set_phase(run: Execution, order: Order, decision: api.SetPhase) -> None:
    if len(decision.phase.encode()) > PHASE_BYTES_MAX:
        raise MarketBroken(order.id, f"a phase of more than {PHASE_BYTES_MAX} bytes")
    if decision.deadline_ms is not None and not run.now_ms <= decision.deadline_ms <= settlement.DUE_MS_MAX:
        raise MarketBroken(order.id, f"a deadline of {decision.deadline_ms}, now is {run.now_ms}")
    run.ledger.put_order(evolve(order, phase=decision.phase, deadline_ms=decision.deadline_ms))
    if order.phase:  # the first one is in OrderOpened
        run.emit(OrderPhaseChanged(order=order.id, phase=decision.phase, deadline_ms=decision.deadline_ms))


def _forfeit(run: Execution, order: Order, decision: api.ForfeitShare) -> None:
    if not 0 <= decision.ppm <= bids.PPM:
        raise MarketBroken(order.id, f"forfeits {decision.ppm} ppm of a collateral")
    bid, forfeited = bids.forfeit_share(run, _open_bid(run, order, decision.provider), decision.ppm)
    bids.release(run, bid, BidStatus.LOST, bounded_text(decision.reason, REASON_BYTES_MAX), forfeited_uptn=forfeited)


def _match(run: Execution, order: Order, decision: api.Match) -> None:
    bid = _open_bid(run, order, decision.provider)
    if type(decision.price) is not int or not 0 <= decision.price <= order.max_price:
        raise MarketBroken(order.id, f"matched at {decision.price}, the order's limit is {order.max_price}")
    bids.end_order(run, order, OrderState.MATCHED, "another bid won", winner=bid.provider)
    leases.create(run, bid, decision.price)
    run.ledger.put_bid(evolve(bid, status=BidStatus.WON, collateral_uptn=0))
    group = run.ledger.group(order.id.group_id)
    run.ledger.put_group(evolve(group, state=GroupState.LEASED, expiries=0))
    leases.refresh_funds_due(run, order.id.deployment)


def _expire(run: Execution, order: Order, reason: str) -> None:
    bids.end_order(run, order, OrderState.EXPIRED, reason)
    run.emit(OrderExpired(order=order.id, reason=reason))
    group = run.ledger.group(order.id.group_id)
    expiries = group.expiries + 1
    reopen_ms = run.now_ms + lifecycle.backoff_ms(expiries, run.parameters)
    run.ledger.put_group(evolve(group, expiries=expiries, reopen_ms=reopen_ms))
