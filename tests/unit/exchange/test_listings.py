"""Which ids belong to whom: kept right by every write, read in bounded pages, the same after a restart."""

from photon_core.api.ids import OrderId
from photon_core.exchange.messages import CloseLease, ConfirmClosed, ConfirmLeases, CreateBid
from photon_core.testing.exchange import World, address, group_spec

PRICE = 10**12


def world_with_leases() -> tuple[World, OrderId, OrderId]:
    """Two leases of alpha's, confirmed 10 s after the match."""
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
    assert listings.leases.page(alpha) == (first, second)
    world.must("tenant", CloseLease(lease=first))
    assert listings.leases.page(alpha) == (first, second)
    world.must("alpha-op", ConfirmClosed(leases=(first,)))
    assert listings.leases.page(alpha) == (second,)
    assert listings.closed_leases.page(alpha) == (first,)


def test_pages_go_on_after_an_id() -> None:
    world = World()
    orders = [world.deploy(group_spec(), group_spec()) for _ in range(3)]
    listings = world.exchange.listings
    assert listings.deployments.page(address("tenant"), limit=2) == (1, 2)
    assert listings.deployments.page(address("tenant"), after=2) == (3,)
    assert listings.open_orders.page(None, after=orders[0], limit=2) == (OrderId(1, 1, 0), OrderId(2, 0, 0))
    assert listings.deployments.page(address("stranger")) == ()


def test_listings_after_a_restart_are_the_same() -> None:
    world, _, _ = world_with_leases()
    world.deploy()
    again = world.reopened()
    for owner in (address("tenant"), address("alpha")):
        assert again.listings.leases.page(owner) == world.exchange.listings.leases.page(owner)
        assert again.listings.deployments.page(owner) == world.exchange.listings.deployments.page(owner)
    assert again.listings.open_orders.page(None) == world.exchange.listings.open_orders.page(None)
    assert again.listings.providers.page(None) == world.exchange.listings.providers.page(None)
