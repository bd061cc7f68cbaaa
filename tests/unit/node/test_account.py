"""An account that sends several transactions at once, to a node that commits them when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count

import pytest
import trio
import trio.testing

from photon_core.api.ids import Address
from photon_core.chain.transactions import Transaction, decode_transaction
from photon_core.exchange.events import Outcome, Receipt
from photon_core.exchange.messages import Transfer
from photon_core.exchange.records import Account
from photon_core.node.account import AccountSender, TransactionRefused
from photon_core.node.mempool import Mempool, Standing
from photon_core.node.views import Submitted
from photon_core.testing.fakes.chain import FakeChain
from photon_core.testing.node import RICH as KEY


class SlowChain(FakeChain):
    """With a mempool, and blocks only by `commit`."""

    def __init__(self) -> None:
        super().__init__()
        self.mempool = Mempool()
        self.sequence = 0
        self._done: dict[bytes, Submitted] = {}
        self._news = trio.Event()

    async def account(self, address: Address) -> Account:
        return Account(balance_uptn=10**12, sequence=self.sequence)

    async def submit(self, transactions: Sequence[bytes], *, wait_s: float = 0.0) -> tuple[Submitted, ...]:
        (raw,) = transactions
        given = decode_transaction(raw, self.chain_id)
        if given.id not in self._done:
            refusal = self.mempool.add(given, self.standing, 0)
            if refusal is not None:
                return (Submitted(id=given.id, status="refused", code=refusal.code, reason=refusal.reason),)
        with trio.move_on_after(wait_s):
            while given.id not in self._done:
                await self._news.wait()
        return (self._done.get(given.id, Submitted(id=given.id, status="pending")),)

    @property
    def standing(self) -> Standing:
        return Standing(sequence=self.sequence, balance_uptn=10**12)

    @property
    def waiting(self) -> tuple[Transaction, ...]:
        return tuple(self.mempool.waiting())

    def commit(self) -> None:
        block = self.waiting
        self.sequence += len(block)
        self.mempool.settle(block, lambda _sender: self.standing)
        for transaction in block:
            receipt = Receipt(transaction_id=transaction.id, outcome=Outcome.DONE, fee_uptn=transaction.fee_uptn)
            done = Submitted(id=transaction.id, status="committed", height=1, receipt=receipt)
            self._done[transaction.id] = done
        self._news.set()
        self._news = trio.Event()


MESSAGE = Transfer(to=bytes(20), amount_uptn=1)


@pytest.fixture
async def chain(autojump_clock: trio.testing.MockClock) -> SlowChain:
    return SlowChain()


async def together(chain: SlowChain, *sends: Callable[[], object]) -> None:
    async with trio.open_nursery() as nursery:
        for send in sends:
            nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert len(chain.waiting) >= len(sends), "none waits for another one's block"
        chain.commit()


async def test_sends_do_not_wait_for_each_others_blocks(chain: SlowChain) -> None:
    sender = AccountSender(chain, KEY)
    await together(chain, *[lambda: sender.send(MESSAGE)] * 3)
    assert chain.sequence == 3
    await together(chain, lambda: sender.send(MESSAGE))


async def test_sequence_that_somebody_else_used_is_left_to_it(chain: SlowChain) -> None:
    one, other = AccountSender(chain, KEY), AccountSender(chain, KEY)
    theirs = Transfer(to=bytes(20), amount_uptn=2)
    await together(chain, lambda: one.send(MESSAGE), lambda: other.send(theirs))
    assert chain.sequence == 2


async def test_same_message_of_two_processes_is_done_twice(chain: SlowChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.randbelow", partial(next, count()))
    one, other = AccountSender(chain, KEY), AccountSender(chain, KEY)
    await together(chain, lambda: one.send(MESSAGE), lambda: other.send(MESSAGE))
    assert chain.sequence == 2


async def test_new_process_gets_behind_what_the_one_before_left_waiting(chain: SlowChain) -> None:
    before = AccountSender(chain, KEY)
    for _ in range(8):
        with pytest.raises(Exception, match="no certificate yet"):
            await before.send(MESSAGE, wait_s=1)
    other = Transfer(to=bytes(20), amount_uptn=3)  # equal bytes would be one of those that wait, 1 time in 256
    await together(chain, lambda: AccountSender(chain, KEY).send(other))
    assert chain.sequence == 9


async def test_after_the_node_lost_what_waited_the_chain_is_asked_anew(chain: SlowChain) -> None:
    sender = AccountSender(chain, KEY)
    with pytest.raises(Exception, match="no certificate yet"):
        await sender.send(MESSAGE, wait_s=1)
    chain.mempool = Mempool()
    await together(chain, lambda: sender.send(MESSAGE))
    assert chain.sequence == 1


async def test_gap_behind_what_still_waits(chain: SlowChain) -> None:
    sender = AccountSender(chain, KEY)
    for _ in range(2):
        with pytest.raises(Exception, match="no certificate yet"):
            await sender.send(MESSAGE, wait_s=1)
    first, chain.mempool = chain.waiting[0], Mempool()
    chain.mempool.add(first, chain.standing, 0)
    third = Transfer(to=bytes(20), amount_uptn=3)
    await together(chain, lambda: sender.send(third))
    assert chain.sequence == 2


async def test_refusal_costs_no_sequence(chain: SlowChain) -> None:
    sender = AccountSender(chain, KEY, fee_uptn=10**13)
    with pytest.raises(TransactionRefused, match="fees"):
        await sender.send(MESSAGE)
    await together(chain, lambda: AccountSender(chain, KEY).send(MESSAGE))


@pytest.mark.parametrize(("outcome", "fee_uptn"), [(Outcome.FAILED, 1_234), (Outcome.VOID, 0)])
async def test_what_a_failure_has_cost_is_told(chain: SlowChain, outcome: Outcome, fee_uptn: int) -> None:
    async def submit(transactions: Sequence[bytes], *, wait_s: float = 0.0) -> tuple[Submitted, ...]:
        name = decode_transaction(transactions[0], chain.chain_id).id
        receipt = Receipt(transaction_id=name, outcome=outcome, fee_uptn=fee_uptn, code="poor", reason="too poor")
        return (Submitted(id=name, status="committed", height=1, receipt=receipt),)

    chain.submit = submit  # type: ignore[method-assign]  # this one call is answered otherwise
    with pytest.raises(TransactionRefused, match="too poor") as caught:
        await AccountSender(chain, KEY).send(MESSAGE)
    assert ("its fee of 1234 uptn was paid" in caught.value.what) is (outcome is Outcome.FAILED)
