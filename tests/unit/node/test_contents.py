"""Blocks that an engine speaks of: what is missing is waited for, asked for, and never taken for something else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from photon_core.api.chain import Header
from photon_core.api.consensus import Fetch
from photon_core.api.finality import block_hash
from photon_core.api.ids import Hash
from photon_core.chain import blocks
from photon_core.chain.transactions import Transaction
from photon_core.node.contents import LINK_RETRY_MS, PATIENCE_MS, RETRY_MS, WANTED_MAX, Contents, Found
from photon_core.node.steps import FetchContent
from photon_core.testing.node import transfer

CHAIN = b"\x07" * 32
ONE, TWO, THREE = (transfer(CHAIN, sequence) for sequence in range(3))
ALICE, BOB, CAROL = b"a" * 32, b"b" * 32, b"c" * 32
NOBODY: dict[Hash, Transaction] = {}


def header(transactions: Sequence[Transaction], height: int = 1, parent: Hash = CHAIN) -> Header:
    root = blocks.transactions_root([t.id for t in transactions])
    return Header(
        height=height, time_ms=height, parent=parent, transactions_root=root, validators_hash=CHAIN, proposer=ALICE
    )


def fetch(transactions: Sequence[Transaction], *, named: bool = True, hint: bytes | None = None) -> Fetch:
    of = header(transactions)
    ids = tuple(t.id for t in transactions) if named else None
    return Fetch(header=of, block_hash=block_hash(of), transaction_ids=ids, hint=hint)


def known(*transactions: Transaction) -> dict[Hash, Transaction]:
    return {t.id: t for t in transactions}


def test_a_block_whose_transactions_all_wait_here_is_whole_at_once_and_in_its_order() -> None:
    contents, wanted = Contents(), fetch((TWO, ONE))
    assert contents.want(wanted, known(ONE, TWO).get, 0) == Found(wanted.block_hash)
    assert contents.transactions(wanted.block_hash) == (TWO, ONE)
    assert contents.due_in_ms(0) is None


def test_gossip_that_is_late_completes_it_without_a_question() -> None:
    contents, wanted = Contents(), fetch((ONE, TWO))
    assert contents.want(wanted, known(ONE).get, 0) is None
    assert contents.step([ALICE], PATIENCE_MS - 1) == []
    assert contents.gossiped([THREE]) == []
    assert contents.gossiped([TWO]) == [Found(wanted.block_hash)]
    assert contents.step([ALICE], PATIENCE_MS) == []


def test_what_is_still_missing_is_asked_for_at_the_hint_first_and_then_elsewhere() -> None:
    contents, wanted = Contents(), fetch((ONE, TWO), hint=CAROL)
    contents.want(wanted, known(ONE).get, 0)
    assert contents.due_in_ms(0) == PATIENCE_MS
    question = FetchContent(validator=CAROL, block_hash=wanted.block_hash, transaction_ids=(TWO.id,))
    assert contents.step([ALICE, BOB, CAROL], PATIENCE_MS) == [question]
    assert contents.step([ALICE, BOB, CAROL], PATIENCE_MS + RETRY_MS - 1) == []
    [again] = contents.step([ALICE, BOB, CAROL], PATIENCE_MS + RETRY_MS)
    assert again.validator != CAROL
    assert contents.answered(wanted.block_hash, [TWO], 2_000) == Found(wanted.block_hash)


def test_a_block_without_names_is_asked_for_whole_and_at_once() -> None:
    contents, wanted = Contents(), fetch((ONE, TWO), named=False)
    assert contents.want(wanted, known(ONE, TWO).get, 0) is None
    [question] = contents.step([ALICE], 0)
    assert question.transaction_ids is None
    assert contents.answered(wanted.block_hash, [ONE, TWO], 1) == Found(wanted.block_hash)


@pytest.mark.parametrize("answer", [[], [TWO, ONE], [ONE], [ONE, TWO, THREE], [ONE, ONE]], ids=len)
def test_another_blocks_transactions_are_no_answer(answer: list[Transaction]) -> None:
    contents, wanted = Contents(), fetch((ONE, TWO), named=False)
    contents.want(wanted, NOBODY.get, 0)
    contents.step([ALICE, BOB], 0)
    assert contents.answered(wanted.block_hash, answer, 5) is None
    [next_one] = contents.step([ALICE, BOB], 5)
    assert next_one.validator == BOB


def test_a_proposer_that_names_other_transactions_than_its_header_is_found_out() -> None:
    wanted = fetch((ONE, TWO))
    lie = Fetch(header=wanted.header, block_hash=wanted.block_hash, transaction_ids=(ONE.id, THREE.id))
    found = Contents().want(lie, known(ONE, TWO, THREE).get, 0)
    assert found is not None
    assert "transactions_root" in found.problem


def test_nobody_answers_and_nobody_is_linked() -> None:
    contents, wanted = Contents(), fetch((ONE,))
    contents.want(wanted, NOBODY.get, 0)
    assert contents.step([], 10_000) == []
    assert contents.answered(wanted.block_hash, None, 10_000) is None
    assert contents.transactions(wanted.block_hash) is None


def test_who_is_cut_off_does_not_ask_for_the_clock_all_the_time() -> None:
    contents, wanted = Contents(), fetch((ONE,))
    contents.want(wanted, NOBODY.get, 0)
    assert contents.step([], 10_000) == []
    assert contents.due_in_ms(10_000) == LINK_RETRY_MS
    assert contents.step([ALICE], 10_000 + LINK_RETRY_MS) != []


def test_ancestors_are_named_newest_first_as_far_as_they_are_whole() -> None:
    contents = Contents()
    first = header((ONE,))
    second = header((TWO,), 2, block_hash(first))
    third = header((THREE,), 3, block_hash(second))
    contents.keep(block_hash(first), first, (ONE,))
    contents.keep(block_hash(second), second, (TWO,))
    contents.note(block_hash(third), third)
    assert contents.ancestors_of(block_hash(second), 0) == [block_hash(second), block_hash(first)]
    assert contents.ancestors_of(block_hash(second), 1) == [block_hash(second)]
    assert contents.ancestors_of(block_hash(third), 0) is None
    assert contents.waiting_in(1) == 1


def test_what_is_final_is_forgotten_with_all_that_waited_for_it() -> None:
    contents, wanted = Contents(), fetch((ONE,))
    contents.want(wanted, NOBODY.get, 0)
    contents.drop(1)
    assert contents.gossiped([ONE]) == []
    assert contents.header(wanted.block_hash) is None
    assert contents.due_in_ms(0) is None


def test_blocks_that_nobody_has_cannot_fill_the_memory() -> None:
    contents = Contents()
    for sequence in range(WANTED_MAX + 10):
        contents.want(fetch((transfer(CHAIN, sequence),)), NOBODY.get, 0)
    assert len(contents.step([ALICE], PATIENCE_MS)) == WANTED_MAX
