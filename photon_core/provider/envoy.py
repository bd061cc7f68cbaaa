"""Tells the chain what the planner wants told: one message of a kind under way at a time, with back-off when refused.

The planner plans again from what it sees, so a message that is under way would be planned twice; `envoy` knows what is
on its way and drops the repetition. A refusal is not argued with: the next pass sees the new state and plans anew.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from photon_core.api.errors import PhotonError
from photon_core.api.ids import LeaseId
from photon_core.exchange import messages
from photon_core.node.account import AccountSender

from .reconcile import CloseLease, Confirm, ConfirmClosed

log = logging.getLogger(__name__)

RETRY_MS = 1_000
CONFIRM_WAIT_S = 10.0
"""Not the sender's minute: a confirmation that is not committed by then must be made anew at a newer height."""
LEASES_MAX = messages.LEASES_PER_MESSAGE_MAX


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
            case CloseLease(lease=lease, reason=reason, why=why):
                if self._may(self._closing, lease):
                    log.warning("closing lease %s: %s", lease, why)
                    self._nursery.start_soon(self._send, messages.CloseLease(lease=lease, reason=reason))
            case ConfirmClosed(leases=leases):
                ready = tuple(lease for lease in leases if self._may(self._confirming_closed, lease))[:LEASES_MAX]
                if ready:
                    self._nursery.start_soon(self._send, messages.ConfirmClosed(leases=ready))

    def withdraw(self, leases: tuple[LeaseId, ...], every_ms: int) -> None:
        """What these have earned goes to the payee, when it is time."""
        now_ms = self._now_ms()
        if leases and now_ms >= self._withdraw_not_before_ms:
            self._withdraw_not_before_ms = now_ms + every_ms
            self._nursery.start_soon(self._send, messages.Withdraw(leases=leases[:LEASES_MAX]))

    def forget(self, known: set[LeaseId]) -> None:
        for table in (self._closing, self._confirming_closed):
            for lease in [lease for lease in table if lease not in known]:
                del table[lease]

    def _may(self, table: dict[LeaseId, int], lease: LeaseId) -> bool:
        now_ms = self._now_ms()
        if now_ms < table.get(lease, 0):
            return False
        table[lease] = now_ms + RETRY_MS
        return True

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
            if await self._told(self._sender.send(message, wait_s=CONFIRM_WAIT_S), "ConfirmLeases"):
                self.confirmed_at_ms = started_ms
            else:
                self.confirm_not_before_ms = self._now_ms() + RETRY_MS
        finally:
            self._confirming = False
            self._done()

    async def _send(self, message: messages.Message) -> None:
        try:
            await self._told(self._sender.send(message), type(message).__name__)
        finally:
            self._done()

    async def _told(self, sending: Awaitable[object], what: str) -> bool:
        try:
            await sending
        except PhotonError as error:
            problem = f"{what}: {error.what}" + (f" ({error.found})" if error.found else "")
            if problem != self.last_problem:
                log.warning("the chain did not take %s", problem)
            self.last_problem = problem
            return False
        self.last_problem = ""
        return True
