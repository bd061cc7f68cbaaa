"""An update reaches an agent: what goes on meanwhile, what changes then, and what must not."""

import pytest
import trio
from attrs import evolve

from photon_core.api.ids import InstanceId
from photon_core.api.runtime import InstanceState
from photon_core.exchange.records import LeaseState, LeaseStatus
from photon_core.manifest.records import Expose, Target
from photon_core.provider.driver import Agent
from photon_core.provider.report import lease_report

PORTS = {"db": 5432, "web": 8080}


def on_chain(chain, lease):
    return chain.world.exchange.ledger.lease(lease)


async def open_ports(agent, runtime, until, lease, *services):
    for service in services or PORTS:
        instance = InstanceId(lease, service, 0)
        await until(agent, lambda instance=instance: runtime.instances[instance].state is InstanceState.RUNNING)
        runtime.world(instance).serve(PORTS[service])


@pytest.fixture
async def serving(agent, runtime, tenant, win, until, chain):
    lease = await win()
    await agent.take_section(lease, tenant.held())
    await until(agent, lambda: len([i for i in runtime.instances if i.lease == lease]) == 2)
    await open_ports(agent, runtime, until, lease)
    await until(agent, lambda: on_chain(chain, lease).status is LeaseStatus.SERVING)
    return lease


def changed(section, name, **changes):
    services = (evolve(each, **changes) if each.name == name else each for each in section.services)
    return evolve(section, services=tuple(services))


def detail_of(agent, lease):
    return next(detail for detail in agent.view.leases if detail.lease.id == lease)


def report(agent, lease):
    return lease_report(agent, detail_of(agent, lease))


async def settled(agent, until, lease):
    await until(agent, lambda: lease not in agent.sections.unapplied and not agent.executor.busy)


async def test_until_it_is_delivered_the_version_before_is_served_and_the_report_says_so(
    agent, runtime, tenant, serving, until, chain
):
    section, before = tenant.sealed.section, dict(runtime.instances)
    old = tenant.held()
    assert report(agent, serving).section_hash == old.hash
    await tenant.update(serving, changed(section, "web", env=(("COLOUR", "green"),)))
    await until(agent, lambda: detail_of(agent, serving).group.spec.section_hash != old.hash)
    await agent.look_and_act()
    assert runtime.instances == before
    said = report(agent, serving)
    assert (said.status, said.section_hash) == (LeaseStatus.SERVING, old.hash)
    assert any("newer manifest" in note for note in said.notes)
    assert on_chain(chain, serving).status is LeaseStatus.SERVING


async def test_only_what_changed_is_made_anew_and_serving_is_said_when_it_serves(
    agent, runtime, tenant, serving, until, chain
):
    db, web = InstanceId(serving, "db", 0), InstanceId(serving, "web", 0)
    before = dict(runtime.instances)
    runtime.world(web).close()
    await tenant.update(serving, changed(tenant.sealed.section, "web", env=(("COLOUR", "green"),)))
    assert await agent.take_section(serving, tenant.held())
    assert report(agent, serving).status is LeaseStatus.STARTING, "before any pass has seen it"
    await until(agent, lambda: runtime.specs[web].env == (("COLOUR", "green"),))
    assert report(agent, serving).status is not LeaseStatus.SERVING
    await open_ports(agent, runtime, until, serving, "web")
    await until(agent, lambda: report(agent, serving).status is LeaseStatus.SERVING)
    assert runtime.instances[db] == before[db], "neither restarted nor touched"
    assert report(agent, serving).section_hash == detail_of(agent, serving).group.spec.section_hash
    assert not report(agent, serving).notes


