"""The keeper: it delivers while nobody is at home, whatever order things come in, and has no account key."""

import pytest
import trio
import trio.testing
from attrs import evolve

from photon_core.api.ids import LeaseId
from photon_core.exchange.messages import CloseLease, ProviderCloseReason
from photon_core.exchange.records import GroupState, LeaseStatus
from photon_core.manifest.vault import Vault
from photon_core.tenant.identity import keeper_key
from photon_core.tenant.keeper import open_keeper
from photon_core.testing.exchange import address


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def start_keeper(chain, home, make_transport, nursery):
    """Starts one and returns what it tells; `cancel` is put into the list's attribute."""

    async def start():
        lines, scope = [], trio.CancelScope()

        async def run(task_status):
            with scope:
                async with open_keeper(chain, home=home, make_transport=make_transport, tell=lines.append) as keeper:
                    task_status.started()
                    await keeper.run()

        await nursery.start(run)
        return lines, scope

    return start


async def until(gateway, condition):
    with trio.fail_after(10):
        while not condition():
            gateway.delivered = trio.Event()
            await gateway.delivered.wait()


async def leased(chain, tenant, plan):
    deployment = await tenant.deploy(plan)
    lease = LeaseId(deployment, 0, 0)
    chain.bid(lease, "alpha")
    chain.end_bidding()
    return lease


async def paused_for_want_of_a_manifest(chain, tenant, plan):
    """The deployment whose group every provider gave up; those are registered that are not yet."""
    deployment = await tenant.deploy(plan)
    known = {provider.id for provider in await chain.providers()}
    for sequence, name in enumerate(("alpha", "beta", "gamma")):
        if address(name) not in known:
            chain.world.register(name, attributes=(("region", "west"),))
        lease = LeaseId(deployment, 0, sequence)
        chain.bid(lease, name)
        chain.end_bidding()
        chain.world.must(f"{name}-op", CloseLease(lease=lease, reason=ProviderCloseReason.NO_MANIFEST))
        chain.world.pass_time(5_000)
    group = (await chain.deployment(deployment)).groups[0].group
    assert group.state is GroupState.PAUSED
    return deployment


async def test_it_delivers_to_a_lease_that_was_there_before_it_started(chain, tenant, plan, alpha, start_keeper, home):
    lease = await leased(chain, tenant, plan)
    await start_keeper()
    await until(alpha, lambda: lease in alpha.sections)
    assert alpha.callers[-1] == keeper_key(home).public


async def test_it_delivers_to_a_lease_that_comes_while_it_runs(chain, tenant, plan, alpha, start_keeper):
    await start_keeper()
    lease = await leased(chain, tenant, plan)
    await until(alpha, lambda: lease in alpha.sections)


async def test_it_tries_again_while_the_provider_is_busy(chain, tenant, plan, alpha, start_keeper):
    alpha.refuse_with = ["busy", "unknown-lease"]
    lease = await leased(chain, tenant, plan)
    await start_keeper()
    await until(alpha, lambda: lease in alpha.sections)
    assert alpha.refuse_with == []


async def test_a_provider_that_lost_the_section_gets_it_again(chain, tenant, plan, alpha, start_keeper):
    await start_keeper()
    lease = await leased(chain, tenant, plan)
    await until(alpha, lambda: lease in alpha.sections)
    chain.confirm("alpha", lease, LeaseStatus.STARTING)
    alpha.sections.clear()
    chain.confirm("alpha", lease, LeaseStatus.AWAITING_MANIFEST)
    await until(alpha, lambda: lease in alpha.sections)


async def test_an_update_is_delivered_by_it_while_it_runs_and_when_it_starts_after(
    chain, tenant, plan, alpha, start_keeper
):
    _, scope = await start_keeper()
    lease = await leased(chain, tenant, plan)
    await until(alpha, lambda: lease in alpha.sections)
    for value, runs in (("louder", True), ("loudest", False)):
        if not runs:
            scope.cancel()
        (group,) = plan.groups
        (web,) = group.section.services
        section = evolve(group.section, services=(evolve(web, env=(("SECRET", value),)),))
        await tenant.update(lease.deployment, evolve(plan, groups=(evolve(group, section=section),)))
        if not runs:
            await start_keeper()
        wanted = (("SECRET", value),)
        await until(alpha, lambda wanted=wanted: alpha.sections[lease].section.services[0].env == wanted)


async def test_after_a_restart_it_knows_what_to_do_without_having_written_anything(
    chain, tenant, plan, alpha, start_keeper
):
    _, scope = await start_keeper()
    lease = await leased(chain, tenant, plan)
    await until(alpha, lambda: lease in alpha.sections)
    scope.cancel()
    alpha.sections.clear()
    await start_keeper()
    await until(alpha, lambda: lease in alpha.sections)


