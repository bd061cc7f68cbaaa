"""What a lease earns, how it ends, and who gets what then."""

import pytest

from photon_core.api.ids import OrderId
from photon_core.exchange.events import LeaseClosing, Outcome
from photon_core.exchange.messages import (
    CloseDeployment,
    CloseLease,
    ConfirmClosed,
    ConfirmLeases,
    CreateBid,
    ProviderCloseReason,
    ResumeGroup,
    StatusChange,
    Withdraw,
)
from photon_core.exchange.records import (
    UPTN_PER_PTN,
    CloseReason,
    DeploymentState,
    GroupState,
    Lease,
    LeaseState,
    LeaseStatus,
)
from photon_core.exchange.settlement import earned_uptn
from photon_core.testing.exchange import World, group_spec

PRICE = 10**12  # 1 PTN per hour
PERIOD_MS = 60_000


@pytest.fixture
def world() -> World:
    world = World()
    world.register("alpha")
    world.register("beta")
    return world


def leased(world: World, provider: str = "alpha", **given: object) -> OrderId:
    """A lease at PRICE, not yet confirmed."""
    return match(world, world.deploy(**given), provider)


def match(world: World, order: OrderId, provider: str = "alpha") -> OrderId:
    world.must(f"{provider}-op", CreateBid(order=order, price=PRICE))
    opened_ms = world.exchange.ledger.order(order).opened_ms
    world.pass_time(opened_ms + world.parameters.bidding_window_ms - world.now_ms)
    assert lease_of(world, order).state is LeaseState.ACTIVE
    return order


def lease_of(world: World, lease: OrderId) -> Lease:
    return world.exchange.ledger.lease(lease)


def group_state(world: World, lease: OrderId) -> GroupState:
    return world.exchange.ledger.group(lease.group_id).state


def confirm(world: World, provider: str = "alpha", *, step_ms: int = 1, **given: object) -> None:
    world.must(f"{provider}-op", ConfirmLeases(height=world.exchange.height, **given), step_ms=step_ms)


