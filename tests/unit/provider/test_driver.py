"""The agent as a whole: a real exchange and real sockets, a runtime in memory."""

import pytest
import trio
from attrs import evolve

from photon_core.api.ids import InstanceId
from photon_core.api.runtime import InstanceState, Observed, RuntimeFailure
from photon_core.exchange.messages import CloseLease
from photon_core.exchange.records import CloseReason, LeaseState, LeaseStatus
from photon_core.manifest.records import Expose, Protocol, Target
from photon_core.provider import driver as driver_module
from photon_core.provider.chain import NotRegistered
from photon_core.provider.driver import Agent
from photon_core.provider.state import State, load, save
from photon_core.testing.exchange import address


def on_chain(chain, lease):
    return chain.world.exchange.ledger.lease(lease)


async def serve(agent, runtime, until, lease):
    """Both services open their ports."""
    for service, port in (("db", 5432), ("web", 8080)):
        instance = InstanceId(lease, service, 0)
        await until(agent, lambda instance=instance: runtime.instances[instance].state is InstanceState.RUNNING)
        runtime.world(instance).serve(port)


@pytest.fixture
async def serving(agent, runtime, tenant, win, until, chain):
    """A lease whose workload runs, and of which the chain knows so."""
    lease = await win()
    await agent.take_section(lease, tenant.held())
    await until(agent, lambda: len([i for i in runtime.instances if i.lease == lease]) == 2)
    await serve(agent, runtime, until, lease)
    await until(agent, lambda: on_chain(chain, lease).status is LeaseStatus.SERVING)
    return lease


async def test_won_order_is_bid_on_awaited_started_in_order_and_confirmed(agent, runtime, tenant, win, until, chain):
    lease = await win()
    assert on_chain(chain, lease).status is LeaseStatus.AWAITING_MANIFEST
    assert not runtime.instances

    await agent.take_section(lease, tenant.held())
    db, web = InstanceId(lease, "db", 0), InstanceId(lease, "web", 0)
    await until(agent, lambda: db in runtime.instances and runtime.instances[db].state is InstanceState.RUNNING)
    assert runtime.instances[web].state is InstanceState.SANDBOX, "web waits for db"
    await serve(agent, runtime, until, lease)
    await until(agent, lambda: on_chain(chain, lease).status is LeaseStatus.SERVING)


async def test_closed_lease_is_removed_confirmed_and_forgotten(agent, runtime, serving, tenant, until, chain):
    await tenant.close(serving)
    await until(agent, lambda: on_chain(chain, serving).state is LeaseState.CLOSED)
    assert not runtime.instances
    await until(agent, lambda: not agent.store.leases())
    assert agent.section(serving) is None
    assert on_chain(chain, serving).collateral_forfeited_uptn == 0


async def test_agent_that_starts_again_adopts_what_runs_and_touches_nothing(
    make_parts, runtime, tenant, chain, until, nursery
):
    life, first = trio.CancelScope(), Agent(make_parts())
    await nursery.start(run_in, life, first)
    order = await tenant.deploy()
    await until(first, lambda: chain.world.exchange.ledger.order(order).bidders)
    chain.end_bidding()
    await until(first, lambda: first.view.leases)
    await first.take_section(order, tenant.held())
    await until(first, lambda: len(runtime.instances) == 2)
    await serve(first, runtime, until, order)
    await until(first, lambda: on_chain(chain, order).status is LeaseStatus.SERVING)
    life.cancel()
    runtime.calls.clear()
    before = dict(runtime.instances)
    second = Agent(make_parts())
    await nursery.start(second.run)
    await until(second, lambda: second.judgements and second.judgements[order].status is LeaseStatus.SERVING)
    assert runtime.instances == before, "the section came from the disk, and nothing was started anew"
    assert all(verb == "apply" for verb, _ in runtime.calls)


async def run_in(scope, agent, task_status):
    with scope:
        await agent.run(task_status)


