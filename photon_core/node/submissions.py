"""Transactions that clients submit: form, signature, mempool, and if they wait for it, the block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

import trio
from attrs import define, field

from photon_core.api.errors import CodecError
from photon_core.api.ids import Hash
from photon_core.chain.transactions import Transaction
from photon_core.exchange.events import Receipt

from . import steps
from .archive import Archive
from .core import NodeCore
from .feed import Feed
from .inputs import Inputs, Urgency
from .mempool import Refusal
from .recent import RecentBytes
from .verifier import Verifier
from .views import Submitted

REASON_LENGTH_MAX = 400


@define
class _Ticket:
    answered: trio.Event = field(factory=trio.Event)
    refusals: tuple[Refusal | None, ...] = ()


@define
class Submissions:
    core: NodeCore
    archive: Archive
    feed: Feed
    verifier: Verifier
    inputs: Inputs
    recent: RecentBytes
    _numbers: count[int] = field(factory=count)
    _tickets: dict[int, _Ticket] = field(factory=dict)

    async def submit(self, raw: Sequence[bytes], wait_s: float) -> tuple[Submitted, ...]:
        """One answer for each, in order, once all are committed or the time is over."""
        deadline = trio.current_time() + wait_s
        answers: list[Submitted | None] = [None] * len(raw)
        signed = await self._verified(raw, answers)
        refusals = await self._admit([t for _, t in signed]) if signed else ()
        for (index, t), refusal in zip(signed, refusals, strict=True):
            if refusal is not None and not self.core.is_waiting(t.id):
                answers[index] = await self._committed(t.id) or _refused(t.id, refusal)
        waiting = [(index, t.id) for index, t in signed if answers[index] is None]
        await self.feed.wait_outcomes([name for _, name in waiting], deadline - trio.current_time())
        for index, name in waiting:
            answers[index] = _outcome(name, self.feed.outcome(name))
        return tuple(answer for answer in answers if answer is not None)

    def answer(self, effect: steps.Answer) -> None:
        ticket = self._tickets.get(effect.ticket)
        if ticket is not None:  # else the client has left
            ticket.refusals = effect.refusals
            ticket.answered.set()

    async def _verified(self, raw: Iterable[bytes], answers: list[Submitted | None]) -> list[tuple[int, Transaction]]:
        """Those that are right in form and signature, with their places; the others are answered."""
        well_formed: list[tuple[int, Transaction]] = []
        for index, one in enumerate(raw):
            try:
                well_formed.append((index, self.recent.read(one)))
            except CodecError as error:
                answers[index] = _refused(bytes(32), Refusal("malformed", str(error)[:REASON_LENGTH_MAX]))
        signed = []
        good = await self.verifier.transactions([t for _, t in well_formed])
        for (index, t), valid in zip(well_formed, good, strict=True):
            if valid:
                signed.append((index, t))
            else:
                answers[index] = _refused(t.id, Refusal("bad-signature", "the signature is not the sender key's"))
        self.recent.add([t for _, t in signed])
        return signed

    async def _admit(self, transactions: Sequence[Transaction]) -> tuple[Refusal | None, ...]:
        number, ticket = next(self._numbers), _Ticket()
        await self.inputs.room(Urgency.TRANSACTIONS)
        self._tickets[number] = ticket
        try:
            event = steps.TransactionsArrived(transactions=tuple(transactions), ticket=number)
            self.inputs.put(event, Urgency.TRANSACTIONS)
            await ticket.answered.wait()
        finally:
            del self._tickets[number]
        return ticket.refusals

    async def _committed(self, transaction_id: Hash) -> Submitted | None:
        """A transaction that is in a block already is not refused for its old sequence when it is sent again."""
        done = self.feed.outcome(transaction_id)
        if done is None:
            done = await trio.to_thread.run_sync(self.archive.outcome, transaction_id)
        return None if done is None else _outcome(transaction_id, done)


def _outcome(transaction_id: Hash, done: tuple[int, Receipt] | None) -> Submitted:
    if done is None:
        return Submitted(id=transaction_id, status="pending", height=None, receipt=None)
    return Submitted(id=transaction_id, status="committed", height=done[0], receipt=done[1])


def _refused(transaction_id: Hash, refusal: Refusal) -> Submitted:
    return Submitted(
        id=transaction_id, status="refused", code=refusal.code, reason=refusal.reason, height=None, receipt=None
    )
