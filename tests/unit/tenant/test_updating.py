"""An update through the client: refused or on disk before it leaves, delivered, and finished if it broke off."""

import pytest
import trio
from attrs import evolve

from photon_core.api.errors import PhotonError, UsageError
from photon_core.api.ids import LeaseId
from photon_core.chain import keys
from photon_core.chain.keys import KeyPurpose
from photon_core.exchange.messages import Transfer
from photon_core.manifest.vault import Vault
from photon_core.node.account import AccountSender, TransactionRefused
from photon_core.tenant import steps
from photon_core.tenant.client import open_tenant
from photon_core.testing.exchange import address


def with_env(plan, value):
    """The plan with another environment for its service."""
    (group,) = plan.groups
    (web,) = group.section.services
    section = evolve(group.section, services=(evolve(web, env=(("SECRET", value),)),))
    return evolve(plan, groups=(evolve(group, section=section),))


async def leased(chain, tenant, plan):
    deployment = await tenant.deploy(plan)
    lease = LeaseId(deployment, 0, 0)
    chain.bid(lease, "alpha")
    chain.end_bidding()
    return lease


@pytest.fixture
async def serving(chain, tenant, plan, alpha):
    lease = await leased(chain, tenant, plan)
    await tenant.deliver(lease)
    alpha.serves(lease)
    return lease


@pytest.fixture
def vault(chain, tmp_path):
    return Vault(tmp_path / "home", chain.chain_id)


def version(chain, deployment=1):
    return chain.world.exchange.ledger.deployment(deployment).version


async def test_an_update_is_on_chain_delivered_and_serves_again(chain, tenant, plan, alpha, serving, vault):
    updated = await tenant.update(serving.deployment, with_env(plan, "louder"))
    assert updated.version == version(chain) == vault.get(serving.deployment).version
    assert dict(updated.changed) == {0: "west"}
    status = await tenant.status(serving.deployment)
    assert (status.groups[0].standing, status.groups[0].awaits_update) == ("serving", True)
    assert "a newer manifest is awaited" in status.groups[0].says
    seen = []
    async with tenant.following_update(updated) as told:
        with trio.fail_after(10):
            async for step in told:
                seen.append(step)
                if isinstance(step, steps.WorkloadChanged):
                    alpha.serves(serving)
                if isinstance(step, steps.Serving):
                    break
    assert [type(step) for step in seen] == [steps.ManifestDelivered, steps.WorkloadChanged, steps.Serving]
    assert seen[0].provider == address("alpha")
    assert seen[-1].again
    assert alpha.sections[serving].section.services[0].env == (("SECRET", "louder"),)
    status = await tenant.status(serving.deployment)
    assert (status.groups[0].says, status.groups[0].awaits_update) == ("serving", False)


async def test_the_new_manifest_is_on_disk_beside_the_old_one_before_the_transaction_leaves(
    chain, tenant, plan, serving, vault
):
    old, found = vault.get(serving.deployment), []
    chain.before_submit = lambda _raw: found.append((vault.get(serving.deployment), vault.updates(serving.deployment)))
    await tenant.update(serving.deployment, with_env(plan, "louder"))
    ((kept, (new,)),) = found
    assert kept == old
    assert new == vault.get(serving.deployment)
    assert new.groups[0].units == old.groups[0].units


async def test_an_update_whose_answer_was_lost_is_finished_by_running_it_again(
    chain, owner, plan, alpha, serving, tmp_path, make_transport, vault
):
    real = chain.submit

    async def lose_the_answer(transactions, **given):
        await real(transactions, **given)
        raise KeyboardInterrupt

    chain.submit = lose_the_answer
    home = tmp_path / "home"
    with pytest.raises(KeyboardInterrupt):
        async with open_tenant(chain, owner, home=home, make_transport=make_transport) as tenant:
            await tenant.update(serving.deployment, with_env(plan, "louder"))
    chain.submit = real
    on_chain = version(chain)
    async with open_tenant(chain, owner, home=home, make_transport=make_transport) as tenant:
        updated = await tenant.update(serving.deployment, with_env(plan, "louder"))
        assert (updated.sent, updated.version, dict(updated.changed)) == (None, on_chain, {0: "west"})
        assert (await tenant.deliver(serving)).news
        alpha.serves(serving)
        with pytest.raises(UsageError) as raised:
            await tenant.update(serving.deployment, with_env(plan, "louder"))
    assert raised.value.code == "same-version"
    assert vault.get(serving.deployment).version == on_chain


async def test_an_update_that_never_left_is_the_same_one_when_it_is_asked_for_again(
    chain, tenant, plan, serving, vault
):
    """Sent twice it would be refused as the same version: one salt, one update."""
    real, old = chain.submit, version(chain)

    async def die(_transactions, **_given):
        raise KeyboardInterrupt

    chain.submit = die
    with pytest.raises(KeyboardInterrupt):
        await tenant.update(serving.deployment, with_env(plan, "louder"))
    (pending,) = vault.updates(serving.deployment)
    assert vault.at_version(serving.deployment, old) is not None
    chain.submit = real
    updated = await tenant.update(serving.deployment, with_env(plan, "louder"))
    assert updated.version == pending.version == version(chain)


