"""Money between accounts."""

from __future__ import annotations

from photon_core.api.ids import Address
from photon_core.exchange.events import Transferred
from photon_core.exchange.execution import Execution
from photon_core.exchange.messages import Transfer


def transfer(run: Execution, sender: Address, message: Transfer) -> None:
    run.debit(sender, message.amount_uptn, "the transfer")
    run.credit(message.to, message.amount_uptn)
    run.emit(Transferred(sender=sender, to=message.to, amount_uptn=message.amount_uptn))
