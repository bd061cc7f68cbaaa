"""The kit for markets finds each fault that it is there to find, and lets a good rule through."""

import re
from collections.abc import Callable

import pytest

from photon_core.api.market import (
    Accept,
    BidOffered,
    BidWithdrawn,
    CloseUnmatched,
    Decision,
    Market,
    MarketContext,
    MarketEvent,
    MarketProvider,
    Match,
    OrderView,
    Refuse,
    SetPhase,
    SetState,
)
from photon_core.testing.checks.clauses import Subject, run_clause
from photon_core.testing.checks.market import CLAUSES
from photon_core.testing.exchange import LowestPrice


def subject_of(make: Callable[[], object]) -> Subject[MarketContext, Market]:
    def factory(context: MarketContext) -> LowestPrice:
        made = make()
        assert isinstance(made, LowestPrice)
        return made

    record = MarketProvider(name="x", summary="x", factory=factory)
    return Subject(full_name="market_x", record=record, config=None)


def broken_clauses(make: Callable[[], object]) -> set[str]:
    broken = set()
    for clause in CLAUSES:
        try:
            run_clause(clause, subject_of(make))
        except Exception:  # noqa: BLE001  # however it shows
            broken.add(clause.id.removeprefix("market."))
    return broken


class Endless(LowestPrice):
    def open(self, order: OrderView) -> tuple[Decision, ...]:
        return ()


class TakesAnyPrice(LowestPrice):
    def on_message(self, order: OrderView, event: MarketEvent, now_ms: int) -> tuple[Decision, ...]:
        return (Accept(),)


class PrefersTheFirst(LowestPrice):
    """Also when the first was withdrawn or lost."""

    def on_due(self, order: OrderView, now_ms: int) -> tuple[Decision, ...]:
        if not order.bids:
            return (CloseUnmatched(reason="none"),)
        return (Match(provider=order.bids[0].provider, price=order.bids[0].price),)


class Remembers(LowestPrice):
    def __init__(self) -> None:
        self.offers = 0

    def on_message(self, order: OrderView, event: MarketEvent, now_ms: int) -> tuple[Decision, ...]:
        self.offers += 1
        return (Accept(), SetState(state=bytes([self.offers])))


class Moody(LowestPrice):
    """Each instance has a number of its own."""

    made = 0

    def __init__(self) -> None:
        Moody.made += 1
        self.number = Moody.made

    def on_message(self, order: OrderView, event: MarketEvent, now_ms: int) -> tuple[Decision, ...]:
        return (Refuse(reason=f"number {self.number} is in no mood"),)


class TwoAnswers(LowestPrice):
    def on_message(self, order: OrderView, event: MarketEvent, now_ms: int) -> tuple[Decision, ...]:
        return (Accept(), Refuse(reason="or not"))


class RaisesAtPayloads(LowestPrice):
    def on_message(self, order: OrderView, event: MarketEvent, now_ms: int) -> tuple[Decision, ...]:
        if isinstance(event, BidOffered | BidWithdrawn):
            return super().on_message(order, event, now_ms)
        raise ValueError(event)


class NeverDone(LowestPrice):
    def on_due(self, order: OrderView, now_ms: int) -> tuple[Decision, ...]:
        return (SetPhase(phase="again", deadline_ms=now_ms),)


def test_a_good_rule_is_let_through() -> None:
    assert broken_clauses(LowestPrice) == set()


@pytest.mark.parametrize(
    ("rule", "clause"),
    [
        (Endless, "opens_with_an_end"),
        (TakesAnyPrice, "price_limit"),
        (PrefersTheFirst, "ended_bids_do_not_win"),
        (Remembers, "deterministic"),
        (TwoAnswers, "keeps_the_contract"),
        (RaisesAtPayloads, "payloads_are_answered"),
        (NeverDone, "ends_without_bids"),
    ],
)
def test_each_fault_is_found_by_the_clause_for_it(rule: type[LowestPrice], clause: str) -> None:
    assert clause in broken_clauses(rule)


@pytest.mark.parametrize("rule", [Remembers, Moody])
def test_rule_that_is_not_deterministic_is_told_what_differed(rule: type[LowestPrice]) -> None:
    told = {}
    for clause in CLAUSES:
        try:
            run_clause(clause, subject_of(rule))
        except AssertionError as error:
            told[clause.id] = str(error)
    assert re.match(r"different .* the \d+\. is .* and .*", told["market.deterministic"])
    assert all(told.values())
