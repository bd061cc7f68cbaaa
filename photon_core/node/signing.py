"""The way from a node's core to its signer: in order, and all that waits with one write and one sync.

While the signer's start-up rule has not spoken, requests wait here instead of being refused: it speaks as soon as a
quorum of validators can be reached, and without a quorum no vote is of use.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define, field

from photon_core.api.chain import StatementSignature
from photon_core.api.consensus import Claim
from photon_core.api.finality import statement_message

from . import steps
from .signer import Abstaining, Answer, Signer, SignRequest, SlotTaken, engine_slot, statement_slot
from .verifier import Verifier
from .worker import Worker

WAITING_MAX = 1_000
"""Requests of one batch at most, and while the signer asks others: an engine's window has a few for each height and
round, so this is a loop and no protocol."""

_Request = steps.SignSlot | steps.SignStatement


@define
class Signing:
    """What is signed here needs no verification when others send it back."""

    signer: Signer
    verifier: Verifier
    done: Callable[[steps.Input], None]
    _settled: trio.Event = field(factory=trio.Event)
    _worker: Worker[_Request] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._worker = Worker(self._sign)

    async def run(self) -> None:
        await self._settled.wait()
        await self._worker.run()

    def settled(self) -> None:
        """The start-up rule has spoken."""
        self._settled.set()

    def begin(self, effect: _Request) -> None:
        if len(self._worker) >= WAITING_MAX:
            self.done(_refused(effect, "too many signatures are waited for", abstains=True))
        else:
            self._worker.put(effect)

    @property
    def state(self) -> str:
        """For people: signing, asking, or silent and why."""
        if not self._settled.is_set():
            return "asking the other validators what they have seen of this key"
        return self.signer.silence or "signing"

    async def _sign(self, batch: list[_Request]) -> None:
        requests = [_request(effect) for effect in batch]
        answers = await trio.to_thread.run_sync(self.signer.sign_all, requests)
        for effect, request, answer in zip(batch, requests, answers, strict=True):
            if isinstance(answer, bytes):
                self.verifier.trust(Claim(self.signer.public, request.message, answer))
            self.done(self._result(effect, answer))

    def _result(self, effect: _Request, answer: Answer) -> steps.Input:
        match effect, answer:
            case _, SlotTaken() | Abstaining():
                return _refused(effect, str(answer), abstains=isinstance(answer, Abstaining))
            case steps.SignSlot(slot=slot), bytes():
                return steps.SlotSigned(slot=slot, signature=answer)
            case steps.SignStatement(statement=statement), bytes():
                signature = StatementSignature(validator=self.signer.public, signature=answer)
                return steps.StatementSigned(statement=statement, signature=signature)
        raise AssertionError(f"{type(effect).__name__} answered by {type(answer).__name__}")


def _request(effect: _Request) -> SignRequest:
    match effect:
        case steps.SignSlot(slot=slot, message=message, round_floor=floor):
            return SignRequest(engine_slot(slot), message, floor)
        case steps.SignStatement(statement=statement):
            return SignRequest(statement_slot(statement.height), statement_message(statement))


def _refused(effect: _Request, reason: str, *, abstains: bool) -> steps.Input:
    match effect:
        case steps.SignSlot(slot=slot):
            return steps.SlotRefused(slot=slot, reason=reason)
        case steps.SignStatement(statement=statement):
            return steps.SigningRefused(height=statement.height, reason=reason, abstains=abstains)
