"""What each message does: message type → handler.

A handler gets the execution, the sender's address and the message; it changes the ledger or raises `Refused`, which
undoes the whole transaction. What a message touches is asked first, so that whatever was overdue of it happens before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

from photon_core.api.ids import Address
from photon_core.exchange import messages
from photon_core.exchange.execution import Execution
from photon_core.exchange.handlers import accounts, deployments, leases, market, providers

Handler = Callable[[Execution, Address, Any], None]

HANDLERS: dict[type, Handler] = {
    messages.Transfer: accounts.transfer,
    messages.RegisterProvider: providers.register,
    messages.UpdateProvider: providers.update,
    messages.CreateDeployment: deployments.create,
    messages.UpdateDeployment: deployments.update,
    messages.CloseDeployment: deployments.close,
    messages.Deposit: deployments.deposit,
    messages.ResumeGroup: deployments.resume_group,
    messages.CreateBid: market.create_bid,
    messages.WithdrawBid: market.withdraw_bid,
    messages.MarketMessage: market.market_message,
    messages.ConfirmLeases: leases.confirm,
    messages.CloseLease: leases.close,
    messages.ConfirmClosed: leases.confirm_closed,
    messages.Withdraw: leases.withdraw,
}


def touched_deployments(message: messages.Message) -> tuple[int, ...]:
    """The deployments that a message is about."""
    match message:
        case messages.Transfer():  # most messages are, and cases are tried one after the other
            return ()
        case messages.CloseDeployment() | messages.Deposit() | messages.ResumeGroup() | messages.UpdateDeployment():
            return (message.deployment,)
        case messages.CreateBid() | messages.WithdrawBid() | messages.MarketMessage():
            return (message.order.deployment,)
        case messages.CloseLease():
            return (message.lease.deployment,)
        case messages.ConfirmClosed() | messages.Withdraw():
            return tuple(lease.deployment for lease in message.leases)
        case messages.ConfirmLeases():
            changed = tuple(change.lease.deployment for change in message.changes)
            return changed + tuple(lease.deployment for lease in message.omitted)
        case messages.CreateDeployment() | messages.RegisterProvider() | messages.UpdateProvider():
            return ()
        case _:
            assert_never(message)
