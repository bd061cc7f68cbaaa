"""What people and agents ask, answered from a reader in bounded pages."""

from photon_core.api.ids import GroupId, OrderId
from photon_core.exchange import queries
from photon_core.exchange.messages import CloseLease, ConfirmClosed, ConfirmLeases, CreateBid
from photon_core.exchange.settlement import earned_uptn
from photon_core.testing.exchange import World, address, group_spec

PRICE = 10**12


def world_with_leases() -> tuple[World, OrderId, OrderId]:
    """Two leases of alpha's, confirmed 10 s after the match, and one open order."""
    world = World()
    world.register("alpha")
    first, second = world.deploy(), world.deploy()
    for order in (first, second):
        world.must("alpha-op", CreateBid(order=order, price=PRICE))
    world.pass_time(40_000)
    world.must("alpha-op", ConfirmLeases(height=world.exchange.height))
    return world, first, second


def test_leases_of_a_provider_are_listed_until_they_are_closed() -> None:
    world, first, second = world_with_leases()
    listings, alpha = world.exchange.listings, address("alpha")
    assert [x.id for x in queries.leases_of(world.state, listings, alpha)] == [first, second]
    world.must("tenant", CloseLease(lease=first))
    assert [x.id for x in queries.leases_of(world.state, listings, alpha)] == [first, second]
    world.must("alpha-op", ConfirmClosed(leases=(first,)))
    assert [x.id for x in queries.leases_of(world.state, listings, alpha)] == [second]
    assert [x.id for x in queries.leases_of(world.state, listings, alpha, closed=True)] == [first]


def test_pages_go_on_after_an_id() -> None:
    world = World()
    orders = [world.deploy(group_spec(), group_spec()) for _ in range(3)]
    listings = world.exchange.listings
    owned = queries.deployments_of(world.state, listings, address("tenant"), limit=2)
    assert [d.id for d in owned] == [1, 2]
    assert [d.id for d in queries.deployments_of(world.state, listings, address("tenant"), after=2)] == [3]
    opened = queries.open_orders(world.state, listings, after=orders[0], limit=2)
    assert [order.id for order in opened] == [OrderId(1, 1, 0), OrderId(2, 0, 0)]
    assert queries.deployments_of(world.state, listings, address("stranger")) == ()


def test_money_is_told_as_the_newest_confirmation_makes_it() -> None:
    world, first, _ = world_with_leases()
    lease = queries.lease(world.state, first)
    deployment = queries.deployment(world.state, first.deployment)
    assert lease is not None
    assert deployment is not None
    assert queries.confirmed_ms(world.state, lease) == world.now_ms
    assert queries.earned_uptn(world.state, lease) == earned_uptn(PRICE, world.now_ms - lease.origin_ms) > 0
    assert queries.held_uptn(world.state, deployment) == 10_000_000


def test_listings_after_a_restart_are_the_same() -> None:
    world, _, _ = world_with_leases()
    world.deploy()
    again = world.reopened()
    for owner in (address("tenant"), address("alpha")):
        assert again.listings.leases.page(owner) == world.exchange.listings.leases.page(owner)
        assert again.listings.deployments.page(owner) == world.exchange.listings.deployments.page(owner)
    assert again.listings.open_orders.page(None) == world.exchange.listings.open_orders.page(None)
    assert again.listings.providers.page(None) == world.exchange.listings.providers.page(None)


def test_what_is_not_there_is_none() -> None:
    state = World().state
    assert queries.lease(state, OrderId(1, 0, 0)) is None
    assert queries.group(state, GroupId(1, 0)) is None
    assert queries.provider_of_operator(state, address("x")) is None
    assert queries.account(state, address("x")).balance_uptn == 0
