"""The bid desk on a real exchange: several orders at once, and one of them that the chain refuses."""

import pytest
from attrs import evolve

from photon_core.provider import bidder as bidder_module
from photon_core.provider.bidder import BidDesk
from photon_core.provider.chain import read_chain


@pytest.fixture
def parts(make_parts):
    return make_parts()


@pytest.fixture
def look(parts):
    """One round of the desk over what is open now; returns how many transactions it took."""

    async def round_of(desk, view=None):
        sent = []
        parts.node.before_submit = sent.append
        view = view or await read_chain(parts.node, parts.provider, parts.sender.address, parts.chain_id)
        await desk.look(view, await parts.runtime.capacity())
        return len(sent)

    return round_of


def bidders(chain, order):
    return chain.world.exchange.ledger.order(order).bidders


async def test_orders_of_one_round_are_bid_on_in_one_transaction(chain, tenant, parts, look):
    """A window is half a second in development, and each transaction waits for its block."""
    orders = [await tenant.deploy() for _ in range(3)]
    desk = BidDesk(parts)
    assert await look(desk) == 1
    assert all(parts.provider in bidders(chain, order) for order in orders)
    assert await look(desk) == 0, "no order twice"


async def test_order_that_closed_meanwhile_costs_the_others_nothing(chain, tenant, parts, look):
    over, live = await tenant.deploy(), await tenant.deploy()
    view = await read_chain(parts.node, parts.provider, parts.sender.address, parts.chain_id)
    await tenant.close(over)
    desk = BidDesk(parts)
    await look(desk, view)
    assert parts.provider in bidders(chain, live)
    assert desk.reasons[over].why == "refused"
    assert live not in desk.reasons


async def test_node_that_is_away_leaves_no_bid_counted_and_the_next_round_tries_again(chain, tenant, parts, look):
    order = await tenant.deploy()
    view = await read_chain(parts.node, parts.provider, parts.sender.address, parts.chain_id)
    desk = BidDesk(parts)
    chain.away = True
    await look(desk, view)
    assert "no node answers" in desk.reasons[order].reason
    assert desk.stock(view, await parts.runtime.capacity()).bid_for.cpu_milli == 0
    chain.away = False
    await look(desk)
    assert parts.provider in bidders(chain, order)


async def test_collateral_of_one_round_is_never_more_than_can_be_spent(chain, tenant, parts, look):
    """Each order is judged with what the ones before it have taken."""
    first, second = await tenant.deploy(), await tenant.deploy()
    collateral_uptn = chain.world.exchange.ledger.order(first).collateral_uptn
    view = await read_chain(parts.node, parts.provider, parts.sender.address, parts.chain_id)
    desk = BidDesk(parts)
    await look(desk, evolve(view, balance_uptn=2 * collateral_uptn - 1))
    assert parts.provider in bidders(chain, first)
    assert parts.provider not in bidders(chain, second)
    assert desk.reasons[second].why == "balance"


async def test_large_rounds_are_sent_in_bounded_transactions(tenant, parts, look, monkeypatch):
    monkeypatch.setattr(bidder_module, "BIDS_PER_TRANSACTION", 2)
    for _ in range(3):
        await tenant.deploy()
    assert await look(BidDesk(parts)) == 2
