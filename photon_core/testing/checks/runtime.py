"""Conformance of a runtime: each check is one sentence of `photon_core.api.runtime`, tried on the real thing.

    for check in checks_for(record.capabilities):
        await check(kit)

A check starts its own agent, removes its own lease, and fails by AssertionError or by its deadline. What is checked of
networks is in `runtime_networks`, of commands beside a workload in `runtime_exec`; `checks_for` gives all that apply
to a kit.

`CLAUSES` puts them to any runtime that runs the host's own commands (IMAGES_OPTIONAL), with a kit of those. One that
runs images has to say which: its own tests make a kit and go the way above.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import trio
from attrs import evolve

from photon_core.api.runtime import (
    IMAGES_OPTIONAL,
    NETWORK_AGENT,
    Desired,
    InstanceSpec,
    InstanceState,
    Runtime,
    RuntimeContext,
)
from photon_core.testing.checks import runtime_exec, runtime_networks
from photon_core.testing.checks.clauses import Clauses, NotApplicable, Subject
from photon_core.testing.checks.runtime_kit import (
    FOREVER,
    SMALL,
    RuntimeKit,
    closing,
    desired,
    echo_forever,
    host_kit,
    instance,
    observed,
    removing,
    run_beside,
    said,
    until,
)

Check = Callable[[RuntimeKit], Awaitable[None]]


async def capacity_is_something(kit: RuntimeKit) -> None:
    async with kit.agent() as runtime:
        capacity = await runtime.capacity()
    assert min(capacity.cpu_milli, capacity.memory_bytes, capacity.storage_bytes) > 0


async def sandbox_comes_before_the_manifest(kit: RuntimeKit) -> None:
    of = instance("web")
    async with kit.leased(lease=of.lease) as runtime:
        await runtime.apply(Desired(lease=of.lease, sandboxes=((of, SMALL),)))
        seen = await observed(runtime, of)
        assert seen is not None
        assert seen.state is InstanceState.SANDBOX


async def instance_runs_and_apply_is_idempotent(kit: RuntimeKit) -> None:
    spec = kit.spec("web", echo_forever("up"))
    async with kit.leased(spec) as runtime:
        await said(runtime, spec.id, b"up")
        before = await until(runtime, spec.id, InstanceState.RUNNING)
        await runtime.apply(desired(spec))
        assert await observed(runtime, spec.id) == before
        assert (before.spec_digest, before.restarts) == (spec.spec_digest, 0)


async def changed_instance_is_made_anew(kit: RuntimeKit) -> None:
    spec = kit.spec("web", f"echo old > here; {echo_forever('first')}")
    changed = kit.spec("web", f"test -e here || {echo_forever('second, and nothing of the first')}")
    async with kit.leased(spec) as runtime:
        await said(runtime, spec.id, b"first")
        await runtime.apply(desired(changed))
        await said(runtime, spec.id, b"nothing of the first")
        seen = await until(runtime, spec.id, InstanceState.RUNNING)
        assert seen.spec_digest == changed.spec_digest


async def names_change_in_place(kit: RuntimeKit) -> None:
    spec = kit.spec("web", echo_forever("up"), hosts=(("db", "127.77.0.1"),))
    async with kit.leased(spec) as runtime:
        await said(runtime, spec.id, b"up")
        before = await observed(runtime, spec.id)
        assert b"127.77.0.1" in (await run_beside(runtime, spec.id, ("cat", "/etc/hosts"))).output
        await runtime.apply(desired(evolve(spec, hosts=(("cache", "127.77.0.2"),))))
        after = (await run_beside(runtime, spec.id, ("cat", "/etc/hosts"))).output
        assert b"cache" in after
        assert b"db" not in after
        assert await observed(runtime, spec.id) == before


async def exit_is_observed_and_apply_starts_again(kit: RuntimeKit) -> None:
    spec = kit.spec("job", "exit 3")
    async with kit.leased(spec) as runtime:
        first = await until(runtime, spec.id, InstanceState.EXITED)
        assert (first.exit_code, first.restarts) == (3, 0)
        await runtime.apply(desired(spec))
        while (again := await until(runtime, spec.id, InstanceState.EXITED)).restarts == 0:
            pass
        assert (again.exit_code, again.restarts) == (3, 1)


async def unknown_command_fails_with_a_reason(kit: RuntimeKit) -> None:
    spec = kit.spec("web", ("no-such-command-here",))
    async with kit.leased(spec) as runtime:
        seen = await until(runtime, spec.id, InstanceState.FAILED)
        assert "no-such-command-here" in seen.reason


async def undesired_instance_stops_and_undesired_sandbox_goes(kit: RuntimeKit) -> None:
    kept, dropped = kit.spec("kept", echo_forever("up")), kit.spec("dropped", echo_forever("up"))
    async with kit.leased(kept, dropped) as runtime:
        await said(runtime, dropped.id, b"up")
        await runtime.apply(evolve(desired(kept, dropped), instances=(kept,)))
        assert (await until(runtime, dropped.id, InstanceState.EXITED, InstanceState.SANDBOX)).id == dropped.id
        await runtime.apply(desired(kept))
        assert await observed(runtime, dropped.id) is None
        assert (await until(runtime, kept.id, InstanceState.RUNNING)).restarts == 0


async def remove_leaves_nothing_and_touches_no_other(kit: RuntimeKit) -> None:
    mine, other = kit.spec("web", FOREVER, deployment=1), kit.spec("web", FOREVER, deployment=2)
    async with kit.leased(mine) as runtime, removing(runtime, other.id.lease):
        await runtime.apply(desired(other))
        await runtime.remove(mine.id.lease)
        await runtime.remove(mine.id.lease)
        assert [one.id for one in await runtime.observe()] == [other.id]


async def instances_outlive_the_agent(kit: RuntimeKit) -> None:
    spec = kit.spec("web", echo_forever("up"))
    async with kit.agent() as runtime:
        await runtime.apply(desired(spec))
        await said(runtime, spec.id, b"up")
        before = await until(runtime, spec.id, InstanceState.RUNNING)
    async with kit.leased(spec) as runtime:
        assert await observed(runtime, spec.id) == before
        assert (await run_beside(runtime, spec.id, ("echo", "still here"))).output == b"still here\n"


async def output_is_kept_and_the_tail_is_exact(kit: RuntimeKit) -> None:
    # Two streams have no order between them but that of time: an engine reads each by itself.
    spec = kit.spec("job", "echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three")
    async with kit.leased(spec) as runtime:
        await until(runtime, spec.id, InstanceState.EXITED)
        assert [await _tail(runtime, spec, n) for n in (0, 1, 2, 9)] == [
            b"",
            b"three\n",
            b"two\nthree\n",
            b"one\ntwo\nthree\n",
        ]


async def output_is_followed(kit: RuntimeKit) -> None:
    spec = kit.spec("web", "mkfifo go; echo first; read word < go; echo second $word; " + FOREVER)
    async with kit.leased(spec) as runtime, closing(runtime.logs(spec.id, follow=True, tail_lines=10)) as log:
        heard = b""
        while b"first\n" not in heard:
            heard += await anext(log)
        await run_beside(runtime, spec.id, "echo time > go")
        while b"second time\n" not in heard:
            heard += await anext(log)


async def environment_is_the_specs_alone(kit: RuntimeKit) -> None:
    spec = kit.spec("web", "env; echo END", env=(("COLOUR", "deep blue"),))
    os.environ["PHOTON_CHECK"] = "the agent's own"
    try:
        async with kit.leased(spec) as runtime:
            heard = await said(runtime, spec.id, b"END\n")
    finally:
        del os.environ["PHOTON_CHECK"]
    assert b"COLOUR=deep blue\n" in heard
    assert b"PHOTON" not in heard


async def events_tell_of_an_end(kit: RuntimeKit) -> None:
    """Subscribed before the cause, an event comes; by then or soon after, `observe` shows what it was about."""
    spec = kit.spec("web", "mkfifo go; echo up; read word < go")
    async with kit.leased(spec) as runtime, closing(runtime.events()) as events:
        await said(runtime, spec.id, b"up")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_beside, runtime, spec.id, "echo now > go")
            async for of in events:
                seen = await observed(runtime, spec.id)
                if of == spec.id and seen is not None and seen.state is InstanceState.EXITED:
                    break


async def _tail(runtime: Runtime, spec: InstanceSpec, lines: int) -> bytes:
    return b"".join([piece async for piece in runtime.logs(spec.id, follow=False, tail_lines=lines)])


LIFE_CHECKS: tuple[Check, ...] = (
    capacity_is_something,
    sandbox_comes_before_the_manifest,
    instance_runs_and_apply_is_idempotent,
    changed_instance_is_made_anew,
    names_change_in_place,
    exit_is_observed_and_apply_starts_again,
    unknown_command_fails_with_a_reason,
    undesired_instance_stops_and_undesired_sandbox_goes,
    remove_leaves_nothing_and_touches_no_other,
    instances_outlive_the_agent,
    output_is_kept_and_the_tail_is_exact,
    output_is_followed,
    environment_is_the_specs_alone,
    events_tell_of_an_end,
)


def checks_for(capabilities: frozenset[str]) -> tuple[Check, ...]:
    """Every check that a runtime with these capabilities has to pass."""
    return (
        LIFE_CHECKS
        + runtime_exec.EXEC_CHECKS
        + (runtime_networks.NETWORK_CHECKS if NETWORK_AGENT in capabilities else ())
    )


runtime_clauses: Clauses[RuntimeContext, Runtime] = Clauses("runtime")


def _put_as_clause(check: Check) -> None:
    """The check's name is its sentence."""

    async def put(subject: Subject[RuntimeContext, Runtime]) -> None:
        capabilities = subject.record.capabilities
        if IMAGES_OPTIONAL not in capabilities:
            raise NotApplicable("it runs images: its own tests bring a RuntimeKit that says which")
        if check not in checks_for(capabilities):
            raise NotApplicable(f"it does not claim {NETWORK_AGENT}")
        with host_kit(subject) as kit:
            await check(kit)

    put.__name__ = check.__name__
    runtime_clauses.clause(f"{check.__name__.replace('_', ' ').capitalize()}.")(put)


for _check in checks_for(frozenset({NETWORK_AGENT})):
    _put_as_clause(_check)

CLAUSES = runtime_clauses.all
