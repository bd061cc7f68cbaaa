"""Another manifest for a deployment: what changes on chain by it, and what must not."""

import pytest
from attrs import evolve

from photon_core.api.ids import OrderId
from photon_core.exchange import keys
from photon_core.exchange.events import DeploymentUpdated, GroupResumed, Outcome
from photon_core.exchange.messages import (
    CloseDeployment,
    CloseLease,
    CreateBid,
    ProviderCloseReason,
    UpdateDeployment,
)
from photon_core.exchange.records import Deployment, Group, GroupState, LeaseState
from photon_core.testing.exchange import World, address, group_spec

PRICE = 10**12
NEW_VERSION = b"\x22" * 32


@pytest.fixture
def world() -> World:
    world = World()
    for name in ("alpha", "beta", "gamma"):
        world.register(name)
    return world


def update(deployment: int = 1, *hashes: bytes, version: bytes = NEW_VERSION) -> UpdateDeployment:
    return UpdateDeployment(deployment=deployment, version=version, section_hashes=hashes or (b"\x33" * 32,))


def group_of(world: World, index: int = 0) -> Group:
    return world.exchange.ledger.groups(world.exchange.ledger.deployment(1))[index]


def deployment_of(world: World) -> Deployment:
    return world.exchange.ledger.deployment(1)


def match(world: World, order: OrderId, provider: str = "alpha") -> OrderId:
    world.must(f"{provider}-op", CreateBid(order=order, price=PRICE))
    world.pass_time(world.exchange.ledger.order(order).opened_ms + world.parameters.bidding_window_ms - world.now_ms)
    assert world.exchange.ledger.lease(order).state is LeaseState.ACTIVE
    return order


def fail(world: World, lease: OrderId, provider: str) -> None:
    world.must(f"{provider}-op", CloseLease(lease=lease, reason=ProviderCloseReason.FAULT))


def snapshot(world: World) -> dict[bytes, bytes]:
    """Without the clock and the accounts' sequences, which every transaction moves; fees are nothing here."""
    moving = (keys.STATUS_KEY, keys.ACCOUNT, keys.block_time_key(0)[:1])
    records = {key: data for key, data in world.state.records.items() if not key.startswith(moving)}
    return records | {name.encode(): str(world.balance(name)).encode() for name in ("tenant", "stranger", "alpha")}


def test_the_new_version_and_each_groups_hash_stand_on_chain_and_nothing_that_was_ordered_changes(world: World) -> None:
    world.deploy(group_spec(), group_spec(price=0))
    before = [group_of(world, index).spec for index in range(2)]
    receipt = world.must("tenant", update(1, b"\x41" * 32, before[1].section_hash))
    assert deployment_of(world).version == NEW_VERSION
    assert group_of(world, 0).spec == evolve(before[0], section_hash=b"\x41" * 32)
    assert group_of(world, 1).spec == before[1]
    assert receipt.events == (DeploymentUpdated(deployment=1, version=NEW_VERSION),)


def test_a_lease_and_its_money_go_on_as_they_were(world: World) -> None:
    lease = match(world, world.deploy())
    record, deployment = world.exchange.ledger.lease(lease), deployment_of(world)
    balances = [world.balance(name) for name in ("tenant", "alpha", "alpha-op")]
    world.must("tenant", update())
    assert world.exchange.ledger.lease(lease) == record
    assert deployment_of(world) == evolve(deployment, version=NEW_VERSION)
    assert [world.balance(name) for name in ("tenant", "alpha", "alpha-op")] == balances
    assert group_of(world).state is GroupState.LEASED


def test_an_open_order_stays_open_and_its_bids_count(world: World) -> None:
    order = world.deploy()
    world.must("alpha-op", CreateBid(order=order, price=PRICE))
    world.must("tenant", update())
    world.pass_time(world.parameters.bidding_window_ms)
    assert world.exchange.ledger.lease(order).provider == address("alpha")


def test_whom_the_old_version_failed_with_may_bid_on_the_new_one(world: World) -> None:
    lease = match(world, world.deploy())
    fail(world, lease, "alpha")
    world.pass_time(1_000)
    second = OrderId(1, 0, 1)
    assert world.send("alpha-op", CreateBid(order=second, price=PRICE)).code == "provider-excluded"
    world.must("tenant", update())
    assert group_of(world).excluded == ()
    world.must("alpha-op", CreateBid(order=second, price=PRICE))


def test_a_back_off_that_the_old_version_earned_is_over_and_begins_anew(world: World) -> None:
    fail(world, match(world, world.deploy()), "alpha")
    world.pass_time(1_000)
    fail(world, match(world, OrderId(1, 0, 1), "beta"), "beta")
    assert group_of(world).reopen_ms == world.now_ms + 2_000
    receipt = world.must("tenant", update())
    assert group_of(world).reopen_ms == world.now_ms
    assert [type(event) for event in receipt.events] == [DeploymentUpdated, GroupResumed]
    world.block()
    fail(world, match(world, OrderId(1, 0, 2), "alpha"), "alpha")
    assert group_of(world).reopen_ms == world.now_ms + 1_000


def test_a_group_that_faults_had_paused_is_ordered_again(world: World) -> None:
    lease = world.deploy()
    for sequence, provider in enumerate(("alpha", "beta", "gamma")):
        fail(world, match(world, OrderId(1, 0, sequence), provider), provider)
        if sequence < 2:
            world.pass_time(world.exchange.next_due_ms() - world.now_ms)
    assert group_of(world).state is GroupState.PAUSED
    world.must("tenant", update())
    world.block()
    assert (group_of(world).state, group_of(world).pause_reason) == (GroupState.OPEN, "")
    assert world.exchange.ledger.order(OrderId(lease.deployment, 0, 3)).opened_height == world.exchange.height


def test_a_group_that_is_over_takes_its_hash_and_stays_closed(world: World) -> None:
    first = match(world, world.deploy(group_spec(), group_spec(), persist=False))
    world.must("tenant", CloseLease(lease=first))
    assert group_of(world).state is GroupState.CLOSED
    world.must("tenant", update(1, b"\x41" * 32, b"\x42" * 32))
    assert group_of(world).state is GroupState.CLOSED
    assert group_of(world).spec.section_hash == b"\x41" * 32


@pytest.mark.parametrize(
    ("sender", "message", "code"),
    [
        ("stranger", update(), "not-allowed"),
        ("alpha", update(), "not-allowed"),
        ("tenant", update(7), "not-found"),
        ("tenant", update(version=b"\x07" * 32), "same-version"),
        ("tenant", update(1, b"\x33" * 32, b"\x34" * 32), "groups-differ"),
    ],
)
def test_what_is_no_update_is_refused_by_name_and_changes_nothing(
    world: World, sender: str, message: UpdateDeployment, code: str
) -> None:
    match(world, world.deploy())
    before = snapshot(world)
    receipt = world.send(sender, message)
    assert (receipt.outcome, receipt.code) == (Outcome.FAILED, code)
    assert snapshot(world) == before


def test_a_closed_deployment_is_not_updated(world: World) -> None:
    world.deploy()
    world.must("tenant", CloseDeployment(deployment=1))
    before = snapshot(world)
    assert world.send("tenant", update()).code == "deployment-closed"
    assert snapshot(world) == before
