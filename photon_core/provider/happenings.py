"""What happened to a lease, told from two sights of it, one after the other. Pure: sights in, events out.

Theory of operation
-------------------
The agent is level-triggered and hears of no event that it could rely on: it looks, and looks again. What lies between
two looks is told from what changed. An instance goes

    (none) ──► WAITING ──► PREPARING ──► STARTING ──► READY
                  ▲ restart      │          │  ▲        │
                  └── EXITED ◄───┴── FAILED ◄──┴────────┘

and each arrow that somebody wants to know of is an event. A look may miss a whole round (it ended and was started again
in between); the count of restarts tells, so an end is never lost, and several in one go are one event with their
number.

Refused attempts are counted elsewhere, target by target. They become events at once for a new target, and for one that
goes on after a pause that doubles each time; all of a lease's together are so many in a minute and no more, so a flood
is a few entries with large counts and pushes nothing else out of the ring. What is told of them is part of the sight
that is handed back, to be given again with the next look.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, frozen

from photon_core.api import fields
from photon_core.manifest.records import NAME_BYTES_MAX
from photon_core.peers.methods import INSTANCES_MAX, REFUSED_MAX, EventKind, InstancePhase, LeaseEvent

INSTANCES_SEEN_MAX = 4096
GRANTS_SEEN_MAX = 4096
REFUSED_AGAIN_MS = 60_000
REFUSED_AGAIN_MAX_MS = 3_600_000
REFUSED_PER_MINUTE = 8
MINUTE_MS = 60_000
TEXT_CHARS_MAX = 100
"""Of any character: 400 bytes at most."""
DOWN = (InstancePhase.EXITED, InstancePhase.FAILED)
UP = (InstancePhase.STARTING, InstancePhase.READY)
OUT_OF_MEMORY = "out of memory"
"""What a runtime says in the reason of an instance that was killed for it."""


@frozen(kw_only=True)
class InstanceSight:
    service: str = fields.text(NAME_BYTES_MAX)
    ordinal: int = fields.uint(INSTANCES_MAX)
    phase: InstancePhase = fields.choice(InstancePhase)
    restarts: int = fields.uint()
    exit_code: int | None = fields.optional(fields.uint_form(255))
    reason: str = fields.text(400, "")
    held_until_ms: int = fields.uint(default=0)

    @property
    def name(self) -> tuple[str, int]:
        return self.service, self.ordinal


@frozen(kw_only=True)
class RefusedSight:
    """`target` as people read it. `told` of its `count` were by `told_ms`; the next time is due `pause_ms` later."""

    service: str = fields.text(NAME_BYTES_MAX)
    target: str = fields.text(200)
    count: int = fields.uint()
    told: int = fields.uint(default=0)
    told_ms: int = fields.uint(default=0)
    pause_ms: int = fields.uint(default=0)


@frozen(kw_only=True)
class Sight:
    """A lease at one look. `instances` None: the runtime did not answer. `manifest` is the section's hash, `grants`
    who may reach whom, in words. `minute_ms` and `in_minute`: refusals told in the minute that began then.
    """

    instances: tuple[InstanceSight, ...] | None = fields.optional(
        fields.list_form(fields.record_form(InstanceSight), INSTANCES_SEEN_MAX)
    )
    manifest: bytes = fields.blob(maximum=32, default=b"")
    grants: tuple[str, ...] | None = fields.optional(fields.list_form(fields.text_form(400), GRANTS_SEEN_MAX))
    trouble: str = fields.text(400, "")
    refused: tuple[RefusedSight, ...] = fields.listof(fields.record_form(RefusedSight), REFUSED_MAX, 0, ())
    minute_ms: int = fields.uint(default=0)
    in_minute: int = fields.uint(default=0)


NEVER = Sight()


def happened(before: Sight, after: Sight, now_ms: int) -> tuple[tuple[LeaseEvent, ...], Sight]:
    """What is new, and the sight to compare the next one with. The events' sequence is for the caller to give."""
    events: list[LeaseEvent] = []
    if after.manifest and after.manifest != before.manifest:
        what = "another manifest" if before.manifest else "the manifest"
        events.append(_event(EventKind.MANIFEST_TAKEN, now_ms, f"{what}: {after.manifest.hex()[:16]}"))
    events += _of_grants(before, after, now_ms)
    events += _of_trouble(before, after, now_ms)
    if after.instances is not None:
        events += _of_instances(before.instances or (), after.instances, now_ms)
    refusals, refused_state = _of_refusals(before, after, now_ms)
    events += refusals
    kept = evolve(
        refused_state,
        instances=before.instances if after.instances is None else after.instances,
        manifest=after.manifest or before.manifest,
        grants=before.grants if after.grants is None else after.grants,
    )
    return tuple(events), kept


def _event(
    kind: EventKind, now_ms: int, text: str = "", *, of: InstanceSight | None = None, count: int = 1
) -> LeaseEvent:
    return LeaseEvent(
        sequence=0,
        time_ms=now_ms,
        kind=kind,
        service=of.service if of else "",
        ordinal=of.ordinal if of else None,
        text=text[:TEXT_CHARS_MAX],
        count=count,
    )


