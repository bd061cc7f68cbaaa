"""When a block is wanted: at once on an idle chain, gathered on a busy one; and when somebody is left out."""

from __future__ import annotations

from attrs import evolve

from photon_core.api.chain import Block
from photon_core.node import steps
from photon_core.node.work import GATHER_MS, GATHERED_ENOUGH, IGNORED_BLOCKS, Work
from photon_core.testing.exchange import GENESIS_TIME_MS
from photon_core.testing.node import VALIDATOR, SimulatedNode, node_genesis, transfer

GENESIS = node_genesis()


def now(ms: int) -> steps.Now:
    return steps.Now(unix_ms=GENESIS_TIME_MS + ms, monotonic_ms=ms)


def node() -> tuple[SimulatedNode, Work]:
    made = SimulatedNode(b"\x01" * 32, GENESIS, VALIDATOR)
    made.start(now(0))
    core = made.core
    return made, Work(core.mempool, core.executor, core.pipeline, core.ordering, core.heartbeat_ms)


def submit(to: SimulatedNode, *sequences: int, ms: int) -> None:
    transactions = tuple(transfer(to.chain_id, sequence) for sequence in sequences)
    to.handle(steps.TransactionsArrived(transactions=transactions), now(ms))


def test_an_idle_chain_waits_for_its_heartbeat_and_not_longer() -> None:
    _, work = node()
    assert work.due_in_ms(now(0)) == work.heartbeat_ms
    assert work.due_in_ms(now(work.heartbeat_ms + 7)) == -7


def test_behind_a_block_on_its_way_transactions_gather_for_a_moment() -> None:
    made, work = node()
    submit(made, 0, ms=100)  # a block is built of it at once
    assert work.due_in_ms(now(100)) == work.heartbeat_ms
    submit(made, 1, ms=105)
    assert work.due_in_ms(now(105)) == GATHER_MS - 5
    assert work.due_in_ms(now(100 + GATHER_MS)) == 0


def test_enough_of_them_make_the_next_block_at_once() -> None:
    made, work = node()
    submit(made, 0, ms=100)
    submit(made, *range(1, GATHERED_ENOUGH + 1), ms=101)
    assert work.due_in_ms(now(101)) == 0


def _pass(made: SimulatedNode, work: Work, count: int, size: int = 0) -> list[bool]:
    block = Block(header=evolve(made.core.pipeline.head.header), transactions=(b"x" * 1024,) * size)
    return [work.published(evolve(block, header=evolve(block.header, height=height))) for height in range(1, count + 1)]


def test_a_transaction_that_blocks_with_room_leave_out_for_long_is_said_to_be_ignored_once() -> None:
    made, work = node()
    waiting = made.core.executor.standing_of(transfer(made.chain_id, 0).sender)
    made.core.mempool.add(transfer(made.chain_id, 0), waiting, 0)
    said = _pass(made, work, IGNORED_BLOCKS + 5)
    assert said == [False] * (IGNORED_BLOCKS - 1) + [True] + [False] * 5


def test_full_blocks_ignore_nobody_and_an_empty_mempool_is_not_ignored() -> None:
    made, work = node()
    assert not any(_pass(made, work, IGNORED_BLOCKS + 1))
    transaction = transfer(made.chain_id, 0)
    made.core.mempool.add(transaction, made.core.executor.standing_of(transaction.sender), 0)
    assert not any(_pass(made, work, IGNORED_BLOCKS + 1, size=1_100))
