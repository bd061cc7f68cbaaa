"""The way of a deployment through the client: on chain, over the link, on disk."""

import pytest
import trio

from photon_core.api.errors import PhotonError
from photon_core.api.ids import LeaseId
from photon_core.chain import keys
from photon_core.chain.keys import KeyPurpose
from photon_core.cli.steps import step_text
from photon_core.exchange.messages import CloseLease, ConfirmLeases, ProviderCloseReason, StatusChange
from photon_core.exchange.records import CloseReason, LeaseStatus
from photon_core.manifest.vault import Vault
from photon_core.node.account import TransactionRefused
from photon_core.tenant import steps
from photon_core.tenant.client import open_tenant


async def leased(chain, tenant, plan, **bid):
    deployment = await tenant.deploy(plan)
    lease = LeaseId(deployment, 0, 0)
    chain.bid(lease, "alpha", **bid)
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
        steps.Ordered,
        steps.BidCame,
        steps.Leased,
        steps.ManifestDelivered,
        steps.WorkloadChanged,
        steps.Serving,
    ]
    assert seen[-1].endpoints[0].hostnames == ("web.example",)
    assert alpha.sections[lease].section.services[0].env == (("SECRET", "hush"),)

    alpha.logged(lease, "web", b"one\ntwo\n")
    async with tenant.logs(lease) as chunks:
        assert b"".join([chunk.data async for chunk in chunks]) == b"one\ntwo\n"

    chain.confirm("alpha", lease, LeaseStatus.SERVING)
    chain.world.pass_time(30_000)
    assert (await tenant.status(deployment)).groups[0].standing == "serving"

    money = await tenant.close(deployment)
    assert money.paid_uptn == 30_000 * 6 * 10**11 // (3_600_000 * 10**6) + _until_close(chain, 6 * 10**11)
    assert (money.held_uptn, money.owed_uptn, money.unaccounted_uptn) == (0, 0, 0)
    after = (await chain.account(tenant.address)).balance_uptn
    assert before - after == money.paid_uptn + money.fees_uptn


def _until_close(chain, price):
    """What the lease earned besides the half minute: its confirmation and its closing are blocks of 1 ms each."""
    lease = chain.world.exchange.ledger.lease(LeaseId(1, 0, 0))
    elapsed_ms = lease.closed_ms - lease.origin_ms
    return price * elapsed_ms // (3_600_000 * 10**6) - 30_000 * price // (3_600_000 * 10**6)


# --- what is on disk, and when ---------------------------------------------------------------------------------------


async def test_manifest_and_delegation_are_on_disk_before_the_transaction_leaves(chain, tenant, plan, tmp_path):
    found = []

    def look(_raw):
        vault = Vault(tmp_path / "home", chain.chain_id)
        found.append((vault.new_versions(), vault.deployments(), list((tmp_path / "home/delegations").rglob("*.cbor"))))

    chain.before_submit = look
    deployment = await tenant.deploy(plan)
    ((versions, numbers, delegations),) = found
    assert len(versions) == 1
    assert numbers == ()
    assert len(delegations) == 1
    vault = Vault(tmp_path / "home", chain.chain_id)
    assert vault.new_versions() == ()
    assert vault.get(deployment).version == versions[0]


async def test_a_client_that_died_before_the_answer_finds_its_deployment_at_the_next_start(
    chain, owner, plan, tmp_path, make_transport
):
    home = tmp_path / "home"
    real = chain.submit

    async def lose_the_answer(transactions, **given):
        await real(transactions, **given)
        raise KeyboardInterrupt

    chain.submit = lose_the_answer
    with pytest.raises(KeyboardInterrupt):
        async with open_tenant(chain, owner, home=home, make_transport=make_transport) as tenant:
            await tenant.deploy(plan)
    chain.submit = real
    vault = Vault(home, chain.chain_id)
    assert vault.deployments() == ()
    async with open_tenant(chain, owner, home=home, make_transport=make_transport):
        assert vault.deployments() == (1,)
        assert vault.new_versions() == ()


async def test_nothing_is_kept_of_a_refused_deployment(chain, tenant, plan, tmp_path):
    with pytest.raises(TransactionRefused) as caught:
        await tenant.deploy(plan, deposit_uptn=10**12)
    assert caught.value.code == "insufficient-funds"
    assert str(10**12) in caught.value.what
    assert Vault(tmp_path / "home", chain.chain_id).new_versions() == ()


async def test_a_closed_deployments_secrets_are_deleted(chain, tenant, plan, tmp_path):
    deployment = await tenant.deploy(plan)
    await tenant.close(deployment)
    assert Vault(tmp_path / "home", chain.chain_id).get(deployment) is None


# --- delivering ------------------------------------------------------------------------------------------------------


