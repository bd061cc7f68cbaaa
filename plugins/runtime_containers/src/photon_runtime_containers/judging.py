"""What the agent is told of an instance: pure, out of what is in the engine, on disk and under way.

what there is                                    state
----------------------------------------------   -----------------------------------------
a workload that runs in its sandbox's network    RUNNING
a workload that runs, but in another network     EXITED: the sandbox was made anew or is gone
a fault on record                                FAILED
an image on its way, or being started just now   PREPARING
a workload that ran                              EXITED
a workload that never ran, or none               SANDBOX
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from photon_core.api.ids import InstanceId
from photon_core.api.runtime import InstanceState, Observed
from photon_runtime_containers.engine import Container, ContainerState
from photon_runtime_containers.folder import Record
from photon_runtime_containers.pulls import Pull

NS_PER_MS = 10**6
SIGKILLED = 137
SANDBOX_GONE = "its sandbox was stopped or removed, and with it its network"

SameNetwork = Callable[[int, int], bool]
"""Of the pids of sandbox and workload."""


@frozen(kw_only=True)
class Seen:
    """`digest` is what the workload's labels say. `starting`: an apply is at it."""

    instance: InstanceId
    sandbox: Container | None
    workload: Container | None
    digest: str
    record: Record
    pull: Pull | None = None
    starting: bool = False


def judge(seen: Seen, same_network: SameNetwork) -> Observed:
    workload, record, pull = seen.workload, seen.record, seen.pull
    running = workload is not None and workload.state is ContainerState.RUNNING
    if workload is not None and running:
        if not in_its_network(seen.sandbox, workload, same_network):
            return _observed(seen, InstanceState.EXITED, seen.digest, SANDBOX_GONE, since_ns=workload.started_ns)
        reason = pull.reason if pull else ""
        return _observed(seen, InstanceState.RUNNING, seen.digest, reason, since_ns=workload.started_ns)
    if pull is not None:
        digest = pull.waiting.get(seen.instance, "")
        return _observed(seen, InstanceState.PREPARING, digest, pull.reason, since_ns=pull.since_ms * NS_PER_MS)
    if record.fault:
        since_ns = record.since_ms * NS_PER_MS
        return _observed(seen, InstanceState.FAILED, record.spec_digest, record.fault, since_ns=since_ns)
    if workload is not None and workload.started_ns:
        reason = "" if seen.sandbox else SANDBOX_GONE
        return _observed(
            seen,
            InstanceState.EXITED,
            seen.digest,
            how_it_ended(workload) or reason,
            since_ns=workload.finished_ns,
            exit_code=workload.exit_code,
        )
    if workload is not None and seen.starting:
        return _observed(seen, InstanceState.PREPARING, seen.digest, "starting", since_ns=workload.created_ns)
    if seen.sandbox is None:  # nothing but the trace of a workload: to be made anew
        return _observed(seen, InstanceState.EXITED, seen.digest, SANDBOX_GONE, since_ns=0)
    return _observed(seen, InstanceState.SANDBOX, "", "", since_ns=seen.sandbox.created_ns)


def in_its_network(sandbox: Container | None, workload: Container, same_network: SameNetwork) -> bool:
    """A sandbox that was started again by hand has a new network, and a running workload still the old one."""
    return sandbox is not None and sandbox.pid != 0 and same_network(sandbox.pid, workload.pid)


def how_it_ended(workload: Container) -> str:
    """In words for the tenant, where a number does not say it."""
    if workload.out_of_memory and workload.exit_code:
        limit = workload.limits.memory_bytes
        return "killed: out of memory" + (f", limit {limit / 2**20:.4g} MiB" if limit else "")
    return ""


def _observed(
    seen: Seen, state: InstanceState, digest: str, reason: str, *, since_ns: int, exit_code: int | None = None
) -> Observed:
    ours = digest == seen.record.spec_digest
    return Observed(
        id=seen.instance,
        state=state,
        spec_digest=digest,
        exit_code=exit_code,
        reason=reason,
        since_ms=since_ns // NS_PER_MS,
        restarts=seen.record.restarts if ours else 0,
    )
