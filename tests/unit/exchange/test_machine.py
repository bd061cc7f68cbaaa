"""Transactions that are void, failed or done; blocks however they are cut; time; restarts."""

import pytest
from attrs import evolve

from photon_core.api.ids import OrderId
from photon_core.exchange import admission, due
from photon_core.exchange.events import Outcome
from photon_core.exchange.machine import BlockContext
from photon_core.exchange.messages import (
    CloseDeployment,
    CloseLease,
    ConfirmLeases,
    CreateBid,
    CreateDeployment,
    Deposit,
    Message,
    RegisterProvider,
    Transfer,
)
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import UPTN_PER_PTN, CloseReason, DeploymentState
from photon_core.testing.exchange import FEE_FREE, RAW_BYTES, VALIDATOR_KEY, World, address, group_spec

PRICE = 10**12
TRANSFER = Transfer(to=address("stranger"), amount_uptn=5)


@pytest.fixture
def world() -> World:
    return World(Parameters(min_fee_uptn=1_000, fee_per_byte_uptn=1))


def test_a_transfer_pays_its_fee_to_the_proposer(world: World) -> None:
    receipt = world.must("tenant", TRANSFER)
    assert receipt.fee_uptn == 1_300
    assert world.balance("validator") == 1_300
    assert world.balance("tenant") == 1_000 * UPTN_PER_PTN - 1_305
    assert world.balance("stranger") == 1_000 * UPTN_PER_PTN + 5


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sequence": 1}, "sequence-gap"),
        ({"expires_height": 0}, "expired"),
        ({"expires_height": 10**6}, "expires-too-late"),
        ({"fee_uptn": 1_299}, "fee-too-low"),
        ({"fee_uptn": 2_000 * UPTN_PER_PTN}, "fee-unpayable"),
    ],
)
def test_a_void_transaction_changes_nothing(world: World, change: dict[str, int], code: str) -> None:
    transaction = evolve(world.transaction("tenant", TRANSFER), **change)
    (receipt,) = world.block(1, [transaction]).receipts
    assert (receipt.outcome, receipt.code, receipt.fee_uptn) == (Outcome.VOID, code, 0)
    assert world.balance("tenant") == 1_000 * UPTN_PER_PTN
    assert world.exchange.sequence_of(address("tenant")) == 0


def test_the_same_transaction_twice_is_void_the_second_time(world: World) -> None:
    transaction = world.transaction("tenant", TRANSFER)
    first, second = world.block(1, [transaction, transaction]).receipts
    assert (first.outcome, second.outcome, second.code) == (Outcome.DONE, Outcome.VOID, "stale-sequence")
    assert world.exchange.check(transaction).code == "stale-sequence"


def test_a_failed_transaction_pays_and_undoes_every_message_of_it(world: World) -> None:
    receipt = world.send("tenant", TRANSFER, Transfer(to=address("stranger"), amount_uptn=10**15))
    assert (receipt.outcome, receipt.code, receipt.message) == (Outcome.FAILED, "insufficient-funds", 1)
    assert "10" in receipt.reason
    assert receipt.events == ()
    assert world.balance("stranger") == 1_000 * UPTN_PER_PTN
    assert world.balance("tenant") == 1_000 * UPTN_PER_PTN - receipt.fee_uptn
    assert world.exchange.sequence_of(address("tenant")) == 1


@pytest.mark.parametrize("plain", [[1, []], [99, []], [1, [b"x", 5]], [20, [[], b"", 1, True, False]]])
def test_a_message_of_no_known_form_fails_and_is_not_let_into_a_mempool(world: World, plain: list[object]) -> None:
    transaction = evolve(world.transaction("tenant", TRANSFER), messages=(plain,))
    assert world.exchange.check(transaction).code == "bad-message"
    (receipt,) = world.block(1, [transaction]).receipts
    assert (receipt.outcome, receipt.code, receipt.message) == (Outcome.FAILED, "bad-message", 0)


@pytest.mark.parametrize(
    "messages",
    [
        (TRANSFER, TRANSFER),
        (TRANSFER, Transfer(to=address("stranger"), amount_uptn=10**15)),
        (CloseLease(lease=OrderId(1, 0, 0)),),
    ],
)
def test_what_was_read_at_admission_changes_no_result(world: World, messages: tuple[Message, ...]) -> None:
    others = world.reopened()
    transactions = [world.transaction("tenant", *messages), world.transaction("stranger", TRANSFER)]
    assert [world.exchange.check(transaction) for transaction in transactions] == [None, None]
    result = world.block(5, [*transactions, *transactions])
    context = BlockContext(height=others.height + 1, time_ms=world.time_ms, proposer=VALIDATOR_KEY)
    assert others.execute(context, [*transactions, *transactions]) == result


