"""What the runtime decides, over an engine in memory."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.runtime import InstanceSpec, InstanceState, Observed, RuntimeFailure
from photon_core.testing.checks.runtime_kit import SMALL, closing, desired, instance, observed, until
from photon_runtime_containers.engine import (
    CannotStart,
    ContainerState,
    EngineDown,
    EngineEvent,
    LimitsRefused,
    NoSuchImage,
    PullProgress,
)
from photon_runtime_containers.labels import SEAL
from photon_runtime_containers.runtime import ContainerRuntime

MIB = 2**20


def spec(service: str = "web", deployment: int = 1, **more: Any) -> InstanceSpec:
    made = InstanceSpec(
        id=instance(service, deployment), image="here:1", resources=SMALL, manifest_version=bytes(32), command=("run",)
    )
    return evolve(made, **more)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """The agent of the test bounds it."""
    while not await holds():  # noqa: ASYNC110 - of things that give no event
        await trio.sleep(0.01)


async def look(runtime: ContainerRuntime, of: InstanceId = instance("web")) -> Observed:  # noqa: B008 - frozen
    seen = await observed(runtime, of)
    assert seen is not None
    return seen


async def test_applying_twice_changes_nothing(world: Any) -> None:
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        before, calls = await look(runtime), len(world.engine.calls)
        await runtime.apply(desired(spec()))
        assert await look(runtime) == before
        assert not {"create", "start", "stop", "remove", "update"} & set(world.engine.calls[calls:])
        assert (before.state, before.restarts) == (InstanceState.RUNNING, 0)


async def test_workload_joins_its_sandbox_and_has_its_limits(world: Any) -> None:
    async with world.agent(capabilities=("CHOWN",), read_only_root=True, tmp_bytes=MIB) as runtime:
        await runtime.apply(desired(spec(args=("fast",), env=(("A", "b"),))))
        made = world.engine.specs[world.workload.id]
        sandbox = world.engine.specs[world.sandbox.id]
    assert (made.entrypoint, made.command, made.env) == (("run",), ("fast",), (("A", "b"),))
    assert made.network_of == world.sandbox.id
    assert made.limits.cpu_milli == SMALL.cpu_milli
    assert made.limits.memory_bytes == SMALL.memory_bytes
    assert {mount.target: mount.read_only for mount in made.mounts} == {"/etc/hosts": True, "/etc/resolv.conf": True}
    assert (made.capabilities, made.read_only) == (("CHOWN",), True)
    assert made.temporary == (("/tmp", MIB), ("/run", MIB))
    assert (sandbox.network_of, sandbox.capabilities, sandbox.read_only) == (None, (), True)


async def test_refuses_capabilities_that_break_the_sandbox(world: Any) -> None:
    with pytest.raises(ExceptionGroup) as refused:
        async with world.agent(capabilities=("NET_ADMIN",)):
            raise AssertionError("it started")
    assert isinstance(refused.value.exceptions[0], RuntimeFailure)


async def test_limits_and_names_change_in_place(world: Any) -> None:
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        before = world.workload
        larger = evolve(SMALL, memory_bytes=512 * MIB)
        await runtime.apply(desired(spec(resources=larger, hosts=(("db", "127.77.0.1"),))))
        assert world.workload.id == before.id
        assert world.workload.started_ns == before.started_ns
        assert world.workload.limits.memory_bytes == 512 * MIB
        (hosts,) = (mount.source for mount in world.engine.specs[before.id].mounts if mount.target == "/etc/hosts")
        assert "127.77.0.1 db\n" in Path(hosts).read_text()


async def test_limits_that_cannot_change_while_it_runs_change_in_a_restart(world: Any) -> None:
    def refuse(container: str, _: object) -> None:
        if world.workload.state is ContainerState.RUNNING:
            raise LimitsRefused("in use")

    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        world.engine.trouble["update"] = refuse
        await runtime.apply(desired(spec(resources=evolve(SMALL, memory_bytes=128 * MIB))))
        assert world.workload.limits.memory_bytes == 128 * MIB
        assert (await look(runtime)).restarts == 1


async def test_another_image_replaces_the_workload_alone(world: Any) -> None:
    world.engine.images["here:2"] = world.engine.images["here:1"]
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        sandbox, workload = world.sandbox, world.workload
        await runtime.apply(desired(spec(image="here:2")))
        assert world.sandbox == sandbox
        assert world.workload.id != workload.id
        assert (await look(runtime)).spec_digest == spec(image="here:2").spec_digest


async def test_starts_are_counted_over_agents(world: Any) -> None:
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        world.engine.end(world.workload.id, 3)
        assert (await look(runtime)).exit_code == 3
        await runtime.apply(desired(spec()))
    async with world.agent() as runtime:
        world.engine.end(world.workload.id, 4)
        await runtime.apply(desired(spec()))
        seen = await look(runtime)
        assert (seen.state, seen.restarts) == (InstanceState.RUNNING, 2)


async def test_out_of_memory_is_said(world: Any) -> None:
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        world.engine.end(world.workload.id, 137, out_of_memory=True)
        assert (await look(runtime)).reason == "killed: out of memory, limit 256 MiB"


async def test_start_that_is_the_tenants_fault_is_a_state(world: Any) -> None:
    def refuse(made: Any) -> None:
        if made.network_of:
            raise CannotStart('exec: "run": not found')

    world.engine.trouble["start"] = refuse
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        first = await look(runtime)
        assert (first.state, first.reason) == (InstanceState.FAILED, 'exec: "run": not found')
        assert first.spec_digest == spec().spec_digest
        assert not world.of("workload")
    async with world.agent() as runtime:
        assert await look(runtime) == first
        await runtime.apply(desired(spec()))
        assert (await look(runtime)).restarts == 1
        del world.engine.trouble["start"]
        await runtime.apply(desired(spec()))
        assert (await look(runtime)).state is InstanceState.RUNNING


async def test_start_that_the_engine_cannot_try_is_a_failure_and_leaves_the_count(world: Any) -> None:
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        world.engine.end(world.workload.id, 1)
        world.engine.down = True
        for call in (runtime.apply(desired(spec())), runtime.observe()):
            with pytest.raises(EngineDown):
                await call
        world.engine.down = False
        assert (await look(runtime)).restarts == 0
        await runtime.apply(desired(spec()))
        assert (await look(runtime)).restarts == 1


async def test_one_that_cannot_be_made_does_not_stop_its_siblings(world: Any) -> None:
    def refuse(made: Any) -> None:
        if "-bad-" in made.name:
            raise RuntimeFailure("no room")

    world.engine.trouble["create"] = refuse
    async with world.agent() as runtime:
        with pytest.raises(RuntimeFailure, match="no room"):
            await runtime.apply(desired(spec("bad"), spec("good")))
        assert (await look(runtime, instance("good"))).state is InstanceState.RUNNING
        assert await observed(runtime, instance("bad")) is None


# --- pulls ------------------------------------------------------------------------------------------------------------


async def test_pull_is_shown_and_shared(world: Any) -> None:
    one, two = spec(image="far:1"), spec("other", deployment=2, image="far:1")
    async with world.agent() as runtime, trio.open_nursery() as nursery:
        nursery.start_soon(runtime.apply, desired(one))
        nursery.start_soon(runtime.apply, desired(two))
        await until(runtime, two.id, InstanceState.PREPARING)
        await until(runtime, one.id, InstanceState.PREPARING)
        world.engine.pulls["far:1"].put(PullProgress(done_bytes=34 * 10**6, total_bytes=80 * 10**6))

        async def shown() -> bool:
            return (await look(runtime, one.id)).reason == "pulling far:1: 34 MB of 80 MB"

        await eventually(shown)
        seen = await look(runtime, one.id)
        assert (seen.state, seen.spec_digest) == (InstanceState.PREPARING, one.spec_digest)
        world.engine.images["far:1"] = world.engine.images["here:1"]
        world.engine.pulls["far:1"].put(None)
        await until(runtime, one.id, InstanceState.RUNNING)
        await until(runtime, two.id, InstanceState.RUNNING)
        assert world.engine.calls.count("pull") == 1


async def test_image_that_is_not_there_is_the_tenants_fault(world: Any) -> None:
    async with world.agent() as runtime, trio.open_nursery() as nursery:
        nursery.start_soon(runtime.apply, desired(spec(image="nowhere:1")))
        await until(runtime, instance("web"), InstanceState.PREPARING)
        world.engine.pulls["nowhere:1"].put(NoSuchImage("nowhere:1: its registry has no such image"))
        seen = await until(runtime, instance("web"), InstanceState.FAILED)
        assert seen.reason == "nowhere:1: its registry has no such image"


async def test_silent_registry_is_given_up(world: Any) -> None:
    async with world.agent(pull_silence_s=0) as runtime:
        await runtime.apply(desired(spec(image="slow:1")))
        seen = await look(runtime)
        assert seen.state is InstanceState.FAILED
        assert seen.reason == "slow:1: its registry sent nothing for 0 s"
        assert world.engine.pulls["slow:1"].closed.is_set()


async def test_registry_that_sends_something_else_is_told(world: Any) -> None:
    async with world.agent() as runtime, trio.open_nursery() as nursery:
        nursery.start_soon(runtime.apply, desired(spec(image="odd:1")))
        await until(runtime, instance("web"), InstanceState.PREPARING)
        world.engine.pulls["odd:1"].put(None)
        assert "something else" in (await until(runtime, instance("web"), InstanceState.FAILED)).reason


async def test_old_workload_runs_on_while_its_successor_is_pulled(world: Any) -> None:
    async with world.agent() as runtime, trio.open_nursery() as nursery:
        await runtime.apply(desired(spec()))
        nursery.start_soon(runtime.apply, desired(spec(image="far:1")))

        async def being_pulled() -> bool:
            return (await look(runtime)).reason == "pulling far:1"

        async def replaced() -> bool:
            return (await look(runtime)).spec_digest == spec(image="far:1").spec_digest

        await eventually(being_pulled)
        seen = await look(runtime)
        assert (seen.state, seen.spec_digest) == (InstanceState.RUNNING, spec().spec_digest)
        world.engine.images["far:1"] = world.engine.images["here:1"]
        world.engine.pulls["far:1"].put(None)
        await eventually(replaced)


async def test_apply_does_not_wait_for_ever_and_the_pull_goes_on(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photon_runtime_containers.converge.PULL_PATIENCE_S", 0.05)
    async with world.agent() as runtime, closing(runtime.events()) as events:
        await runtime.apply(desired(spec(image="far:1")))
        assert (await look(runtime)).state is InstanceState.PREPARING
        world.engine.images["far:1"] = world.engine.images["here:1"]
        world.engine.pulls["far:1"].put(None)
        async for of in events:
            if of == instance("web") and (await look(runtime)).state is InstanceState.SANDBOX:
                break
        await runtime.apply(desired(spec(image="far:1")))
        assert (await look(runtime)).state is InstanceState.RUNNING


async def test_removing_cancels_an_apply_and_gives_up_its_pull(world: Any) -> None:
    failures: list[RuntimeFailure] = []

    async def apply(runtime: ContainerRuntime) -> None:
        try:
            await runtime.apply(desired(spec(image="far:1")))
        except RuntimeFailure as failure:
            failures.append(failure)

    async with world.agent() as runtime, trio.open_nursery() as nursery:
        nursery.start_soon(apply, runtime)
        await until(runtime, instance("web"), InstanceState.PREPARING)
        await runtime.remove(instance("web").lease)
        assert not world.engine.containers
        assert await trio.to_thread.run_sync(world.engine.pulls["far:1"].closed.wait, 5)
    assert "was removed" in failures[0].what


# --- whose it is ------------------------------------------------------------------------------------------------------


async def test_copied_labels_are_nobodys(world: Any) -> None:
    """Somebody else makes a container with all the labels of one of ours."""
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        like = world.engine.specs[world.workload.id]
        unsealed = tuple((key, value) for key, value in like.labels if key != SEAL)
        others = {
            world.engine.create(evolve(like, name="mine")),
            world.engine.create(evolve(like, name="mine-too", labels=unsealed)),
        }
        assert len(await runtime.observe()) == 1
        await runtime.apply(desired(spec()))
        await runtime.remove(instance("web").lease)
        assert set(world.engine.containers) == others


async def test_agents_and_chains_do_not_see_each_other(world: Any, tmp_path: Any) -> None:
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        async with world.agent(chain=b"\x02" * 32, home=tmp_path / "other") as other:
            assert not await other.observe()
            await other.remove(instance("web").lease)
        assert (await look(runtime)).state is InstanceState.RUNNING


async def test_two_agents_do_not_share_a_home(world: Any) -> None:
    async with world.agent():
        with pytest.raises(ExceptionGroup) as refused:
            async with world.agent():
                raise AssertionError("it started")
    assert "another agent" in str(refused.value.exceptions[0])


async def test_surplus_containers_go(world: Any) -> None:
    """An engine that answered too late has made a second one of a kind."""
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        eyes = runtime._eyes
        identity = eyes.owner.recognise(world.workload.name, world.workload.labels)
        assert identity is not None
        name = eyes.owner.name(identity)
        labels = tuple(eyes.owner.labels(name, identity).items())
        world.engine.create(evolve(world.engine.specs[world.workload.id], name=name, labels=labels))
        assert len(world.of("workload")) == 2
        await runtime.apply(desired(spec()))
        assert world.workload.state is ContainerState.RUNNING


# --- what is broken by hand, or by time -------------------------------------------------------------------------------


async def test_removed_sandbox_is_seen_and_all_is_made_anew(world: Any) -> None:
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        sandbox = world.sandbox.id
        world.engine.remove(sandbox)
        assert (await look(runtime)).state is InstanceState.EXITED
        world.same_network = False
        world.engine.trouble["start"] = lambda _: setattr(world, "same_network", True)
        await runtime.apply(desired(spec()))
        assert world.sandbox.id != sandbox
        assert world.workload.state is ContainerState.RUNNING
        assert (await look(runtime)).state is InstanceState.RUNNING


async def test_workload_in_another_network_than_its_sandboxes_is_restarted(world: Any) -> None:
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        world.same_network = False
        seen = await look(runtime)
        assert seen.state is InstanceState.EXITED
        assert "sandbox" in seen.reason
        await runtime.apply(desired(spec()))
        assert "stop" in world.engine.calls
        world.same_network = True
        assert (await look(runtime)).restarts == 1


async def test_stopped_sandbox_is_started_again(world: Any) -> None:
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        sandbox = world.sandbox.id
        for one in list(world.engine.containers):
            world.engine.end(one, 255)
        await runtime.apply(desired(spec()))
        assert (world.sandbox.id, world.sandbox.state) == (sandbox, ContainerState.RUNNING)
        assert (await look(runtime)).state is InstanceState.RUNNING


async def test_hanging_engine_blocks_nobody_for_ever(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photon_runtime_containers.calls.LOOK_S", 0.05)
    monkeypatch.setattr("photon_runtime_containers.calls.Calls.ask.__defaults__", (0.05,), raising=False)
    go_on = threading.Event()
    async with world.agent() as runtime:
        world.engine.trouble["list"] = lambda: go_on.wait(10) and None
        try:
            for _ in range(20):  # more than there are threads
                with pytest.raises(EngineDown, match="does not answer"):
                    await runtime.observe()
        finally:
            go_on.set()
        del world.engine.trouble["list"]
        while True:
            try:
                assert await runtime.observe() == ()
                break
            except EngineDown:
                await trio.sleep(0.05)


async def test_events_come_back_after_the_engine_was_away(world: Any) -> None:
    heard: list[InstanceId] = []

    async def listen(runtime: ContainerRuntime) -> None:
        async for of in runtime.events():
            heard.append(of)  # noqa: PERF401 - it never ends

    async def heard_some() -> bool:
        return bool(heard)

    async with world.agent() as runtime, trio.open_nursery() as nursery:
        await runtime.apply(desired(spec()))
        nursery.start_soon(listen, runtime)
        await trio.testing.wait_all_tasks_blocked()
        old = world.engine.stream
        world.engine.down = True
        old.put(None)
        await trio.to_thread.run_sync(old.closed.wait)
        assert not heard
        world.engine.down = False
        await eventually(heard_some)  # all of ours: anything may have happened meanwhile
        heard.clear()
        world.engine.stream.put(EngineEvent(container="x", what="die", labels=dict(world.workload.labels)))
        await eventually(heard_some)
        assert heard == [instance("web")]
        nursery.cancel_scope.cancel()


async def test_observing_asks_little_while_nothing_happens(world: Any) -> None:
    async with world.agent() as runtime:
        await runtime.apply(desired(*(spec(f"s{n}") for n in range(5))))

        async def events_come() -> bool:
            return runtime._eyes.inspections.trusted

        await eventually(events_come)
        await runtime.observe()
        calls = len(world.engine.calls)
        await runtime.observe()
        assert world.engine.calls[calls:] == ["list"]


async def test_remove_leaves_no_file(world: Any) -> None:
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
        assert list((world.home / "instances").iterdir())
        await runtime.remove(LeaseId(1, 0, 0))
        assert not list((world.home / "instances").iterdir())


async def test_instances_are_seen_before_the_runtime_runs(world: Any) -> None:
    """Whoever sweeps up after a dead agent looks first."""
    async with world.agent() as runtime:
        await runtime.apply(desired(spec()))
    assert [one.id for one in await world.runtime().observe()] == [instance("web")]