async def test_a_refused_update_leaves_nothing_behind(chain, tenant, plan, serving, vault):
    old = vault.get(serving.deployment)
    sender = AccountSender(chain, tenant._key)
    await sender.send(
        Transfer(to=address("stranger"), amount_uptn=(await chain.account(tenant.address)).balance_uptn - 2_000)
    )
    with pytest.raises(TransactionRefused):
        await tenant.update(serving.deployment, with_env(plan, "louder"))
    assert vault.get(serving.deployment) == old
    assert vault.updates(serving.deployment) == ()
    assert version(chain) == old.version


@pytest.mark.parametrize("change", ["units", "attributes", "collateral_uptn"])
async def test_a_file_that_orders_something_else_is_refused_with_both_values(chain, tenant, plan, serving, change):
    (group,) = plan.groups
    (unit,) = group.units
    other = {
        "units": (evolve(unit, max_price=unit.max_price + 1),),
        "attributes": (("region", "east"),),
        "collateral_uptn": group.collateral_uptn + 1,
    }[change]
    before, handed_over = version(chain), []
    chain.before_submit = handed_over.append
    with pytest.raises(UsageError) as raised:
        await tenant.update(serving.deployment, evolve(plan, groups=(evolve(group, **{change: other}),)))
    error = raised.value
    assert (error.code, error.exit_code) == ("groups-differ", 2)
    assert "on chain" in error.expected
    assert "in the file" in error.found
    assert "photon deploy" in error.remedy
    assert handed_over == []
    assert version(chain) == before


async def test_another_placement_is_named(tenant, plan, serving):
    (group,) = plan.groups
    elsewhere = evolve(group, section=evolve(group.section, group="east"))
    with pytest.raises(UsageError) as raised:
        await tenant.update(serving.deployment, evolve(plan, groups=(elsewhere,)))
    assert (raised.value.expected, raised.value.found) == ("west, as on chain", "east in the file")


async def test_strangers_and_closed_deployments_are_refused(
    chain, tenant, plan, serving, tmp_path, make_transport, vault
):
    stranger = keys.generate(KeyPurpose.ACCOUNT)
    chain.give(stranger.address)
    before = version(chain)
    async with open_tenant(chain, stranger, home=tmp_path / "other", make_transport=make_transport) as other:
        with pytest.raises(PhotonError) as raised:
            await other.update(serving.deployment, with_env(plan, "louder"))
    assert (raised.value.code, raised.value.exit_code) == ("not-yours", 4)
    await tenant.close(serving.deployment)
    with pytest.raises(PhotonError) as raised:
        await tenant.update(serving.deployment, with_env(plan, "louder"))
    assert (raised.value.code, raised.value.exit_code) == ("deployment-closed", 4)
    assert version(chain) == before
    assert vault.deployments() == ()


async def test_a_home_that_lost_its_manifest_gets_a_new_one_by_an_update(
    chain, owner, plan, alpha, serving, tmp_path, make_transport
):
    async with open_tenant(chain, owner, home=tmp_path / "new home", make_transport=make_transport) as tenant:
        with pytest.raises(PhotonError, match="not kept here"):
            await tenant.deliver(serving)
        updated = await tenant.update(serving.deployment, plan)
        assert updated.resealed
        assert (await tenant.deliver(serving)).news


async def test_a_section_that_stays_keeps_its_salt_and_hash(chain, tenant, plan, serving, vault):
    (west,) = plan.groups
    east = evolve(west, section=evolve(west.section, group="east"))
    both = evolve(plan, groups=(east, west))
    deployment = await tenant.deploy(both)
    old = vault.get(deployment)
    updated = await tenant.update(deployment, evolve(both, groups=(east, *with_env(plan, "louder").groups)))
    new = vault.get(deployment)
    assert new.sections[0] == old.sections[0]
    assert new.groups[0] == old.groups[0]
    assert new.sections[1].salt != old.sections[1].salt
    assert dict(updated.changed) == {1: "west"}


async def test_a_provider_whose_node_is_behind_is_tried_again(chain, tenant, plan, alpha, serving):
    await tenant.update(serving.deployment, with_env(plan, "louder"))
    alpha.refuse_with = ["wrong-version", "wrong-version"]
    assert (await tenant.deliver(serving)).news


async def test_who_follows_a_deployment_sees_its_update_and_what_comes_of_it(chain, tenant, plan, alpha, serving):
    seen = []
    async with tenant.following(serving.deployment) as told:
        with trio.fail_after(10):
            async for step in told:
                seen.append(type(step))
                if isinstance(step, steps.Serving):
                    if step.again:
                        break
                    await tenant.update(serving.deployment, with_env(plan, "louder"))
                if isinstance(step, steps.WorkloadChanged):
                    alpha.serves(serving)
    assert seen[seen.index(steps.VersionChanged) :] == [
        steps.VersionChanged,
        steps.ManifestDelivered,
        steps.WorkloadChanged,
        steps.Serving,
    ]
