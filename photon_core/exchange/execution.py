"""What every handler and every due event works with: the ledger, the instant that counts, and what happened so far."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from photon_core.api.ids import Address
from photon_core.api.market import Market
from photon_core.exchange.events import Event
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.refusals import Code, Refused
from photon_core.exchange.schedule import Schedule
from photon_core.exchange.state import Ledger


@define(kw_only=True)
class Execution:
    """`now_ms` is market time: the block's for a transaction, its own due time for an event.

    `market_at` gives the market of the rule that was in force at a height: an order ends under what it began under.
    `payee` is where the fees of this block go. `overdue_left`: see `due.fire_overdue`.
    """

    ledger: Ledger
    schedule: Schedule
    parameters: Parameters
    market_at: Callable[[int], Market]
    height: int
    payee: Address
    overdue_left: int
    now_ms: int
    events: list[Event] = field(factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def credit(self, address: Address, amount_uptn: int) -> None:
        """Money that has already left its place arrives here."""
        assert amount_uptn >= 0
        if amount_uptn:
            account = self.ledger.account(address)
            self.ledger.put_account(address, account.with_balance(account.balance_uptn + amount_uptn))

    def debit(self, address: Address, amount_uptn: int, purpose: str) -> None:
        """Takes money from a balance, or refuses with both values; `purpose` says what it is needed for."""
        assert amount_uptn >= 0
        account = self.ledger.account(address)
        if account.balance_uptn < amount_uptn:
            raise Refused(
                Code.INSUFFICIENT_FUNDS,
                f"the account has {account.balance_uptn} uptn, {purpose} needs {amount_uptn} uptn",
            )
        self.ledger.put_account(address, account.with_balance(account.balance_uptn - amount_uptn))
