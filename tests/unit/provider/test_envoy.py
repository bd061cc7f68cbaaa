"""What the agent tells the chain: once, bounded, again when it was refused, and never in the way of anything else."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from photon_core.api.errors import PhotonError
from photon_core.api.ids import LeaseId
from photon_core.exchange import messages
from photon_core.exchange.messages import ProviderCloseReason
from photon_core.exchange.records import LeaseStatus
from photon_core.node.account import TransactionRefused
from photon_core.provider import envoy as envoy_module
from photon_core.provider.envoy import AGAIN_MS, RETRY_MS, Envoy
from photon_core.provider.reconcile import CloseLease, Confirm, ConfirmClosed

LEASE, OTHER = LeaseId(1, 0, 0), LeaseId(2, 0, 0)


class Sender:
    """Takes transactions; `sent` is the last message of each.

    `gate` keeps them under way, `refuse_with` is what the chain says of the next.
    """

    def __init__(self):
        self.sent, self.transactions, self.waits_s, self.refuse_with = [], [], [], []
        self.gate = trio.Event()
        self.gate.set()

    async def send(self, *together, wait_s=60.0):
        self.transactions.append(together)
        self.sent.append(together[-1])
        self.waits_s.append(wait_s)
        await self.gate.wait()
        if self.refuse_with:
            raise self.refuse_with.pop(0)


@pytest.fixture
def sender():
    return Sender()


@pytest.fixture
def done():
    """`await done.wait(n)`: n messages are over."""

    class Done:
        def __init__(self):
            self.count, self.news = 0, trio.Event()

        def __call__(self):
            self.count += 1
            self.news.set()
            self.news = trio.Event()

        async def wait(self, count):
            with trio.fail_after(5):
                while self.count < count:
                    await self.news.wait()

    return Done()


@pytest.fixture
def envoy(sender, nursery, clock, done):
    return Envoy(sender, nursery, clock, done)


async def test_confirmation_under_way_is_not_sent_twice_and_counts_from_its_start(envoy, sender, clock, done):
    """From its start: what was seen is as old as that."""
    sender.gate = trio.Event()
    started_ms = clock.now_ms
    envoy.begin(Confirm(height=5, changes=()))
    envoy.begin(Confirm(height=6, changes=()))
    await wait_all_tasks_blocked()
    clock.now_ms += 700
    sender.gate.set()
    await done.wait(1)
    assert [message.height for message in sender.sent] == [5]
    assert envoy.confirmed_at_ms == started_ms
    envoy.begin(Confirm(height=7, changes=()))
    await done.wait(2)
    assert sender.sent[-1].height == 7


async def test_confirmation_waits_less_than_the_period_for_its_block(envoy, sender, done):
    envoy.begin(Confirm(height=5, changes=()))
    await done.wait(1)
    assert sender.waits_s == [envoy_module.CONFIRM_WAIT_S]


async def test_refused_confirmation_is_not_repeated_at_once_and_its_reason_is_kept(envoy, sender, clock, done):
    sender.refuse_with = [PhotonError(code="too-old", what="made at height 5", found="9")]
    envoy.begin(Confirm(height=5, changes=()))
    await done.wait(1)
    assert envoy.confirmed_at_ms == 0
    assert envoy.confirm_not_before_ms == clock.now_ms + RETRY_MS
    assert envoy.last_problem == "ConfirmLeases: made at height 5 (9)"
    envoy.begin(Confirm(height=9, changes=()))
    await done.wait(2)
    assert envoy.last_problem == ""


async def test_close_is_sent_once_per_retry_time_and_lease(envoy, sender, clock, done):
    for lease in (LEASE, LEASE, OTHER, LEASE):
        envoy.begin(CloseLease(lease=lease, reason=ProviderCloseReason.FAULT, why="no command", height=5))
    await done.wait(2)
    assert {message.lease for message in sender.sent} == {LEASE, OTHER}
    clock.now_ms += RETRY_MS
    envoy.begin(CloseLease(lease=LEASE, reason=ProviderCloseReason.FAULT, why="no command", height=5))
    await done.wait(3)
    assert len(sender.sent) == 3


async def test_what_waits_for_a_slow_block_is_not_sent_again(envoy, sender, clock, done):
    sender.gate = trio.Event()
    for _ in range(3):
        envoy.begin(CloseLease(lease=LEASE, reason=ProviderCloseReason.FAULT, why="no command", height=5))
        envoy.begin(ConfirmClosed(leases=(OTHER,)))
        await wait_all_tasks_blocked()
        clock.now_ms += RETRY_MS
    assert len(sender.sent) == 2
    sender.gate.set()
    await done.wait(2)
    clock.now_ms += RETRY_MS
    envoy.begin(ConfirmClosed(leases=(OTHER,)))
    await done.wait(3)


async def test_reason_of_a_fault_goes_on_chain_with_the_close_and_another_reason_alone(envoy, sender, done):
    envoy.begin(CloseLease(lease=LEASE, reason=ProviderCloseReason.FAULT, why="no command", height=5))
    envoy.begin(CloseLease(lease=OTHER, reason=ProviderCloseReason.PROVIDER, why="no space", height=5))
    await done.wait(2)
    fault, own = sorted(sender.transactions, key=len, reverse=True)
    change = messages.StatusChange(lease=LEASE, status=LeaseStatus.WORKLOAD_FAULT, reason="no command")
    assert fault == (
        messages.ConfirmLeases(height=5, changes=(change,)),
        messages.CloseLease(lease=LEASE, reason=ProviderCloseReason.FAULT),
    )
    assert own == (messages.CloseLease(lease=OTHER, reason=ProviderCloseReason.PROVIDER),)


async def test_confirm_closed_takes_only_those_that_are_not_under_way(envoy, sender, done):
    envoy.begin(ConfirmClosed(leases=(LEASE,)))
    envoy.begin(ConfirmClosed(leases=(LEASE, OTHER)))
    await done.wait(2)
    assert {message.leases for message in sender.sent} == {(LEASE,), (OTHER,)}


async def test_messages_name_no_more_leases_than_the_chain_takes(envoy, sender, done, monkeypatch):
    monkeypatch.setattr(envoy_module, "LEASES_MAX", 3)
    many = tuple(LeaseId(number, 0, 0) for number in range(1, 8))
    envoy.begin(ConfirmClosed(leases=many))
    envoy.withdraw(many, every_ms=1)
    await done.wait(2)
    assert [len(message.leases) for message in sender.sent] == [3, 3]


async def test_withdrawals_keep_their_interval(envoy, sender, clock, done):
    envoy.withdraw((), every_ms=1_000)
    envoy.withdraw((LEASE,), every_ms=1_000)
    envoy.withdraw((LEASE,), every_ms=1_000)
    clock.now_ms += 1_000
    envoy.withdraw((LEASE,), every_ms=1_000)
    await done.wait(2)
    assert sender.sent == [messages.Withdraw(leases=(LEASE,))] * 2


async def test_leases_that_are_over_leave_nothing_in_memory(envoy, sender, done):
    envoy.begin(CloseLease(lease=LEASE, reason=ProviderCloseReason.FAULT, why="", height=5))
    await done.wait(1)
    envoy.forget(set())
    envoy.begin(CloseLease(lease=LEASE, reason=ProviderCloseReason.FAULT, why="", height=5))
    await done.wait(2)
    assert len(sender.sent) == 2, "asked for anew, it is not held back by what was"


@pytest.mark.parametrize("code", ["backlog", "stale-pending"])
async def test_what_the_chain_takes_later_goes_out_again_for_the_next_block(envoy, sender, clock, done, code):
    def send_all():
        envoy.begin(Confirm(height=5, changes=()))
        envoy.begin(CloseLease(lease=LEASE, reason=ProviderCloseReason.FAULT, why="", height=5))
        envoy.begin(ConfirmClosed(leases=(OTHER,)))
        envoy.withdraw((LEASE,), every_ms=1_000_000)

    sender.refuse_with = [TransactionRefused(code=code, what="later") for _ in range(4)]
    send_all()
    await done.wait(4)
    assert envoy.last_problem == ""
    assert envoy.confirm_not_before_ms == clock.now_ms + AGAIN_MS
    clock.now_ms += AGAIN_MS
    send_all()
    await done.wait(8)
    assert len(sender.sent) == 8
