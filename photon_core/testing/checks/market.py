"""The checks that every plugin of kind `market` must pass: what every market rule promises.

A rule is driven here as core drives it, by `_Desk`, which keeps the book of one order, and like core takes no decision
on trust. What the rule is for (who wins) is its own tests' matter; here is what no rule may do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from attrs import define, evolve, field

from photon_core.api.ids import Address, OrderId
from photon_core.api.market import (
    STATE_BYTES_MAX,
    Accept,
    BidOffered,
    BidStatus,
    BidView,
    BidWithdrawn,
    CloseUnmatched,
    Decision,
    Evict,
    ForfeitShare,
    Market,
    MarketContext,
    MarketEvent,
    MarketPayload,
    Match,
    OrderView,
    Refuse,
    SetBidState,
    SetPhase,
    SetState,
)
from photon_core.testing.checks.clauses import Clauses, Subject

MarketSubject = Subject[MarketContext, Market]

OPENED_MS = 1_000_000
WINDOW_MS = 30_000
MAX_PRICE = 5_000_000
DEADLINES_MAX = 20
"""An order has as many phases at most: commit, reveal and some to spare."""

market_clauses: Clauses[MarketContext, Market] = Clauses("market")


def provider(number: int) -> Address:
    return bytes([number]) * 20


def market_of(subject: MarketSubject) -> Market:
    return subject.make(MarketContext(config=None))


@define
class _Desk:
    """One order's book. `ended` is the Match or CloseUnmatched that it came to."""

    market: Market
    order: OrderView = field(
        factory=lambda: OrderView(
            id=OrderId(1, 0, 0),
            max_price=MAX_PRICE,
            collateral_uptn=1_000,
            opened_ms=OPENED_MS,
            window_ms=WINDOW_MS,
            phase="",
        )
    )
    now_ms: int = OPENED_MS
    taken: int = 0
    ended: Match | CloseUnmatched | None = None
    log: list[Decision] = field(factory=list)

    def open(self) -> _Desk:
        self.carry_out(self.market.open(self.order))
        return self

    def say(self, event: MarketEvent, at_ms: int | None = None) -> Accept | Refuse:
        """A message, and the rule's answer to it."""
        assert self.is_open, "the order has ended"
        self.now_ms = self.now_ms if at_ms is None else at_ms
        decisions = self.market.on_message(self.order, event, self.now_ms)
        answers = [decision for decision in decisions if isinstance(decision, Accept | Refuse)]
        assert len(answers) == 1, f"{len(answers)} answers to {event}; exactly one Accept or Refuse is due"
        answer = answers[0]
        if isinstance(answer, Refuse):
            assert len(decisions) == 1, f"refused {event} and decided {decisions} beside"
            assert answer.reason, f"refused {event} without a reason"
            return answer
        if isinstance(event, BidOffered):
            self._take(event, answer)
        elif isinstance(event, BidWithdrawn):
            self._drop(event.provider)
        self.carry_out(tuple(decision for decision in decisions if decision is not answer))
        return answer

    def bid(self, number: int, price: int, at_ms: int | None = None) -> Accept | Refuse:
        return self.say(BidOffered(provider=provider(number), price=price), at_ms)

    def run_out(self) -> None:
        """Every deadline comes, until the order has ended or waits for none."""
        for _ in range(DEADLINES_MAX):
            if not self.is_open or self.order.deadline_ms is None:
                return
            self.now_ms = self.order.deadline_ms
            self.order = evolve(self.order, deadline_ms=None)
            self.carry_out(self.market.on_due(self.order, self.now_ms))
            next_ms = self._deadline_ms()
            past = self.ended is None and next_ms is not None and next_ms <= self.now_ms
            assert not past, f"on_due set a deadline of {next_ms} again"
        raise AssertionError(f"the order has not ended after {DEADLINES_MAX} deadlines")

    def carry_out(self, decisions: tuple[Decision, ...]) -> None:
        for decision in decisions:
            assert self.is_open, f"{decision} after the order had ended"
            self.log.append(decision)
            match decision:
                case SetPhase():
                    assert decision.deadline_ms is None or decision.deadline_ms >= self.now_ms, f"{decision} is past"
                    assert len(decision.phase.encode()) <= 32, f"{decision}: a phase is a short word"
                    self.order = evolve(self.order, phase=decision.phase, deadline_ms=decision.deadline_ms)
                case SetState():
                    assert len(decision.state) <= STATE_BYTES_MAX, "an order's state is too large"
                    self.order = evolve(self.order, state=decision.state)
                case SetBidState():
                    assert len(decision.state) <= STATE_BYTES_MAX, "a bid's state is too large"
                    self._change(decision.provider, state=decision.state)
                case Evict():
                    self._need_open(decision.provider, decision)
                    self._drop(decision.provider)
                case ForfeitShare():
                    assert 0 <= decision.ppm <= 1_000_000, f"{decision}: more than all of a collateral"
                    self._change(decision.provider, status=BidStatus.LOST)
                case Match():
                    self._need_open(decision.provider, decision)
                    assert 0 <= decision.price <= self.order.max_price, f"{decision} above {self.order.max_price}"
                    self.ended = decision
                case CloseUnmatched():
                    self.ended = decision
                case _:
                    raise AssertionError(f"{decision!r} is no decision for here")

    @property
    def is_open(self) -> bool:
        return self.ended is None

    @property
    def open_bids(self) -> tuple[BidView, ...]:
        return tuple(bid for bid in self.order.bids if bid.status is BidStatus.OPEN)

    def _deadline_ms(self) -> int | None:
        return self.order.deadline_ms

    def _take(self, offer: BidOffered, answer: Accept) -> None:
        assert len(answer.bid_state) <= STATE_BYTES_MAX, "a bid's state is too large"
        bid = BidView(
            provider=offer.provider,
            price=offer.price,
            collateral_uptn=self.order.collateral_uptn,
            placed_ms=self.now_ms,
            serial=self.taken,
            state=answer.bid_state,
        )
        self.taken += 1
        self.order = evolve(self.order, bids=(*self.order.bids, bid))

    def _drop(self, name: Address) -> None:
        self.order = evolve(self.order, bids=tuple(bid for bid in self.order.bids if bid.provider != name))

    def _need_open(self, name: Address, decision: Decision) -> None:
        assert any(bid.provider == name for bid in self.open_bids), f"{decision}: that provider has no open bid"

    def _change(self, name: Address, **parts: object) -> None:
        assert any(bid.provider == name for bid in self.open_bids), f"{name.hex()} has no open bid"
        changed = (evolve(bid, **parts) if bid.provider == name else bid for bid in self.order.bids)  # type: ignore[arg-type]  # names of fields
        self.order = evolve(self.order, bids=tuple(changed))


