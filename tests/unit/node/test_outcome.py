"""What the receipts root covers, and that the store gets the outcome itself."""

from __future__ import annotations

from attrs import evolve

from photon_core.api.codec import encode_record
from photon_core.api.ids import Hash
from photon_core.exchange.events import Event, Outcome, ProviderChanged, Receipt, Transferred
from photon_core.node.outcome import BlockOutcome, encode_outcome

REFUSED = Receipt(
    transaction_id=b"\x01" * 32, outcome=Outcome.FAILED, fee_uptn=5, code="not-found", reason="no lease 7", message=0
)
DONE = Receipt(
    transaction_id=b"\x02" * 32,
    outcome=Outcome.DONE,
    fee_uptn=5,
    events=(Transferred(sender=b"\x03" * 20, to=b"\x04" * 20, amount_uptn=2**40),),
)
BEGUN = ProviderChanged(provider=b"\x05" * 20)


def outcome(*receipts: Receipt, begin_events: tuple[Event, ...] = ()) -> BlockOutcome:
    return BlockOutcome(market_ms=1_000, begin_events=begin_events, receipts=receipts)


def root(*receipts: Receipt, begin_events: tuple[Event, ...] = ()) -> Hash:
    return encode_outcome(outcome(*receipts, begin_events=begin_events)).receipts_root


def test_a_refusal_may_be_worded_better_without_forking_the_chain() -> None:
    reworded = evolve(REFUSED, reason="there is no lease 7/0/0")
    assert root(reworded) == root(REFUSED) == root(evolve(REFUSED, reason=""))


def test_everything_else_of_a_receipt_is_covered() -> None:
    others = [{"code": "x"}, {"message": 1}, {"fee_uptn": 6}, {"outcome": Outcome.VOID}, {"transaction_id": bytes(32)}]
    roots = {root(evolve(REFUSED, **change)) for change in others}
    assert len(roots | {root(REFUSED)}) == len(others) + 1


def test_what_fell_due_is_covered_and_the_order_of_receipts() -> None:
    roots = {root(REFUSED, DONE), root(DONE, REFUSED), root(DONE), root(), root(DONE, begin_events=(BEGUN,))}
    assert len(roots) == 5


def test_the_store_gets_the_record_reasons_and_all() -> None:
    for one in (
        outcome(),
        outcome(REFUSED, DONE, begin_events=(BEGUN, BEGUN)),
        outcome(*[REFUSED, DONE] * 300),
    ):
        assert encode_outcome(one).data == encode_record(one)