async def test_delivering_twice_is_fine(chain, tenant, plan, alpha):
    lease = await leased(chain, tenant, plan)
    assert (await tenant.deliver(lease)).news
    assert not (await tenant.deliver(lease)).news


async def test_delivery_goes_on_while_the_provider_is_behind(chain, tenant, plan, alpha):
    lease = await leased(chain, tenant, plan)
    alpha.refuse_with = ["unknown-lease", "chain-unreachable"]
    assert (await tenant.deliver(lease)).news


async def test_a_refusal_that_will_not_change_ends_it(chain, tenant, plan, alpha):
    lease = await leased(chain, tenant, plan)
    alpha.refuse_with = ["unfit-section"]
    with pytest.raises(PhotonError, match="not now") as caught:
        await tenant.deliver(lease)
    assert (caught.value.code, caught.value.exit_code) == ("unfit-section", 4)


async def test_another_home_has_nothing_to_deliver(chain, owner, tenant, plan, alpha, tmp_path, make_transport):
    lease = await leased(chain, tenant, plan)
    async with open_tenant(chain, owner, home=tmp_path / "other", make_transport=make_transport) as elsewhere:
        with pytest.raises(PhotonError) as caught:
            await elsewhere.deliver(lease)
    assert caught.value.code == "no-manifest"
    assert not alpha.sections


async def test_a_stranger_gets_no_status_and_no_logs(chain, tenant, plan, alpha, tmp_path, make_transport):
    lease = await leased(chain, tenant, plan)
    stranger = keys.generate(KeyPurpose.ACCOUNT)
    async with open_tenant(chain, stranger, home=tmp_path / "other", make_transport=make_transport) as other:
        with pytest.raises(PhotonError) as caught:
            await other.report(lease)
        assert caught.value.code == "not-yours"
        with pytest.raises(PhotonError, match="another account"):
            await other.logs(lease).__aenter__()
    assert not alpha.callers


async def test_a_provider_that_is_not_there_is_named_with_its_addresses(
    chain, tenant, plan, make_transport, monkeypatch
):
    monkeypatch.setattr("photon_core.tenant.links.LINK_TIMEOUT_S", 0.05)
    chain.world.register("alpha", attributes=(("region", "west"),))
    lease = await leased(chain, tenant, plan)
    with pytest.raises(PhotonError, match="memory:1") as caught:
        await tenant.report(lease)
    assert (caught.value.code, caught.value.exit_code) == ("provider-unreachable", 5)


# --- following -------------------------------------------------------------------------------------------------------


async def test_following_a_deployment_that_a_keeper_delivers_for(chain, tenant, plan, alpha, nursery):
    lease = await leased(chain, tenant, plan)
    async with tenant.following(lease.deployment, deliver=False) as told:
        nursery.start_soon(tenant.deliver, lease)
        with trio.fail_after(10):
            async for step in told:
                if isinstance(step, steps.ManifestDelivered):
                    assert not step.by_us
                    break


async def test_following_ends_with_the_deployment(chain, tenant, plan):
    deployment = await tenant.deploy(plan)
    await tenant.close(deployment)
    async with tenant.following(deployment) as told:
        with trio.fail_after(10):
            seen = [step async for step in told]
    assert isinstance(seen[0], steps.Ordered)
    assert isinstance(seen[-1], steps.Ended)


async def test_a_fault_is_a_step_with_its_reason(chain, tenant, plan, alpha):
    lease = await leased(chain, tenant, plan)
    alpha.say(lease, LeaseStatus.WORKLOAD_FAULT, "web: command not found")
    async with tenant.following(lease.deployment) as told:
        with trio.fail_after(10):
            async for step in told:
                if isinstance(step, steps.WorkloadChanged):
                    assert (step.status, step.reason) == (LeaseStatus.WORKLOAD_FAULT, "web: command not found")
                    break


async def test_a_lease_closed_at_once_ends_with_the_reason_that_the_chain_has(chain, tenant, plan, alpha):
    lease = await leased(chain, tenant, plan)
    fault = StatusChange(lease=lease, status=LeaseStatus.WORKLOAD_FAULT, reason="web has no command")
    chain.world.must(
        "alpha-op",
        ConfirmLeases(height=chain.world.exchange.height, changes=(fault,)),
        CloseLease(lease=lease, reason=ProviderCloseReason.FAULT),
    )
    async with tenant.following(lease.deployment) as told:
        with trio.fail_after(10):
            while not isinstance(ended := await told.receive(), steps.LeaseEnded):
                pass
    assert (ended.reason, ended.why) == (CloseReason.FAULT, "web has no command")
    assert "web has no command" in step_text(ended)
    (group,) = (await tenant.status(lease.deployment)).groups
    assert "web has no command" in group.says
