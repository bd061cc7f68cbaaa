"""What the market's messages do: bids, and a rule's own. Core looks at who may bid; the rule looks at the price."""

from __future__ import annotations

from photon_core.api.ids import Address, OrderId
from photon_core.api.market import BidStatus
from photon_core.exchange import market
from photon_core.exchange.execution import Execution
from photon_core.exchange.messages import CreateBid, MarketMessage, WithdrawBid
from photon_core.exchange.records import Order, OrderState, Provider
from photon_core.exchange.refusals import Code, Refused


def create_bid(run: Execution, sender: Address, message: CreateBid) -> None:
    provider = operated_by(run, sender)
    order = _open(run, message.order)
    group = run.ledger.group(order.id.group_id)
    offered = dict(provider.attributes)
    missing = [f"{key}={value}" for key, value in group.spec.attributes if offered.get(key) != value]
    if missing:
        raise Refused(Code.ATTRIBUTES, f"order {order.id} needs {', '.join(missing)}; the provider does not offer it")
    if group.spec.allowed_providers and provider.id not in group.spec.allowed_providers:
        raise Refused(Code.PROVIDER_NOT_ALLOWED, f"order {order.id} allows named providers only; this is none of them")
    for excluded in group.excluded:
        if excluded.provider == provider.id:
            why = excluded.reason.name.lower().replace("_", "-")
            raise Refused(Code.PROVIDER_EXCLUDED, f"the provider closed a lease of this group for {why}")
    if run.ledger.find_bid(order.id, provider.id) is not None:
        raise Refused(Code.ALREADY_BID, f"the provider has a bid on order {order.id}")
    market.offer(run, order, provider, message.price, message.payload)


def withdraw_bid(run: Execution, sender: Address, message: WithdrawBid) -> None:
    provider = operated_by(run, sender)
    order = _open(run, message.order)
    bid = run.ledger.find_bid(order.id, provider.id)
    if bid is None or bid.status is not BidStatus.OPEN:
        raise Refused(Code.NO_BID, f"the provider has no open bid on order {order.id}")
    market.withdraw(run, order, bid)


def market_message(run: Execution, sender: Address, message: MarketMessage) -> None:
    """A provider's operator speaks for the provider, as the market knows it; anybody else for himself.

    The account that a provider is named after is not its operator, and may have sold it: it must not pass for it.
    """
    provider = run.ledger.provider_by_operator(sender)
    if provider is None and run.ledger.find_provider(sender) is not None:
        raise Refused(Code.NOT_ALLOWED, "only the provider's operator speaks for it in the market")
    speaker = sender if provider is None else provider.id
    market.tell(run, _open(run, message.order), speaker, message.payload)


def operated_by(run: Execution, sender: Address) -> Provider:
    """The provider whose operator the sender is."""
    provider = run.ledger.provider_by_operator(sender)
    if provider is None:
        raise Refused(Code.NOT_A_PROVIDER, f"{sender.hex()} is no registered provider's operator")
    return provider


def _open(run: Execution, order_id: OrderId) -> Order:
    order = run.ledger.find_order(order_id)
    if order is None:
        raise Refused(Code.NOT_FOUND, f"there is no order {order_id}")
    if order.state is not OrderState.OPEN:
        raise Refused(Code.ORDER_CLOSED, f"order {order_id} is {order.state.name.lower()}, not open")
    return order