def test_what_was_read_is_forgotten_when_it_is_much(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "READINGS_BYTES_MAX", 2 * RAW_BYTES)
    first = world.transaction("tenant", TRANSFER)
    transactions = [evolve(first, sequence=number) for number in range(8)]
    others = world.reopened()
    for transaction in transactions + transactions:
        assert world.exchange.check(transaction) is None
        assert world.exchange._readings.size_bytes <= 2 * RAW_BYTES
    result = world.block(5, transactions)
    context = BlockContext(height=others.height + 1, time_ms=world.time_ms, proposer=VALIDATOR_KEY)
    assert others.execute(context, transactions) == result
    assert all(receipt.outcome is Outcome.DONE for receipt in result.receipts)


def test_what_was_read_of_a_transaction_that_is_not_kept_or_is_executed_is_forgotten(world: World) -> None:
    kept, refused = world.transaction("tenant", TRANSFER), evolve(world.transaction("tenant", TRANSFER), sequence=7)
    for transaction in (kept, refused):
        assert world.exchange.check(transaction) is None
    assert world.exchange._readings.size_bytes == len(kept.raw) + len(refused.raw)
    world.exchange.forget(refused)
    assert world.exchange._readings.size_bytes == len(kept.raw)
    world.block(5, [kept])
    assert world.exchange._readings.size_bytes == 0


def test_check_lets_a_later_sequence_in_and_has_no_side_effects(world: World) -> None:
    transaction = world.transaction("tenant", TRANSFER)
    assert world.exchange.check(evolve(transaction, sequence=3)) is None
    assert world.exchange.check(evolve(transaction, fee_uptn=1)).code == "fee-too-low"
    world.block()
    assert world.exchange.sequence_of(address("tenant")) == 0


def test_market_time_stands_still_while_the_chain_is_halted(world: World) -> None:
    world.block(1_000)
    before = world.now_ms
    world.block(3_600_000)
    assert world.now_ms == before + world.parameters.max_gap_ms
    assert world.exchange.market_time_at(world.time_ms + 10) == world.now_ms + 10


def test_a_halted_chain_makes_no_lease_stale() -> None:
    world = World()
    world.register("alpha")
    order = world.deploy()
    world.must("alpha-op", CreateBid(order=order, price=PRICE))
    world.pass_time(30_000)
    world.must("alpha-op", ConfirmLeases(height=world.exchange.height))
    world.block(10 * 60_000)
    world.must("alpha-op", ConfirmLeases(height=world.exchange.height))
    assert world.exchange.ledger.lease(order).close_reason is CloseReason.NONE


def test_deposits_too_low_or_of_strangers_are_refused_with_both_values(world: World) -> None:
    spec = group_spec()
    receipt = world.send("tenant", CreateDeployment(groups=(spec,), version=b"\0" * 32, deposit_uptn=1))
    assert receipt.code == "deposit-too-low"
    assert "233334" in receipt.reason  # 2 PTN per hour for 300 s and twice 60 s
    order = world.deploy()
    refused = world.send("stranger", Deposit(deployment=order.deployment, amount_uptn=5))
    assert refused.code == "not-allowed"
    assert world.send("stranger", CloseDeployment(deployment=order.deployment)).code == "not-allowed"
    assert world.send("tenant", CloseDeployment(deployment=77)).code == "not-found"


def test_depositors_get_back_what_was_not_spent_the_first_ones_money_first() -> None:
    world = World()
    world.register("alpha")
    order = world.deploy(deposit_uptn=300_000, third_party_deposits=True)
    world.must("stranger", Deposit(deployment=order.deployment, amount_uptn=1_000))
    world.must("alpha-op", CreateBid(order=order, price=PRICE))
    world.pass_time(30_000)
    stranger, tenant = world.balance("stranger"), world.balance("tenant")
    world.must("tenant", CloseDeployment(deployment=order.deployment), step_ms=100)
    paid = world.exchange.ledger.lease(order).paid_uptn
    assert paid > 0
    assert world.balance("stranger") == stranger + 1_000
    assert world.balance("tenant") == tenant + 300_000 - paid


def test_an_operator_acts_for_one_provider_and_only_the_payee_changes_it(world: World) -> None:
    world.register("alpha")
    taken = RegisterProvider(operator=address("alpha-op"), node_key=b"\0" * 32, addresses=(), attributes=())
    assert world.send("beta", taken).code == "operator-taken"
    assert world.send("alpha", taken).code == "already-registered"


# --- determinism -----------------------------------------------------------------------------------------------------


def busy_world(parameters: Parameters = FEE_FREE, leases: int = 6) -> tuple[World, list[OrderId]]:
    """A provider with some leases that are all confirmed once, at one instant however few events a block may fire."""
    world = World(parameters)
    world.register("alpha")
    orders = [world.deploy() for _ in range(leases)]
    for order in orders:
        world.must("alpha-op", CreateBid(order=order, price=PRICE))
    while world.now_ms < 31_000:
        world.block(31_000 - world.now_ms)
    world.must("alpha-op", ConfirmLeases(height=world.exchange.height))
    return world, orders


