"""Asking providers why they did not bid: attributes are on chain, room and price are known to each agent only.

Needs no key: what is asked about is an order, which is public. Asked side by side and bounded in number and time, since
a provider that is away must not keep the others' answers from whoever waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import trio
from attrs import frozen

from photon_core.api.errors import PhotonError
from photon_core.api.ids import Address, OrderId
from photon_core.exchange.records import Provider
from photon_core.peers.methods import Decision, DecisionRequest, Method, Verdict

from .links import STATUS_LINK_TIMEOUT_S, ProviderLinks

PROVIDERS_ASKED_MAX = 16
"""More links at once than a person reads answers of."""
PATIENCE_S = 5.0


@frozen(kw_only=True)
class Answer:
    """`decision` None: there was no answer, `says` tells why."""

    provider: Address
    decision: Decision | None
    says: str


async def ask_decisions(links: ProviderLinks, order: OrderId, providers: Sequence[Provider]) -> tuple[Answer, ...]:
    """One answer for each of the first PROVIDERS_ASKED_MAX, in their order. Raises nothing for a silent provider."""
    asked = providers[:PROVIDERS_ASKED_MAX]
    answers: dict[Address, Answer] = {}

    async def ask(provider: Provider) -> None:
        decision, says = None, f"no answer within {PATIENCE_S:g} s"
        with trio.move_on_after(PATIENCE_S):
            try:
                async with links.to(provider, STATUS_LINK_TIMEOUT_S) as link:
                    decision = await link.call(Method.DECISION, DecisionRequest(order=order), Decision)
                says = words(decision)
            except PhotonError as error:
                says = error.what
        answers[provider.id] = Answer(provider=provider.id, decision=decision, says=says)

    async with trio.open_nursery() as nursery:
        for provider in asked:
            nursery.start_soon(ask, provider)
    return tuple(answers[provider.id] for provider in asked)


def words(decision: Decision) -> str:
    match decision.verdict:
        case Verdict.NO_BID:
            return f"{decision.why}: {decision.reason}"
        case Verdict.BID:
            return "has bid"
        case Verdict.UNKNOWN:
            return "has not looked at this order yet"


def refusals(answers: Iterable[Answer]) -> tuple[str, ...]:
    """What those say that did not bid; the same words once."""
    told = [a.says for a in answers if a.decision is not None and a.decision.verdict is Verdict.NO_BID]
    return tuple(dict.fromkeys(told))