def _story(desk: _Desk) -> Iterator[Accept | Refuse]:
    """Some of everything that can happen to an order, until it ends."""
    yield desk.bid(1, MAX_PRICE)
    for number, price in ((2, MAX_PRICE - 5), (3, 0), (4, MAX_PRICE - 5), (5, 17)):
        if desk.is_open:
            yield desk.bid(number, price, desk.now_ms + 10)
    if desk.is_open:
        yield desk.say(BidWithdrawn(provider=provider(3)))
    if desk.is_open:
        yield desk.say(MarketPayload(sender=provider(4), payload=b"\xff\x00nonsense"))
    if desk.is_open:
        desk.run_out()


def _same(expected: Sequence[Decision], found: Sequence[Decision], what: str) -> None:
    """AssertionError with the first place where two rows of decisions part."""
    for place, (one, other) in enumerate(zip_longest(expected, found, fillvalue="nothing more"), start=1):
        assert one == other, f"different {what}; the {place}. is {one} and {other}"


@market_clauses.clause("A new order can end: it has a deadline, or its first valid bid ends it.")
def opens_with_an_end(subject: MarketSubject) -> None:
    desk = _Desk(market_of(subject)).open()
    if desk.is_open and desk.order.deadline_ms is None:
        desk.bid(1, 1)
        assert desk.ended is not None, "no deadline was set, and a bid does not end the order"


