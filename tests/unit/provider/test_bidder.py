"""The bid desk on a real exchange: several orders at once, and one of them that the chain refuses."""

import pytest
from attrs import evolve

from photon_core.node.views import Submitted
from photon_core.peers.methods import Verdict
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


async def test_bid_without_a_certificate_yet_counts_and_is_not_made_twice(chain, tenant, parts, look, monkeypatch):
    """It may still win. It is forgotten when it is seen on chain, or when it has expired."""
    order = await tenant.deploy()
    handed_over = {}

    async def submit(transactions, *, wait_s=0.0):
        handed_over.update(dict.fromkeys(transactions))  # the same bytes again are the same transaction
        return tuple(Submitted(id=bytes(32), status="pending") for _ in transactions)

    monkeypatch.setattr(chain, "submit", submit)
    desk, capacity = BidDesk(parts), await parts.runtime.capacity()
    for _ in range(2):
        await look(desk)
    assert len(handed_over) == 1
    view = await read_chain(parts.node, parts.provider, parts.sender.address, parts.chain_id)
    assert desk.stock(view, capacity).bid_for.cpu_milli == 200
    assert desk.decision(order, view).verdict is Verdict.BID
    late = evolve(view, status=evolve(view.status, height=view.height + bidder_module.UNTIL_BLOCKS + 1))
    await look(desk, late)
    assert len(handed_over) == 2, "the first can no longer come to be"
    monkeypatch.undo()
    await chain.submit([next(iter(handed_over))])
    assert parts.provider in bidders(chain, order)
    await look(desk)
    assert desk._sent == {}


async def test_collateral_of_a_bid_under_way_is_not_spent_again(chain, tenant, parts, look, monkeypatch):
    first = await tenant.deploy()
    collateral_uptn = chain.world.exchange.ledger.order(first).collateral_uptn
    real = chain.submit

    async def submit(transactions, *, wait_s=0.0):
        return tuple(Submitted(id=bytes(32), status="pending") for _ in transactions)

    monkeypatch.setattr(chain, "submit", submit)
    desk = BidDesk(parts)
    await look(desk)
    monkeypatch.setattr(chain, "submit", real)
    second = await tenant.deploy()
    view = await read_chain(parts.node, parts.provider, parts.sender.address, parts.chain_id)
    await look(desk, evolve(view, balance_uptn=2 * collateral_uptn - 1))
    assert desk.reasons[second].why == "balance"


@pytest.mark.parametrize("code", ["backlog", "stale-pending"])
async def test_chain_that_has_work_to_finish_first_is_asked_again_with_the_next_block(
    chain, tenant, parts, look, monkeypatch, code
):
    orders = [await tenant.deploy() for _ in range(2)]
    real, asked = chain.submit, []

    async def submit(transactions, *, wait_s=0.0):
        asked.extend(transactions)
        return tuple(Submitted(id=bytes(32), status="refused", code=code, reason="later") for _ in transactions)

    monkeypatch.setattr(chain, "submit", submit)
    desk = BidDesk(parts)
    await look(desk)
    assert len(asked) == 1, "one by one they would be refused too"
    monkeypatch.setattr(chain, "submit", real)
    await look(desk)
    assert all(parts.provider in bidders(chain, order) for order in orders)


async def test_order_that_the_pricing_plugin_chokes_on_costs_no_other_its_bid(chain, tenant, parts, look, caplog):
    bad, good = await tenant.deploy(), await tenant.deploy()

    class Choosy:
        def quote(self, request):
            if request.order == bad:
                raise ZeroDivisionError
            return parts.pricing.quote(request)

    desk = BidDesk(evolve(parts, pricing=Choosy()))
    for _ in range(2):
        await look(desk)
    assert parts.provider in bidders(chain, good)
    assert "ZeroDivisionError" in desk.reasons[bad].reason
    assert len(caplog.records) == 1