def test_executing_twice_from_one_state_gives_equal_bytes() -> None:
    world, orders = busy_world()
    again = world.reopened()
    transactions = [world.transaction("tenant", CloseDeployment(deployment=order.deployment)) for order in orders[:1]]
    result = world.block(5, transactions)
    context = BlockContext(height=again.height + 1, time_ms=world.time_ms, proposer=VALIDATOR_KEY)
    assert again.execute(context, transactions) == result


def test_few_events_per_block_give_the_same_money_later() -> None:
    """All leases go stale at one instant; how many blocks that takes changes nothing that anybody is paid."""
    balances = []
    for events_per_block in (1, 2, 1_000):
        world, orders = busy_world(evolve(FEE_FREE, events_per_block=events_per_block))
        world.pass_time(60_000)
        for _ in range(20):
            world.block(1_000)
        leases = [world.exchange.ledger.lease(order) for order in orders]
        assert {lease.close_reason for lease in leases} == {CloseReason.STALE}
        closed_ms = [lease.closed_ms for lease in leases]
        balances.append([*(world.balance(name) for name in ("tenant", "alpha", "alpha-op")), *closed_ms])
    assert balances[0] == balances[1] == balances[2]


def test_a_confirmation_cannot_save_leases_whose_staleness_waits_in_the_queue() -> None:
    world, orders = busy_world(evolve(FEE_FREE, events_per_block=2))
    world.pass_time(60_000)
    assert world.send("alpha-op", ConfirmLeases(height=world.exchange.height)).code == "stale-pending"
    # Nor can a tenant's close, which comes too late, pay for time that was never confirmed.
    world.must("tenant", CloseDeployment(deployment=orders[-1].deployment))
    assert world.exchange.ledger.lease(orders[-1]).close_reason is CloseReason.STALE


def test_a_backlog_makes_no_provider_late() -> None:
    """Matches that wait behind others' events start when they are seen; whoever then confirms in time loses nothing."""
    world = World(evolve(FEE_FREE, events_per_block=1))
    world.register("alpha")
    for _ in range(20):
        world.deploy(group_spec(price=0), deposit_uptn=1)
    order = world.deploy()
    world.must("alpha-op", CreateBid(order=order, price=PRICE))
    for _ in range(400):
        world.block(10_000, [world.transaction("alpha-op", ConfirmLeases(height=world.exchange.height))])
    assert world.now_ms > 30_000
    assert world.exchange.ledger.lease(order).close_reason is CloseReason.NO_MANIFEST, "confirmed until then"


def test_a_transaction_into_a_long_backlog_is_refused_and_changes_nothing_but_its_fee() -> None:
    world, orders = busy_world(evolve(FEE_FREE, events_per_block=1))
    world.pass_time(60_000)
    closing = [world.transaction("tenant", *[CloseDeployment(deployment=x.deployment) for x in orders[-2:]])]
    (receipt,) = world.block(1, closing).receipts
    assert (receipt.outcome, receipt.code) == (Outcome.FAILED, "backlog")
    assert world.exchange.ledger.deployment(orders[-1].deployment).state is DeploymentState.ACTIVE
    for _ in range(20):
        world.block()
    world.must("tenant", *[CloseDeployment(deployment=x.deployment) for x in orders[-2:]])


def test_a_transaction_that_would_cause_more_events_than_a_receipt_holds_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(due, "EVENTS_MAX", 10)
    world = World()
    orders = [world.deploy() for _ in range(6)]
    receipt = world.send("tenant", *[CloseDeployment(deployment=order.deployment) for order in orders])
    assert (receipt.code, receipt.events) == ("too-many-events", ())
    for half in (orders[:3], orders[3:]):
        world.must("tenant", *[CloseDeployment(deployment=order.deployment) for order in half])


@pytest.mark.parametrize("cut_ms", [1, 7, 500, 1_500, 15_000])
def test_how_time_is_cut_into_blocks_changes_no_sum(cut_ms: int) -> None:
    def story(cut_ms: int) -> list[int]:
        world = World()
        world.register("alpha")
        order = world.deploy(deposit_uptn=250_000)
        world.must("alpha-op", CreateBid(order=order, price=PRICE))
        until_ms = world.now_ms + 30_000
        while world.now_ms < until_ms:
            world.block(min(max(cut_ms, 400), until_ms - world.now_ms))
        world.must("alpha-op", ConfirmLeases(height=world.exchange.height))
        until_ms = world.now_ms + 59_000
        while world.now_ms < until_ms:
            world.block(min(max(cut_ms, 400), until_ms - world.now_ms))
        world.must("tenant", CloseDeployment(deployment=order.deployment))
        assert world.exchange.ledger.deployment(1).state is not DeploymentState.ACTIVE
        return [world.balance(name) for name in ("tenant", "alpha", "alpha-op")]

    assert story(cut_ms) == story(2_000)