async def test_a_deployment_whose_number_was_never_heard_of_is_found_by_its_version(
    chain, tenant, plan, alpha, start_keeper, home
):
    lease = await leased(chain, tenant, plan)
    vault = Vault(home, chain.chain_id)
    manifest = vault.get(lease.deployment)
    vault.keep_new(manifest)  # as if the client had died before it learnt the number
    vault.forget(lease.deployment)
    await start_keeper()
    await until(alpha, lambda: lease in alpha.sections)


async def test_without_a_delegation_it_says_what_to_run(chain, tenant, plan, alpha, start_keeper, home):
    await leased(chain, tenant, plan)
    for path in (home / "delegations").rglob("*.cbor"):
        path.unlink()
    lines, _ = await start_keeper()
    with trio.fail_after(10):
        while not lines:
            await trio.testing.wait_all_tasks_blocked()
    assert any("photon serve grant" in line for line in lines)
    assert not alpha.sections


async def test_what_it_kept_for_a_closed_deployment_is_deleted(chain, tenant, plan, alpha, start_keeper, home):
    lease = await leased(chain, tenant, plan)
    vault = Vault(home, chain.chain_id)
    manifest = vault.get(lease.deployment)
    await tenant.close(lease.deployment)
    vault.put(lease.deployment, manifest)
    lines, _ = await start_keeper()
    with trio.fail_after(10):
        while vault.deployments():
            await trio.testing.wait_all_tasks_blocked()
    assert any("deleted" in line for line in lines)


async def test_a_group_paused_for_want_of_a_manifest_is_told_of_or_resumed(
    chain, tenant, plan, start_keeper, owner, home, make_transport, nursery
):
    deployment = await paused_for_want_of_a_manifest(chain, tenant, plan)

    lines, scope = await start_keeper()
    with trio.fail_after(10):
        while not lines:
            await trio.testing.wait_all_tasks_blocked()
    assert f"`photon resume {deployment}/0`" in lines[0]
    scope.cancel()

    async with open_keeper(chain, home=home, make_transport=make_transport, tell=lines.append, key=owner) as keeper:
        nursery.start_soon(keeper.run)
        with trio.fail_after(10):
            while (await chain.deployment(deployment)).groups[0].group.state is GroupState.PAUSED:
                await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_a_lease_that_is_made_while_the_keeper_looks_is_not_missed(
    chain, tenant, plan, alpha, start_keeper, monkeypatch
):
    """The answer was given before the lease was there; its event comes before the answer."""
    lease = LeaseId(await tenant.deploy(plan), 0, 0)
    real, looked = chain.deployment, []

    async def deployment(number):
        detail = await real(number)
        if not looked:
            looked.append(number)
            await trio.testing.wait_all_tasks_blocked()  # the keeper listens by now
            chain.bid(lease, "alpha")
            chain.end_bidding()
            await trio.testing.wait_all_tasks_blocked()
        return detail

    monkeypatch.setattr(chain, "deployment", deployment)
    await start_keeper()
    await until(alpha, lambda: lease in alpha.sections)


async def test_a_group_that_is_being_resumed_keeps_no_delivery_waiting(
    chain, tenant, plan, alpha, owner, home, make_transport, nursery, monkeypatch
):
    paused = await paused_for_want_of_a_manifest(chain, tenant, plan)
    lease = await leased(chain, tenant, plan)
    assert lease.deployment > paused
    handed_over = []

    async def submit(transactions, *, wait_s=0.0):
        handed_over.extend(transactions)
        await trio.sleep_forever()

    monkeypatch.setattr(chain, "submit", submit)
    async with open_keeper(chain, home=home, make_transport=make_transport, tell=print, key=owner) as keeper:
        nursery.start_soon(keeper.run)
        await until(alpha, lambda: lease in alpha.sections)
        keeper._concern(paused)
        await trio.testing.wait_all_tasks_blocked()
        assert len(handed_over) == 1, "and it is resumed once"
        nursery.cancel_scope.cancel()


async def test_what_was_told_of_a_deployment_is_forgotten_with_it(
    chain, tenant, plan, alpha, home, make_transport, nursery
):
    alpha.refuse_with = ["unfit-section"] * 100
    lease = await leased(chain, tenant, plan)
    manifest = Vault(home, chain.chain_id).get(lease.deployment)
    lines = []
    async with open_keeper(chain, home=home, make_transport=make_transport, tell=lines.append) as keeper:
        nursery.start_soon(keeper.run)
        with trio.fail_after(10):
            while not keeper._told:
                await trio.testing.wait_all_tasks_blocked()
        await tenant.close(lease.deployment)
        keeper.vault.put(lease.deployment, manifest)
        keeper._concern(lease.deployment)
        with trio.fail_after(10):
            while keeper._told or keeper.vault.deployments():
                await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
