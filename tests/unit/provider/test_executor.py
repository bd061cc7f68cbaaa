"""Runtime actions: one per lease at a time, leases side by side, and every failure its own lease's."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from photon_core.api.ids import LeaseId
from photon_core.api.runtime import Desired, InstanceState, RuntimeFailure
from photon_core.provider import workload
from photon_core.provider.executor import RETRY_FIRST_MS, RETRY_MAX_MS, RuntimeExecutor
from photon_core.provider.network.fabric import Fabric, IngressConfig
from photon_core.provider.network.grants import network_of
from photon_core.provider.reconcile import Apply, Remove

OTHER = LeaseId(99, 0, 0)


class Slow:
    """A runtime whose `apply` of one lease waits."""

    def __init__(self, runtime, lease):
        self._runtime, self.lease, self.gate = runtime, lease, trio.Event()

    def __getattr__(self, name):
        return getattr(self._runtime, name)

    async def apply(self, desired: Desired):
        if desired.lease == self.lease:
            await self.gate.wait()
        await self._runtime.apply(desired)


@pytest.fixture
def bell():
    class Bell:
        def __init__(self):
            self.count, self.news = 0, trio.Event()

        def ring(self):
            self.count += 1
            self.news.set()
            self.news = trio.Event()

        async def wait(self, count):
            with trio.fail_after(5):
                while self.count < count:
                    await self.news.wait()

    return Bell()


@pytest.fixture
async def fabric(runtime, nursery):
    fabric = Fabric(runtime, IngressConfig())
    await nursery.start(fabric.run)
    return fabric


@pytest.fixture
def make_executor(runtime, fabric, nursery, clock, bell):
    return lambda of=runtime: RuntimeExecutor(of, fabric, nursery, clock, bell.ring)


@pytest.fixture
def apply(section):
    def make(lease, running=()):
        specs = workload.instance_specs(lease, section, bytes(32))
        chosen = {id_ for id_ in specs if id_.service in running}
        return Apply(desired=workload.desired(lease, specs, chosen), network=network_of(lease, section))

    return make


async def test_apply_makes_the_sandboxes_then_wires_them(make_executor, runtime, fabric, apply, bell, lease):
    executor = make_executor()
    executor.begin(apply(lease))
    assert executor.busy == {lease}
    await bell.wait(1)
    assert executor.busy == set()
    assert {one.state for one in runtime.instances.values()} == {InstanceState.SANDBOX}
    assert fabric.wired[lease] == apply(lease).network


async def test_lease_that_is_busy_takes_no_second_action_and_delays_no_other(
    make_executor, runtime, apply, bell, lease
):
    slow = Slow(runtime, lease)
    executor = make_executor(slow)
    executor.begin(apply(lease))
    executor.begin(Remove(lease=lease))
    executor.begin(apply(OTHER))
    await bell.wait(1)
    assert executor.busy == {lease}
    assert {instance.lease for instance in runtime.instances} == {OTHER}
    slow.gate.set()
    await bell.wait(2)
    assert ("remove", lease) not in runtime.calls


async def test_remove_takes_the_network_first_and_says_what_is_gone(make_executor, runtime, fabric, apply, bell, lease):
    executor = make_executor()
    executor.begin(apply(lease))
    await bell.wait(1)
    executor.begin(Remove(lease=lease))
    await bell.wait(2)
    assert executor.removed == {lease}
    assert not fabric.wired
    assert not runtime.instances
    executor.begin(apply(lease))
    assert executor.removed == set(), "what is made again is no longer gone"
    await bell.wait(3)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeFailure("no such image", "pull it"), "no such image"),
        (OSError(2, "gone"), "the sandbox cannot be reached"),
        (ZeroDivisionError("a bug"), "the runtime failed: ZeroDivisionError"),
    ],
)
async def test_every_failure_is_the_leases_trouble_with_back_off(
    make_executor, runtime, apply, bell, clock, lease, error, words
):
    executor = make_executor()
    runtime.fail_with[lease] = error
    since_ms = clock.now_ms
    waits = []
    for attempt in range(1, 9):
        executor.begin(apply(lease))
        await bell.wait(attempt)
        trouble = executor.trouble[lease]
        waits.append(trouble.retry_ms - clock.now_ms)
        assert words in trouble.what
        assert trouble.since_ms == since_ms, "patience is measured from the first failure"
        clock.now_ms = trouble.retry_ms
    assert waits[:3] == [RETRY_FIRST_MS, 2 * RETRY_FIRST_MS, 4 * RETRY_FIRST_MS]
    assert waits[-1] == RETRY_MAX_MS
    del runtime.fail_with[lease]
    executor.begin(apply(lease))
    await bell.wait(9)
    assert not executor.trouble


async def test_leases_that_are_over_leave_nothing_in_memory(make_executor, runtime, apply, bell, lease):
    executor = make_executor()
    runtime.fail_with[lease] = RuntimeFailure("no")
    executor.begin(apply(lease))
    await bell.wait(1)
    executor.begin(Remove(lease=OTHER))
    await bell.wait(2)
    executor.forget(set())
    assert not executor.trouble
    assert not executor.removed


async def test_closed_executor_has_nothing_under_way_and_begins_nothing(runtime, make_executor, lease, apply):
    slow = Slow(runtime, lease)
    executor = make_executor(slow)
    executor.begin(apply(lease))
    with trio.fail_after(5):
        await executor.close()
    executor.begin(apply(OTHER))
    assert not executor.busy
    slow.gate.set()
    await wait_all_tasks_blocked()
    assert not runtime.instances
