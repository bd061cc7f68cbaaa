"""What the receipts root covers."""

from attrs import evolve

from photon_core.exchange.events import Outcome, Receipt
from photon_core.node.executor import receipts_root

RECEIPT = Receipt(
    transaction_id=b"\x01" * 32, outcome=Outcome.FAILED, fee_uptn=5, code="not-found", reason="no lease 7", message=0
)


def test_a_refusal_may_be_worded_better_without_forking_the_chain() -> None:
    reworded = evolve(RECEIPT, reason="there is no lease 7/0/0")
    assert receipts_root((), [reworded]) == receipts_root((), [RECEIPT])


def test_everything_else_of_a_receipt_is_covered() -> None:
    others = [{"code": "x"}, {"message": 1}, {"fee_uptn": 6}, {"outcome": Outcome.VOID}, {"transaction_id": bytes(32)}]
    roots = {receipts_root((), [evolve(RECEIPT, **change)]) for change in others}
    assert len(roots | {receipts_root((), [RECEIPT])}) == len(others) + 1
