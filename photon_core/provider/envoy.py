"""Tells the chain what the planner wants told: one message of a kind under way at a time, with back-off when refused.

The planner plans again from what it sees, so a message that is under way would be planned twice; `envoy` knows what is
on its way and drops the repetition. A refusal is not argued with: the next pass sees the new state and plans anew. One
that says that the chain has work of its own to finish first is none: the same goes out again for the next block.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from functools import partial

import trio

from photon_core.api.errors import PhotonError
from photon_core.api.ids import LeaseId
from photon_core.exchange import messages
from photon_core.exchange.records import LeaseStatus
from photon_core.node.account import AccountSender, TransactionRefused

from .reconcile import CloseLease, Confirm, ConfirmClosed

log = logging.getLogger(__name__)

RETRY_MS = 1_000
AGAIN_MS = 200
"""A block's time where blocks come fastest: asked sooner, the chain would say the same."""
CONFIRM_WAIT_S = 10.0
"""Not the sender's minute: a confirmation that is not committed by then must be made anew at a newer height."""
UNDER_WAY = 2**63
"""In place of the time from which the same may be sent again: later than any."""
LEASES_MAX = messages.LEASES_PER_MESSAGE_MAX


class Answer(Enum):
    TAKEN = auto()
    AGAIN = auto()
    REFUSED = auto()


class Envoy:
    def __init__(
        self, sender: AccountSender, nursery: trio.Nursery, now_ms: Callable[[], int], done: Callable[[], None]
    ) -> None:
        self._sender, self._nursery, self._now_ms, self._done = sender, nursery, now_ms, done
        self.confirmed_at_ms = 0
        self.confirm_not_before_ms = 0
        self.last_problem = ""
        self._confirming = False
        self._closing: dict[LeaseId, int] = {}
        self._confirming_closed: dict[LeaseId, int] = {}
        self._withdraw_not_before_ms = 0

    def begin(self, action: Confirm | ConfirmClosed | CloseLease) -> None:
        """Starts to send and returns; nothing when the same is under way or was refused a moment ago."""
        match action:
            case Confirm():
                self._begin_confirm(action)
            case CloseLease(lease=lease, why=why):
                if self._may(self._closing, lease):
                    log.warning("closing lease %s: %s", lease, why)
                    over = partial(self._over, self._closing, (lease,))
                    self._nursery.start_soon(self._send, _closing(action), over)
            case ConfirmClosed(leases=leases):
                ready = tuple(lease for lease in leases if self._may(self._confirming_closed, lease))[:LEASES_MAX]
                if ready:
                    closed = messages.ConfirmClosed(leases=ready)
                    over = partial(self._over, self._confirming_closed, ready)
                    self._nursery.start_soon(self._send, (closed,), over)

    def withdraw(self, leases: tuple[LeaseId, ...], every_ms: int) -> None:
        """What these have earned goes to the payee, when it is time."""
        now_ms = self._now_ms()
        if leases and now_ms >= self._withdraw_not_before_ms:
            self._withdraw_not_before_ms = now_ms + every_ms
            message = messages.Withdraw(leases=leases[:LEASES_MAX])
            self._nursery.start_soon(self._send, (message,), self._withdrawn)

    def forget(self, known: set[LeaseId]) -> None:
        for table in (self._closing, self._confirming_closed):
            for lease in [lease for lease in table if lease not in known]:
                del table[lease]

    def _may(self, table: dict[LeaseId, int], lease: LeaseId) -> bool:
        if self._now_ms() < table.get(lease, 0):
            return False
        table[lease] = UNDER_WAY  # until `_over`: blocks may be slow, and each repetition would cost a fee
        return True

    def _over(self, table: dict[LeaseId, int], leases: tuple[LeaseId, ...], answer: Answer) -> None:
        pause_ms = AGAIN_MS if answer is Answer.AGAIN else RETRY_MS
        for lease in leases:
            if lease in table:
                table[lease] = self._now_ms() + pause_ms

    def _withdrawn(self, answer: Answer) -> None:
        if answer is Answer.AGAIN:
            self._withdraw_not_before_ms = self._now_ms() + AGAIN_MS

    def _begin_confirm(self, action: Confirm) -> None:
        if not self._confirming:
            self._confirming = True
            self._nursery.start_soon(self._confirm, action)

    async def _confirm(self, action: Confirm) -> None:
        message = messages.ConfirmLeases(
            height=action.height, changes=action.changes[:LEASES_MAX], omitted=action.omitted[:LEASES_MAX]
        )
        started_ms = self._now_ms()
        try:
            match await self._told(self._sender.send(message, wait_s=CONFIRM_WAIT_S), "ConfirmLeases"):
                case Answer.TAKEN:
                    self.confirmed_at_ms = started_ms
                case Answer.AGAIN:
                    self.confirm_not_before_ms = self._now_ms() + AGAIN_MS
                case Answer.REFUSED:
                    self.confirm_not_before_ms = self._now_ms() + RETRY_MS
        finally:
            self._confirming = False
            self._done()

    async def _send(self, together: tuple[messages.Message, ...], over: Callable[[Answer], None]) -> None:
        """`together`: in one transaction; `over` lets a later pass send the same again."""
        try:
            over(await self._told(self._sender.send(*together), type(together[-1]).__name__))
        finally:
            self._done()

    async def _told(self, sending: Awaitable[object], what: str) -> Answer:
        try:
            await sending
        except PhotonError as error:
            if isinstance(error, TransactionRefused) and error.passes:
                log.info("%s goes out again for the next block: %s", what, error.what)
                return Answer.AGAIN
            problem = f"{what}: {error.what}" + (f" ({error.found})" if error.found else "")
            if problem != self.last_problem:
                log.warning("the chain did not take %s", problem)
            self.last_problem = problem
            return Answer.REFUSED
        self.last_problem = ""
        return Answer.TAKEN


def _closing(action: CloseLease) -> tuple[messages.Message, ...]:
    """The lease's last status goes ahead of a fault: its reason stays on chain, where the tenant finds it, while the
    agent forgets the lease.
    """
    close = messages.CloseLease(lease=action.lease, reason=action.reason)
    if action.reason is not messages.ProviderCloseReason.FAULT:
        return (close,)
    fault = messages.StatusChange(lease=action.lease, status=LeaseStatus.WORKLOAD_FAULT, reason=action.why)
    return messages.ConfirmLeases(height=action.height, changes=(fault,)), close