def keep_serving(world: World, lease: OrderId, span_ms: int, provider: str = "alpha") -> None:
    """Confirms every ten seconds."""
    changes = (StatusChange(lease=lease, status=LeaseStatus.SERVING),)
    confirm(world, provider, changes=changes)
    for _ in range(span_ms // 10_000):
        world.pass_time(9_999)
        confirm(world, provider)


def test_a_tenants_close_pays_to_the_millisecond_and_refunds_the_rest(world: World) -> None:
    before = world.balance("tenant")
    lease = leased(world)
    keep_serving(world, lease, 100_000)
    world.must("tenant", CloseDeployment(deployment=lease.deployment), step_ms=7)

    origin_ms = lease_of(world, lease).origin_ms
    earned = earned_uptn(PRICE, world.now_ms - origin_ms)
    assert lease_of(world, lease).paid_uptn == earned > 0
    assert before - world.balance("tenant") == earned
    assert world.balance("alpha") == 990 * UPTN_PER_PTN + earned  # registered for a bond of 10 PTN


def test_collateral_comes_back_with_confirm_closed(world: World) -> None:
    before = world.balance("alpha-op")
    lease = leased(world)
    assert world.balance("alpha-op") == before - UPTN_PER_PTN
    world.must("tenant", CloseDeployment(deployment=lease.deployment))
    assert lease_of(world, lease).state is LeaseState.CLOSING
    world.must("alpha-op", ConfirmClosed(leases=(lease,)))
    assert world.balance("alpha-op") == before
    assert world.exchange.ledger.deployment(lease.deployment).state is DeploymentState.CLOSED


def test_a_provider_that_never_confirms_the_close_loses_its_collateral_to_the_tenant(world: World) -> None:
    lease = leased(world)
    world.must("tenant", CloseDeployment(deployment=lease.deployment))
    before = world.balance("tenant")
    world.pass_time(PERIOD_MS)
    assert lease_of(world, lease).state is LeaseState.CLOSED
    assert lease_of(world, lease).collateral_forfeited_uptn == UPTN_PER_PTN
    assert world.balance("tenant") == before + UPTN_PER_PTN


def test_a_silent_provider_goes_stale_and_is_paid_to_its_last_confirmation(world: World) -> None:
    before = world.balance("tenant")
    lease = leased(world)
    keep_serving(world, lease, 30_000)
    confirmed_ms = world.now_ms
    world.pass_time(PERIOD_MS - 1)
    assert lease_of(world, lease).state is LeaseState.ACTIVE
    world.pass_time(1)

    ended = lease_of(world, lease)
    assert (ended.state, ended.close_reason) == (LeaseState.CLOSED, CloseReason.STALE)
    assert ended.paid_uptn == earned_uptn(PRICE, confirmed_ms - ended.origin_ms)
    assert world.exchange.ledger.order(OrderId(lease.deployment, 0, 1)).opened_ms == world.now_ms  # at once
    world.must("tenant", CloseDeployment(deployment=lease.deployment))
    assert world.balance("tenant") == before - ended.paid_uptn + UPTN_PER_PTN


def test_a_lease_that_was_never_confirmed_goes_stale_on_its_own_timer(world: World) -> None:
    lease = leased(world)
    world.pass_time(PERIOD_MS)
    assert lease_of(world, lease).close_reason is CloseReason.STALE
    assert lease_of(world, lease).paid_uptn == 0


def test_without_persist_the_end_of_the_lease_closes_and_refunds(world: World) -> None:
    before = world.balance("tenant")
    lease = leased(world, persist=False)
    world.pass_time(PERIOD_MS)
    assert world.exchange.ledger.deployment(lease.deployment).state is DeploymentState.CLOSED
    assert world.balance("tenant") == before + UPTN_PER_PTN


def test_one_confirmation_covers_every_lease_but_the_omitted(world: World) -> None:
    first, second = leased(world), leased(world)
    confirm(world)
    world.pass_time(PERIOD_MS // 2)
    confirm(world, omitted=(second,))
    world.pass_time(PERIOD_MS // 2)
    assert lease_of(world, first).state is LeaseState.ACTIVE
    assert lease_of(world, second).close_reason is CloseReason.STALE


def test_a_lease_that_is_no_longer_omitted_is_covered_again(world: World) -> None:
    lease = leased(world)
    confirm(world, omitted=(lease,))
    world.pass_time(PERIOD_MS // 2)
    confirm(world)
    world.pass_time(PERIOD_MS // 2)
    assert lease_of(world, lease).state is LeaseState.ACTIVE


def test_a_confirmation_does_not_cover_leases_matched_after_its_height(world: World) -> None:
    order = world.deploy()
    height = world.exchange.height
    match(world, order)
    receipt = world.send("alpha-op", ConfirmLeases(height=height))
    assert receipt.code == "confirmation-too-old"
    confirm(world)
    assert world.exchange.ledger.provider(lease_of(world, order).provider).confirmed_height >= height


def test_a_confirmation_from_the_future_or_of_a_stranger_is_refused(world: World) -> None:
    leased(world)
    assert world.send("alpha-op", ConfirmLeases(height=world.exchange.height + 1)).code == "out-of-range"
    assert world.send("stranger", ConfirmLeases(height=world.exchange.height)).code == "not-a-provider"


def test_a_deposit_that_is_spent_closes_the_deployment_at_that_instant(world: World) -> None:
    before = world.balance("tenant")
    lease = leased(world, deposit_uptn=240_000)
    due_ms = world.exchange.ledger.deployment(lease.deployment).funds_due_ms
    assert due_ms is not None
    keep_serving(world, lease, due_ms - world.now_ms + 20_000)
    ended = lease_of(world, lease)
    assert ended.close_reason is CloseReason.FUNDS
    assert ended.paid_uptn == 240_000
    assert ended.closed_ms == due_ms
    assert world.balance("tenant") == before - 240_000


def test_withdraw_pays_what_is_confirmed_and_nothing_twice(world: World) -> None:
    lease = leased(world)
    keep_serving(world, lease, 50_000)
    confirmed = world.now_ms - lease_of(world, lease).origin_ms
    world.must("alpha", Withdraw(leases=(lease,)), step_ms=5_000)
    assert world.balance("alpha") == 990 * UPTN_PER_PTN + earned_uptn(PRICE, confirmed)
    world.must("alpha-op", Withdraw(leases=(lease, lease)))
    assert world.balance("alpha") == 990 * UPTN_PER_PTN + earned_uptn(PRICE, confirmed)
    assert world.send("beta", Withdraw(leases=(lease,))).code == "not-allowed"


@pytest.mark.parametrize(
    ("status", "timeout_ms", "reason"),
    [
        (LeaseStatus.AWAITING_MANIFEST, 300_000, CloseReason.NO_MANIFEST),
        (LeaseStatus.STARTING, 600_000, CloseReason.FAULT),
        (LeaseStatus.WORKLOAD_FAULT, 120_000, CloseReason.FAULT),
    ],
)
def test_every_state_but_serving_is_bounded_and_costs_no_collateral(
    world: World, status: LeaseStatus, timeout_ms: int, reason: CloseReason
) -> None:
    before = world.balance("alpha-op")
    lease = leased(world)
    confirm(world, changes=(StatusChange(lease=lease, status=status),))
    since_ms = lease_of(world, lease).status_since_ms
    while lease_of(world, lease).state is LeaseState.ACTIVE:
        world.pass_time(10_000)
        confirm(world)
    ended = lease_of(world, lease)
    assert ended.close_reason is reason
    assert ended.closed_ms == since_ms + timeout_ms
    assert ended.paid_uptn == earned_uptn(PRICE, since_ms + timeout_ms - ended.origin_ms)  # the capacity was reserved
    world.must("alpha-op", ConfirmClosed(leases=(lease,)))
    assert world.balance("alpha-op") == before


def test_a_provider_that_closed_for_fault_is_left_out_and_the_delay_doubles(world: World) -> None:
    lease = leased(world)
    world.must("alpha-op", CloseLease(lease=lease, reason=ProviderCloseReason.FAULT))
    first_ms = world.exchange.ledger.group(lease.group_id).reopen_ms
    assert first_ms == world.now_ms + 1_000
    world.pass_time(1_000)
    second = OrderId(lease.deployment, 0, 1)
    assert world.send("alpha-op", CreateBid(order=second, price=PRICE)).code == "provider-excluded"
    match(world, second, "beta")
    world.must("beta-op", CloseLease(lease=second, reason=ProviderCloseReason.FAULT))
    assert world.exchange.ledger.group(lease.group_id).reopen_ms == world.now_ms + 2_000


def test_after_three_failures_in_a_row_the_group_waits_for_its_tenant(world: World) -> None:
    world.register("gamma")
    lease = leased(world)
    for sequence, provider in enumerate(("alpha", "beta", "gamma")):
        current = OrderId(lease.deployment, 0, sequence)
        if sequence:
            match(world, current, provider)
        changes = (StatusChange(lease=current, status=LeaseStatus.WORKLOAD_FAULT, reason="exit 1"),)
        confirm(world, provider, changes=changes)
        world.must(f"{provider}-op", CloseLease(lease=current, reason=ProviderCloseReason.FAULT))
        if sequence < 2:
            world.pass_time(world.exchange.next_due_ms() - world.now_ms)
    group = world.exchange.ledger.group(lease.group_id)
    assert group.state is GroupState.PAUSED
    assert "exit 1" in group.pause_reason
    world.must("tenant", ResumeGroup(deployment=lease.deployment, group=0))
    world.block()
    assert world.exchange.ledger.order(OrderId(lease.deployment, 0, 3)).opened_height == world.exchange.height


def test_a_tenants_close_of_a_lease_orders_again_without_leaving_anybody_out(world: World) -> None:
    lease = leased(world)
    world.must("tenant", CloseLease(lease=lease))
    world.block()
    match(world, OrderId(lease.deployment, 0, 1), "alpha")
    assert world.send("stranger", CloseLease(lease=lease)).code == "not-allowed"


def test_one_deployment_at_funds_end_pays_leases_of_different_origins(world: World) -> None:
    order = world.deploy(group_spec(), group_spec(), deposit_uptn=500_000)
    other = OrderId(order.deployment, 1, 0)
    world.must("alpha-op", CreateBid(order=order, price=PRICE))
    world.must("beta-op", CreateBid(order=other, price=PRICE - 7))
    world.pass_time(30_000)
    for _ in range(200):
        if world.exchange.ledger.deployment(order.deployment).state is not DeploymentState.ACTIVE:
            break
        serving = tuple(StatusChange(lease=x, status=LeaseStatus.SERVING) for x in (order,))
        confirm(world, "alpha", changes=serving)
        confirm(world, "beta", changes=(StatusChange(lease=other, status=LeaseStatus.SERVING),))
        world.pass_time(10_000)
    closings = [event for event in world.events if isinstance(event, LeaseClosing)]
    assert {event.reason for event in closings} == {CloseReason.FUNDS}
    assert 499_998 <= sum(event.paid_uptn for event in closings) <= 500_000


def test_what_is_overdue_happens_before_a_transaction_that_touches_it(world: World) -> None:
    """A close that comes in the block after the lease went stale finds it stale: no one is late and yet in time."""
    lease = leased(world)
    confirm(world)
    world.pass_time(PERIOD_MS - 10)
    receipt = world.send("tenant", CloseLease(lease=lease), step_ms=10)
    assert receipt.outcome is Outcome.FAILED
    assert receipt.code == "wrong-state"
    assert lease_of(world, lease).close_reason is CloseReason.STALE