async def test_lease_closed_while_no_agent_ran_is_removed_by_the_next_one(
    make_parts, runtime, tenant, chain, until, nursery
):
    life, first = trio.CancelScope(), Agent(make_parts())
    await nursery.start(run_in, life, first)
    order = await tenant.deploy()
    await until(first, lambda: chain.world.exchange.ledger.order(order).bidders)
    chain.end_bidding()
    await until(first, lambda: first.view.leases)
    await first.take_section(order, tenant.held())
    await until(first, lambda: len(runtime.instances) == 2)
    life.cancel()
    await tenant.close(order)

    second = Agent(make_parts())
    await nursery.start(second.run)
    await until(second, lambda: on_chain(chain, order).state is LeaseState.CLOSED)
    assert not runtime.instances
    await until(second, lambda: not second.store.leases())


async def test_while_the_node_is_away_workloads_are_kept_and_afterwards_all_goes_on(
    agent, runtime, serving, tenant, until, chain
):
    chain.away = True
    runtime.exited(InstanceId(serving, "web", 0), code=0)
    await until(agent, lambda: runtime.instances[InstanceId(serving, "web", 0)].restarts == 1)
    assert agent.problem == "no node answers at http://in-memory"
    assert len(runtime.instances) == 2, "nothing is removed, and what ends is started again"
    chain.world.block(1)
    chain.away = False
    await tenant.close(serving)
    await until(agent, lambda: on_chain(chain, serving).state is LeaseState.CLOSED)


async def test_view_older_than_what_was_acted_on_removes_nothing(make_parts, runtime, tenant, chain, until, nursery):
    """A node that is still reading blocks knows no lease."""
    parts = make_parts()
    save(parts.folder / "state.json", State(chain_id=chain.chain_id, mark=10_000))
    orphan = InstanceId(await tenant.deploy(), "web", 0)
    runtime.instances[orphan] = Observed(id=orphan, state=InstanceState.RUNNING)
    agent = Agent(parts)
    await nursery.start(agent.run)
    plan = await agent.look_and_act()
    assert plan.actions == ()
    assert "behind 10000" in agent.problem
    assert orphan in runtime.instances


async def test_orphan_of_no_lease_is_removed(make_parts, runtime, chain, tenant, until, nursery):
    orphan = InstanceId(await tenant.deploy(), "web", 0)
    runtime.instances[orphan] = Observed(id=orphan, state=InstanceState.RUNNING)
    agent = Agent(make_parts())
    await nursery.start(agent.run)
    await until(agent, lambda: not runtime.instances)


async def test_runtime_that_does_not_answer_is_not_spoken_for(agent, runtime, serving, until, clock, chain):
    """Silence is the truth then; a confirmation would be a guess."""
    confirmed_at_ms = agent.envoy.confirmed_at_ms
    runtime.deaf = RuntimeFailure(what="the engine is away")
    clock.now_ms += 10 * chain.world.parameters.confirm_interval_ms
    agent.bell.ring()
    await until(agent, lambda: agent.problem == "the engine is away")
    await agent.look_and_act()
    assert agent.envoy.confirmed_at_ms == confirmed_at_ms
    runtime.deaf = None
    agent.bell.ring()
    await until(agent, lambda: agent.envoy.confirmed_at_ms > confirmed_at_ms)


async def test_one_leases_trouble_is_not_anothers(agent, runtime, serving, tenant, win, until, chain):
    other = await win()
    runtime.fail_with[other] = RuntimeFailure(what="no such image")
    await agent.take_section(other, tenant.held())
    await until(agent, lambda: other in agent.executor.trouble)
    assert agent.executor.trouble[other].what == "no such image"
    assert agent.judgements[serving].status is LeaseStatus.SERVING
    del runtime.fail_with[other]


