"""What the API tells of deployments, orders and leases, joined from the exchange's records."""

from photon_core.api.ids import OrderId
from photon_core.exchange.messages import CloseDeployment, ConfirmLeases, CreateBid
from photon_core.exchange.settlement import earned_uptn
from photon_core.exchange.state import Ledger
from photon_core.node import answers
from photon_core.testing.exchange import World

PRICE = 10**12


def leased() -> tuple[World, OrderId]:
    """One lease, confirmed 10 s after the match."""
    world = World()
    world.register("alpha")
    order = world.deploy()
    world.must("alpha-op", CreateBid(order=order, price=PRICE))
    world.pass_time(40_000)
    world.must("alpha-op", ConfirmLeases(height=world.exchange.height))
    return world, order


def test_money_is_told_as_the_newest_confirmation_makes_it() -> None:
    world, lease_id = leased()
    lease = answers.lease_detail(Ledger(world.state), lease_id)
    assert lease is not None
    assert lease.confirmed_ms == world.now_ms
    assert lease.earned_uptn == earned_uptn(PRICE, world.now_ms - lease.lease.origin_ms) > 0
    deployment = answers.deployment_detail(Ledger(world.state), lease_id.deployment)
    assert deployment is not None
    assert (deployment.held_uptn, deployment.earned_uptn) == (10_000_000, lease.earned_uptn)


def test_a_closed_deployment_holds_nothing_and_has_earned_what_it_paid() -> None:
    world, lease_id = leased()
    world.must("tenant", CloseDeployment(deployment=lease_id.deployment))
    deployment = answers.deployment_detail(Ledger(world.state), lease_id.deployment)
    assert deployment is not None
    assert deployment.held_uptn == 0
    assert deployment.earned_uptn == deployment.deployment.spent_uptn > 0


def test_a_deployment_comes_with_its_newest_order_bids_and_lease() -> None:
    world, lease_id = leased()
    deployment = answers.deployment_detail(Ledger(world.state), lease_id.deployment)
    assert deployment is not None
    (group,) = deployment.groups
    assert group.order is not None
    assert group.order.order.id == lease_id
    assert [bid.price for bid in group.order.bids] == [PRICE]
    assert group.order.lease is not None
    assert group.order.lease.id == lease_id


def test_what_is_not_there_is_none() -> None:
    ledger = Ledger(World().state)
    assert answers.lease_detail(ledger, OrderId(1, 0, 0)) is None
    assert answers.order_detail(ledger, OrderId(1, 0, 0)) is None
    assert answers.deployment_detail(ledger, 1) is None
