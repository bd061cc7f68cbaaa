"""The way of a deployment through the client: on chain, over the link, on disk."""

import pytest

from photon_core.api.errors import PhotonError
from photon_core.api.ids import LeaseId
from photon_core.exchange.records import LeaseStatus
from photon_core.manifest.sections import decode_section
from photon_core.tenant import steps


async def leased(chain, tenant, plan):
    deployment = await tenant.deploy(plan)
    lease = LeaseId(deployment, 0, 0)
    chain.bid(lease, "alpha")
    chain.end_bidding()
    return lease


async def test_deploy_deliver_serve_logs_close(chain, tenant, plan, alpha):
    before = (await chain.account(tenant.address)).balance_uptn
    deployment = await tenant.deploy(plan)
    lease = LeaseId(deployment, 0, 0)
    chain.bid(lease, "alpha", price=6 * 10**11)
    seen = []
    async with tenant.following(deployment) as told:
        chain.end_bidding()
        async for step in told:
            seen.append(step)
            if isinstance(step, steps.WorkloadChanged):
                alpha.serves(lease)
            if isinstance(step, steps.Serving):
                break
    assert [type(step) for step in seen] == [
        steps.Ordered, steps.BidCame, steps.Leased, steps.ManifestDelivered, steps.WorkloadChanged, steps.Serving
    ]
    assert seen[-1].endpoints[0].hostnames == ("web.example",)
    assert decode_section(alpha.sections[lease]).services[0].env == (("SECRET", "hush"),)

    async with tenant.logs(lease) as chunks:
        assert [chunk.data async for chunk in chunks] == [b"one\n", b"two\n"]

    chain.confirm("alpha", lease, LeaseStatus.SERVING)
    chain.world.pass_time(30_000)
    status = await tenant.status(deployment)
    assert status.groups[0].standing == "serving"
    money = await tenant.close(deployment)
    assert money.unaccounted_uptn == 0
    assert money.held_uptn == money.owed_uptn == 0
    assert money.paid_uptn > 0
    after = (await chain.account(tenant.address)).balance_uptn
    assert before - after == money.paid_uptn + money.fees_uptn
