"""What `status` says: one sentence for whatever a deployment may wait for."""

import re

import pytest
import trio

from photon_core.api.errors import PhotonError
from photon_core.api.ids import LeaseId
from photon_core.exchange.messages import CloseLease, ProviderCloseReason
from photon_core.exchange.records import LeaseStatus
from photon_core.tenant.links import LINK_TIMEOUT_S, STATUS_LINK_TIMEOUT_S


async def says(tenant, deployment):
    group = (await tenant.status(deployment)).groups[0]
    return str(group.standing), group.says


async def leased(chain, tenant, plan, sequence=0):
    deployment = await tenant.deploy(plan)
    lease = LeaseId(deployment, 0, sequence)
    chain.bid(lease, "alpha")
    chain.end_bidding()
    return lease


async def test_an_unknown_deployment_has_exit_code_3(tenant):
    with pytest.raises(PhotonError, match="no deployment 99") as caught:
        await tenant.status(99)
    assert caught.value.exit_code == 3


async def test_without_any_provider(chain, tenant, plan):
    deployment = await tenant.deploy(plan)
    assert await says(tenant, deployment) == ("no-provider", "no provider: none is registered on this chain")


async def test_with_providers_that_lack_an_attribute(chain, tenant, plan):
    chain.world.register("alpha", attributes=(("region", "east"),))
    deployment = await tenant.deploy(plan)
    assert await says(tenant, deployment) == ("no-provider", "no provider: 1 has region = east, wanted: west")


async def test_before_and_after_the_first_bid(chain, tenant, plan, alpha):
    deployment = await tenant.deploy(plan)
    assert await says(tenant, deployment) == ("waits-for-bids", "waits for bids: 1 provider could bid")
    chain.bid(LeaseId(deployment, 0, 0), "alpha")
    assert (await says(tenant, deployment))[1] == "waits for the bidding to end: 1 bid is in"


async def test_when_nobody_bid(chain, tenant, plan, alpha):
    deployment = await tenant.deploy(plan)
    chain.end_bidding()
    standing, sentence = await says(tenant, deployment)
    assert standing == "no-provider"
    assert "ended without a winner" in sentence
    assert "1 of 1 could bid; no bid came in time" in sentence
    assert re.search(r"it is ordered again in \d+ s", sentence)


async def test_a_provider_that_is_away_is_no_reason_before_the_bidding_is_over(chain, tenant, plan, monkeypatch):
    monkeypatch.setattr("photon_core.tenant.decisions.STATUS_LINK_TIMEOUT_S", 0.05)
    chain.world.register("alpha", attributes=(("region", "west"),))
    deployment = await tenant.deploy(plan)
    silent = "asked why, 1 of 1 did not answer"
    assert silent not in (await says(tenant, deployment))[1]
    chain.end_bidding()
    assert silent in (await says(tenant, deployment))[1]


async def test_a_provider_that_is_away_keeps_the_status_waiting_for_less_than_a_delivery(
    chain, tenant, plan, monkeypatch
):
    assert STATUS_LINK_TIMEOUT_S < LINK_TIMEOUT_S
    monkeypatch.setattr("photon_core.tenant.lookup.STATUS_LINK_TIMEOUT_S", 0.05)
    chain.world.register("alpha", attributes=(("region", "west"),))
    lease = await leased(chain, tenant, plan)
    with trio.fail_after(STATUS_LINK_TIMEOUT_S):
        (group,) = (await tenant.status(lease.deployment)).groups
    assert group.report is None
    assert "memory:1" in group.no_report


async def test_without_its_manifest(chain, tenant, plan, alpha):
    lease = await leased(chain, tenant, plan)
    standing, sentence = await says(tenant, lease.deployment)
    assert standing == "waits-for-manifest"
    assert "photon serve" in sentence


async def test_the_providers_word_is_newer_than_the_chains(chain, tenant, plan, alpha):
    lease = await leased(chain, tenant, plan)
    alpha.say(lease, LeaseStatus.WORKLOAD_FAULT, "command not found")
    assert await says(tenant, lease.deployment) == ("workload-fault", "workload-fault: command not found")


async def test_after_a_provider_fell_silent_the_collateral_is_counted(chain, tenant, plan, alpha):
    lease = await leased(chain, tenant, plan)
    before = (await chain.account(tenant.address)).balance_uptn
    chain.world.pass_time(chain.world.parameters.reconfirmation_period_ms + 1_000)
    status = await tenant.status(lease.deployment)
    received = status.money.collateral_received_uptn
    assert received == plan.groups[0].collateral_uptn
    assert (await chain.account(tenant.address)).balance_uptn - before == received
    assert f"ended: stale, {received} uptn of collateral received" in status.groups[0].says
    assert status.money.unaccounted_uptn == 0


async def test_a_lease_closed_for_a_fault_leaves_its_reason(chain, tenant, plan, alpha):
    lease = await leased(chain, tenant, plan)
    chain.confirm("alpha", lease, LeaseStatus.WORKLOAD_FAULT, "exit code 1")
    chain.world.must("alpha-op", CloseLease(lease=lease, reason=ProviderCloseReason.FAULT))
    chain.world.pass_time(1_500)
    standing, sentence = await says(tenant, lease.deployment)
    assert standing == "no-provider"
    assert "left out until an update or a resume: an earlier lease closed for fault" in sentence
    assert f"lease {lease} ended: fault (exit code 1)" in sentence


async def test_a_closed_deployment(chain, tenant, plan):
    deployment = await tenant.deploy(plan)
    await tenant.close(deployment)
    assert await says(tenant, deployment) == ("closed", "closed")


async def test_a_bidder_is_paid_when_the_order_is_closed_under_its_bid(chain, tenant, plan, alpha):
    deployment = await tenant.deploy(plan)
    chain.bid(LeaseId(deployment, 0, 0), "alpha")
    money = await tenant.close(deployment)
    assert money.bidders_uptn == chain.world.parameters.min_fee_uptn
    assert money.paid_uptn == 0
    assert money.unaccounted_uptn == 0