@market_clauses.clause("An order that nobody bids on ends unmatched, if it has a deadline.")
def ends_without_bids(subject: MarketSubject) -> None:
    desk = _Desk(market_of(subject)).open()
    if desk.is_open and desk.order.deadline_ms is not None:
        desk.run_out()
        assert isinstance(desk.ended, CloseUnmatched), f"no bids, and it came to {desk.ended}"
        assert desk.ended.reason, "ended without a reason"


@market_clauses.clause("Through all that can happen to an order, every decision is one that core may carry out.")
def keeps_the_contract(subject: MarketSubject) -> None:
    desk = _Desk(market_of(subject)).open()
    for _ in _story(desk):
        pass
    for bids_max in (1, 2):
        small = _Desk(market_of(subject))
        small.order = evolve(small.order, bids_max=bids_max)
        small.open()
        for _ in _story(small):
            pass


@market_clauses.clause("Nobody wins above the order's price, also when it is the only one.")
def price_limit(subject: MarketSubject) -> None:
    desk = _Desk(market_of(subject)).open()
    desk.bid(1, MAX_PRICE + 1)
    if desk.is_open:
        desk.run_out()
    assert not isinstance(desk.ended, Match), f"{desk.ended} with a single bid of {MAX_PRICE + 1}"


@market_clauses.clause("A bid that was withdrawn cannot win.")
def withdrawn_does_not_win(subject: MarketSubject) -> None:
    desk = _Desk(market_of(subject)).open()
    desk.bid(1, 10)
    if desk.is_open and isinstance(desk.say(BidWithdrawn(provider=provider(1))), Accept):
        desk.run_out()
        assert not isinstance(desk.ended, Match), "the only bid was withdrawn, and won"


@market_clauses.clause("A bid that is not open any more cannot win, however good it was.")
def ended_bids_do_not_win(subject: MarketSubject) -> None:
    for status in (BidStatus.LOST, BidStatus.WITHDRAWN):
        desk = _Desk(market_of(subject)).open()
        desk.bid(1, 1)
        if not desk.is_open:
            continue
        desk.order = evolve(desk.order, bids=tuple(evolve(bid, status=status) for bid in desk.order.bids))
        desk.run_out()  # the desk itself refuses a Match with a bid that is not open


@market_clauses.clause("The same happenings give the same decisions, from any instance: a rule has no memory.")
def deterministic(subject: MarketSubject) -> None:
    first, second = _Desk(market_of(subject)).open(), _Desk(market_of(subject)).open()
    _same(list(_story(first)), list(_story(second)), "answers of two new instances to the same messages")
    _same(first.log, second.log, "decisions of two new instances about the same order")
    forgetful = _Desk(market_of(subject)).open()
    story = _story(forgetful)
    for _ in story:
        forgetful.market = market_of(subject)  # as after a restart: all it knows is in the order
    _same(first.log, forgetful.log, "decisions of an instance and of one made anew half-way, which shows a memory")


@market_clauses.clause("One instance serves many orders at once and mixes nothing up.")
def orders_do_not_mix(subject: MarketSubject) -> None:
    alone = _Desk(market_of(subject)).open()
    alone.bid(1, 20)
    if alone.is_open:
        alone.run_out()
    shared = market_of(subject)
    one, other = _Desk(shared).open(), _Desk(shared)
    other.order = evolve(other.order, id=OrderId(2, 0, 0))
    other.open()
    other.bid(7, 3)
    one.bid(1, 20)
    for desk in (other, one):
        if desk.is_open:
            desk.run_out()
    _same(alone.log, one.log, "decisions about an order alone and beside another order, which must not change them")


@market_clauses.clause("Any payload from anybody is answered, never raised at.")
def payloads_are_answered(subject: MarketSubject) -> None:
    for payload in (b"", b"\x00", b"\xff" * 1024, bytes(range(256)) * 4):
        desk = _Desk(market_of(subject)).open()
        if not desk.is_open:
            return
        desk.say(MarketPayload(sender=provider(9), payload=payload))
        if desk.is_open:
            desk.say(BidOffered(provider=provider(1), price=5, payload=payload))


CLAUSES = market_clauses.all