async def test_grants_change_in_place(agent, runtime, tenant, serving, until):
    """`db` is nobody's any more on its port, and may reach `web` from now on; both run as before."""
    section, before = tenant.sealed.section, dict(runtime.instances)
    assert {(g.client.service, g.port) for g in agent.fabric.wired[serving].grants} == {("web", 5432)}
    web = next(each for each in section.services if each.name == "web")
    opened = (*web.expose, Expose(port=9000, as_port=9000, targets=(Target(service="db"),)))
    new = changed(changed(section, "db", expose=()), "web", expose=opened)
    await tenant.update(serving, new)
    await agent.take_section(serving, tenant.held())
    await settled(agent, until, serving)
    assert {(g.client.service, g.port) for g in agent.fabric.wired[serving].grants} == {("db", 9000)}
    assert runtime.instances == before


async def test_what_depends_on_a_changed_service_waits_for_it_when_it_changes_too(
    agent, runtime, tenant, serving, until
):
    db, web = InstanceId(serving, "db", 0), InstanceId(serving, "web", 0)
    runtime.world(db).close()
    new = changed(changed(tenant.sealed.section, "db", args=("v2",)), "web", args=("v2",))
    await tenant.update(serving, new)
    await agent.take_section(serving, tenant.held())
    await until(agent, lambda: runtime.specs[db].args == ("v2",) and not agent.executor.busy)
    await agent.look_and_act()
    assert runtime.instances[web].state is InstanceState.SANDBOX, "the old one is stopped, the new one waits for db"
    await open_ports(agent, runtime, until, serving, "db")
    await until(agent, lambda: runtime.specs[web].args == ("v2",))
    assert runtime.instances[web].state is InstanceState.RUNNING


async def test_failures_of_the_version_before_do_not_hold_back_the_new_one(agent, runtime, tenant, serving, until):
    web = InstanceId(serving, "web", 0)
    for _ in range(2):  # the second time it waits for its back-off, by a clock that stands
        await until(agent, lambda: runtime.instances[web].state is InstanceState.RUNNING)
        runtime.exited(web, code=1)
    await until(agent, lambda: agent.judgements[serving].status is LeaseStatus.WORKLOAD_FAULT)
    await tenant.update(serving, changed(tenant.sealed.section, "web", args=("mended",)))
    await agent.take_section(serving, tenant.held())
    await until(agent, lambda: runtime.instances[web].state is InstanceState.RUNNING)
    assert runtime.specs[web].args == ("mended",)
    await until(agent, lambda: report(agent, serving).status is LeaseStatus.SERVING)


@pytest.mark.parametrize("delivered", [False, True])
async def test_agent_killed_in_the_middle_goes_on_with_the_section_that_it_had_last(
    make_parts, runtime, tenant, chain, until, nursery, delivered
):
    """Killed before the delivery it runs the old section on, killed after it, before it acted, it does the update."""
    life, first = trio.CancelScope(), Agent(make_parts())
    await nursery.start(run_in, life, first)
    order = await tenant.deploy()
    await until(first, lambda: chain.world.exchange.ledger.order(order).bidders)
    chain.end_bidding()
    await until(first, lambda: first.view.leases)
    await first.take_section(order, tenant.held())
    await until(first, lambda: len(runtime.instances) == 2)
    await open_ports(first, runtime, until, order)
    await until(first, lambda: on_chain(chain, order).status is LeaseStatus.SERVING)
    db, web = InstanceId(order, "db", 0), InstanceId(order, "web", 0)
    old, before = tenant.held(), dict(runtime.instances)
    life.cancel()
    await tenant.update(order, changed(tenant.sealed.section, "web", args=("v2",)))
    if delivered:
        first.store.put(order, tenant.held())
    second = Agent(make_parts())
    await nursery.start(second.run)
    if delivered:
        await until(second, lambda: runtime.specs[web].args == ("v2",))
        assert runtime.instances[db] == before[db]
    else:
        await until(second, lambda: order in second.fabric.wired and not second.executor.busy)
        assert second.held[order] == old
        assert runtime.instances == before
        assert second.fabric.wired[order].grants, "it serves as before"
    assert on_chain(chain, order).state is LeaseState.ACTIVE


async def run_in(scope, agent, task_status):
    with scope:
        await agent.run(task_status)