async def test_reason_why_a_section_can_never_run_here_stays_on_chain(agent, tenant, win, until, chain):
    lease, held = await win(), tenant.held()
    udp = Expose(port=53, as_port=53, protocol=Protocol.UDP, targets=(Target(),))
    unfit = evolve(held.section, services=(evolve(held.section.services[0], expose=(udp,)),))
    await agent.take_section(lease, evolve(held, section=unfit))
    await until(agent, lambda: on_chain(chain, lease).state is not LeaseState.ACTIVE)
    assert on_chain(chain, lease).close_reason is CloseReason.FAULT
    assert "UDP" in on_chain(chain, lease).status_reason


async def test_provider_that_the_chain_does_not_know_is_told_how_to_register(chain, make_parts, nursery):
    agent = Agent(evolve(make_parts(), provider=address("nobody")))
    with pytest.raises(BaseExceptionGroup) as raised:
        await agent.run()
    error = raised.value.exceptions[0]
    assert isinstance(error, NotRegistered)
    assert "photon provider register" in error.remedy


async def test_operator_who_closes_by_hand_finds_the_workload_gone(agent, runtime, serving, until, chain):
    await agent.parts.sender.send(CloseLease(lease=serving))
    await until(agent, lambda: on_chain(chain, serving).state is LeaseState.CLOSED)
    assert not [i for i in runtime.instances if i.lease == serving]


async def test_sandbox_that_ends_while_it_is_probed_ends_nothing_else(agent, runtime, serving, monkeypatch):
    """The engine says so in its own words: `namespace` fails, and only this workload's port counts as closed."""
    asked, real = trio.Event(), runtime.namespace

    async def namespace(instance):
        if instance.service == "web" and not asked.is_set():
            asked.set()
            raise RuntimeFailure(what="the sandbox has ended")
        return await real(instance)

    monkeypatch.setattr(agent.fabric, "_networks", Networks(namespace))
    assert await agent.fabric.probe(InstanceId(serving, "web", 0), (8080,), 1.0) == (8080,)
    assert await agent.fabric.probe(InstanceId(serving, "web", 0), (8080,), 1.0) == ()


class Networks:
    def __init__(self, namespace):
        self.namespace = namespace


async def test_bug_in_one_pass_is_told_and_the_next_pass_goes_on(agent, runtime, serving, monkeypatch, until, caplog):
    monkeypatch.setattr(driver_module, "FAILED_AGAIN_S", 0.01)
    runtime.deaf = ZeroDivisionError("nobody thought of this")
    agent.bell.ring()
    await until(agent, lambda: "nobody thought of this" in agent.problem)
    assert any(record.exc_info for record in caplog.records), "with its traceback"
    runtime.deaf = None
    await until(agent, lambda: agent.problem == "")
    assert agent.judgements[serving].status is LeaseStatus.SERVING


async def test_runtime_whose_events_fail_is_looked_at_all_the_same(
    make_parts, runtime, nursery, until, monkeypatch, caplog
):
    async def events():
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(runtime, "events", events)
    agent = Agent(make_parts())
    await nursery.start(agent.run)
    await until(agent, lambda: "the runtime's events failed" in caplog.text)
    assert await agent.look_and_act() is not None


async def test_full_disk_is_a_problem_that_is_told_and_ends_nothing(
    agent, runtime, tenant, win, monkeypatch, until, chain
):
    lease = await win()
    await agent.take_section(lease, tenant.held())
    real = driver_module.save

    def full(_path, _state):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(driver_module, "save", full)
    monkeypatch.setattr(agent.store, "leases", lambda: full(None, None))
    chain.world.block(1)
    agent.bell.ring()
    await until(agent, lambda: "No space left on device" in agent.problem)
    await until(agent, lambda: len(runtime.instances) == 2)
    await serve(agent, runtime, until, lease)
    await until(agent, lambda: on_chain(chain, lease).status is LeaseStatus.SERVING)
    monkeypatch.undo()
    assert driver_module.save is real
    agent.bell.ring()
    await until(agent, lambda: agent.problem == "")
    assert load(agent.parts.folder / "state.json", chain.chain_id).mark == agent._state.mark