def _of_trouble(before: Sight, after: Sight, now_ms: int) -> Iterator[LeaseEvent]:
    if after.trouble and after.trouble != before.trouble:
        yield _event(EventKind.TROUBLE, now_ms, after.trouble)
    elif before.trouble and not after.trouble:
        yield _event(EventKind.TROUBLE_OVER, now_ms)


def _of_grants(before: Sight, after: Sight, now_ms: int) -> Iterator[LeaseEvent]:
    if before.grants is None or after.grants is None or before.grants == after.grants:
        return
    old, new = set(before.grants), set(after.grants)
    words = [f"+ {grant}" for grant in after.grants if grant not in old]
    words += [f"- {grant}" for grant in before.grants if grant not in new]
    yield _event(EventKind.GRANTS_CHANGED, now_ms, "; ".join(words), count=len(words) or 1)


# --- instances --------------------------------------------------------------------------------------------------------


def _of_instances(
    before: tuple[InstanceSight, ...], after: tuple[InstanceSight, ...], now_ms: int
) -> Iterator[LeaseEvent]:
    earlier = {one.name: one for one in before}
    for one in after:
        yield from _of_instance(earlier.pop(one.name, None), one, now_ms)
    for gone in earlier.values():
        if gone.phase is not InstancePhase.WAITING:
            yield _event(EventKind.STOPPED, now_ms, of=gone)


def _of_instance(before: InstanceSight | None, now: InstanceSight, now_ms: int) -> Iterator[LeaseEvent]:
    phase = before.phase if before else InstancePhase.WAITING
    restarts = now.restarts - (before.restarts if before else 0)
    if before is not None and restarts > 0 and phase not in DOWN:
        yield _event(EventKind.EXITED, now_ms, "ended, between two looks", of=now)
        phase = InstancePhase.EXITED
    if restarts > 0 and now.phase not in DOWN:
        yield _event(EventKind.RESTARTED, now_ms, of=now, count=restarts)
    elif now.phase in UP and (phase not in UP or restarts < 0):
        yield _event(EventKind.STARTED, now_ms, of=now)
    if now.phase is InstancePhase.PREPARING and phase is not InstancePhase.PREPARING:
        yield _event(EventKind.PREPARING, now_ms, now.reason, of=now)
    if now.phase is InstancePhase.READY and (phase is not InstancePhase.READY or restarts != 0):
        yield _event(EventKind.READY, now_ms, of=now)
    if now.phase is InstancePhase.STARTING and phase is InstancePhase.READY and restarts == 0:
        yield _event(EventKind.NOT_READY, now_ms, now.reason, of=now)
    if now.phase in DOWN and (phase not in DOWN or restarts > 0):
        yield _ending(now, now_ms, count=max(restarts, 1))
        if now.held_until_ms > now_ms:
            wait_s = -(-(now.held_until_ms - now_ms) // 1000)
            yield _event(EventKind.BACK_OFF, now_ms, f"it is started again in {wait_s} s", of=now)


def _ending(one: InstanceSight, now_ms: int, count: int = 1) -> LeaseEvent:
    if OUT_OF_MEMORY in one.reason.lower():
        return _event(EventKind.OUT_OF_MEMORY, now_ms, one.reason, of=one, count=count)
    if one.phase is InstancePhase.FAILED:
        return _event(EventKind.FAILED, now_ms, one.reason, of=one, count=count)
    how = f"exited with code {one.exit_code}" if one.exit_code is not None else one.reason or "killed"
    return _event(EventKind.EXITED, now_ms, how, of=one, count=count)


# --- refusals ---------------------------------------------------------------------------------------------------------


def _of_refusals(before: Sight, after: Sight, now_ms: int) -> tuple[list[LeaseEvent], Sight]:
    """The events, and `after` with what is told of each target."""
    told = {(one.service, one.target): one for one in before.refused}
    minute_ms, in_minute = before.minute_ms, before.in_minute
    if now_ms - minute_ms >= MINUTE_MS:
        minute_ms, in_minute = now_ms, 0
    events, kept = [], []
    for found in after.refused:
        known = told.get((found.service, found.target), found)
        if found.count < known.told:  # counted anew since the agent was started again
            known = evolve(known, told=0)
        one = evolve(found, told=known.told, told_ms=known.told_ms, pause_ms=known.pause_ms)
        fresh, due = one.count - one.told, now_ms - one.told_ms >= one.pause_ms
        if fresh > 0 and due and in_minute < REFUSED_PER_MINUTE:
            in_minute += 1
            of = InstanceSight(service=one.service, ordinal=0, phase=InstancePhase.READY, restarts=0)
            event = _event(EventKind.REFUSED, now_ms, f"tried to reach {one.target}", of=of, count=fresh)
            events.append(evolve(event, ordinal=None))
            pause_ms = min(max(2 * one.pause_ms, REFUSED_AGAIN_MS), REFUSED_AGAIN_MAX_MS)
            one = evolve(one, told=one.count, told_ms=now_ms, pause_ms=pause_ms)
        kept.append(one)
    return events, evolve(after, refused=tuple(kept), minute_ms=minute_ms, in_minute=in_minute)
