"""How an instance is, judged from what the runtime sees and which declared ports answer. Pure; memory in, memory out.

Theory of operation
-------------------
Truth is asked for, because it is paid for: a lease that is said to serve is billed without bound, every other state has
a time limit on chain. So

- READY means: it runs, and every declared port answers now.
- a **fault** is a start that failed, an exit that was not clean, a second exit in a row however clean, or a declared
  port that did not answer for `ready_timeout_ms` of running.
- what failed twice in a row is at fault until it was READY for STABLE_MS on end: a loop of "starts, answers, dies" must
  not restart the chain's fault clock each time round. One failure of something that was well is forgiven as soon as it
  answers again.

A restart waits `backoff_ms(failures)`: none for the first, doubling to a minute. So a broken command does not spin, and
a killed healthy one is back at once.

Memory is one record per instance. It is lost with the agent, which is harmless: back-off begins again at nothing.
"""

from __future__ import annotations

from attrs import evolve, frozen

from photon_core.api.runtime import InstanceState, Observed
from photon_core.peers.methods import InstancePhase

STABLE_MS = 10_000
"""Longer than any back-off that a loop of quick exits has in its first rounds; short enough to be forgiven in time."""
BACKOFF_FIRST_MS = 1_000
BACKOFF_MAX_MS = 60_000
FAILURES_MAX = 1_000_000
"""Only so that the number stays a small one."""


@frozen(kw_only=True)
class Memory:
    """`failures`: endings in a row. `ending`: the last that was counted, as (restarts, since_ms) of its observation.

    `unready_since_ms`: when it began to run without all of its ports; `ready_since_ms`: since when they all answer.
    """

    failures: int = 0
    ending: tuple[int, int] | None = None
    exit_code: int | None = None
    hold_until_ms: int = 0
    ready_since_ms: int | None = None
    unready_since_ms: int | None = None


@frozen(kw_only=True)
class Health:
    """`fault` is empty, or why the workload is at fault, for the tenant."""

    phase: InstancePhase
    reason: str = ""
    fault: str = ""


def backoff_ms(failures: int) -> int:
    if failures <= 1:
        return 0
    return min(BACKOFF_FIRST_MS << min(failures - 2, 16), BACKOFF_MAX_MS)


def remember(memory: Memory, observed: Observed, closed_ports: tuple[int, ...] | None, now_ms: int) -> Memory:
    """`closed_ports`: declared ports that did not answer; None when they were not asked."""
    match observed.state:
        case InstanceState.RUNNING if closed_ports is None:
            return memory
        case InstanceState.RUNNING if not closed_ports:
            since_ms = memory.ready_since_ms if memory.ready_since_ms is not None else now_ms
            forgiven = memory.failures if now_ms - since_ms < STABLE_MS else 0
            return evolve(memory, ready_since_ms=since_ms, unready_since_ms=None, failures=forgiven)
        case InstanceState.RUNNING:
            since_ms = memory.unready_since_ms if memory.unready_since_ms is not None else now_ms
            return evolve(memory, ready_since_ms=None, unready_since_ms=since_ms)
        case InstanceState.EXITED | InstanceState.FAILED:
            return _count(memory, observed, now_ms)
        case InstanceState.SANDBOX | InstanceState.PREPARING:
            return evolve(memory, ready_since_ms=None, unready_since_ms=None)


def _count(memory: Memory, observed: Observed, now_ms: int) -> Memory:
    ending = (observed.restarts, observed.since_ms)
    if memory.ending == ending:
        return memory
    failures = min(memory.failures + 1, FAILURES_MAX)
    return evolve(
        memory,
        failures=failures,
        ending=ending,
        exit_code=observed.exit_code,
        ready_since_ms=None,
        unready_since_ms=None,
        hold_until_ms=now_ms + backoff_ms(failures),
    )


def judge(
    observed: Observed | None, memory: Memory, closed_ports: tuple[int, ...] | None, now_ms: int, ready_timeout_ms: int
) -> Health:
    if observed is None or observed.state is InstanceState.SANDBOX:
        return Health(phase=InstancePhase.WAITING)
    match observed.state:
        case InstanceState.PREPARING:
            return Health(phase=InstancePhase.PREPARING, reason=observed.reason)
        case InstanceState.FAILED:
            why = f"could not be started: {observed.reason or 'no reason given'}"
            return Health(phase=InstancePhase.FAILED, reason=why, fault=why)
        case InstanceState.EXITED:
            why = _exit_words(memory.failures, observed.exit_code, observed.reason)
            broken = observed.exit_code != 0 or memory.failures > 1
            return Health(phase=InstancePhase.EXITED, reason=why, fault=why if broken else "")
        case InstanceState.RUNNING:
            return _judge_running(memory, closed_ports, now_ms, ready_timeout_ms)


def _judge_running(memory: Memory, closed: tuple[int, ...] | None, now_ms: int, ready_timeout_ms: int) -> Health:
    loop = _exit_words(memory.failures, memory.exit_code, "") if memory.failures > 1 else ""
    if closed is None:
        return Health(phase=InstancePhase.STARTING, fault=loop)
    if not closed:
        why = f"{loop}; it answers again, for less than {STABLE_MS // 1000} s" if loop else ""
        return Health(phase=InstancePhase.READY, reason=why, fault=why)
    waited_ms = now_ms - (memory.unready_since_ms if memory.unready_since_ms is not None else now_ms)
    ports = ", ".join(map(str, closed))
    if waited_ms >= ready_timeout_ms:
        why = f"declared port {ports} is not open"  # no running time: each new wording would be a transaction
        return Health(phase=InstancePhase.STARTING, reason=why, fault=loop or why)
    return Health(phase=InstancePhase.STARTING, reason=f"waiting for port {ports}", fault=loop)


def _exit_words(failures: int, exit_code: int | None, reason: str) -> str:
    how = f"exited with code {exit_code}" if exit_code is not None else f"ended ({reason or 'killed'})"
    return f"{how}, repeatedly" if failures > 1 else how
