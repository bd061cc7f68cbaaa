"""What falls due and when: an index by time, derived from records alone and right after every single write.

Theory of operation
-------------------
`watch` sees every change of a record (rollbacks as their reverse) and keeps one timer per thing that can fall due. A
heap holds (due, id); an entry counts only while `due` says the same of its id, so moving a timer is a push. Ids are a
letter of `TimerKind` and the suffix of the record's key: (due, id) is the order in which the whole chain fires.

Staleness is the one timer that cannot be read off a single record, since one ConfirmLeases speaks for thousands of
leases (see `Provider`): all *covered* leases of a provider share one timer, at its confirmation plus the period, which
stays until each was closed; an *uncovered* lease (matched after the confirmed height, or omitted) has its own. A
provider's leases are kept in order of the height that they were matched at, so that a confirmation moves just those
between the old and the new height.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from enum import StrEnum
from typing import Any

from attrs import define, field, frozen

from photon_core.api.ids import Address, OrderId
from photon_core.exchange import keys, state
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import (
    Deployment,
    DeploymentState,
    Group,
    GroupState,
    Lease,
    LeaseState,
    LeaseStatus,
    Order,
    OrderState,
    Provider,
)

_HEAP_SLACK = 64
"""Dead entries that a heap may hold, beside as many as live ones, before it is built anew."""


class TimerKind(StrEnum):
    """Things due at the same instant fire in order of these letters."""

    COLLATERAL = "c"
    FUNDS = "f"
    REOPEN = "g"
    STALE_LEASE = "l"
    DEADLINE = "o"
    STALE_PROVIDER = "p"
    STATUS = "s"


@frozen(order=True)
class Timer:
    """`suffix` is the rest of the record's key, after its table's letter."""

    due_ms: int
    kind: TimerKind
    suffix: bytes


_Identity = tuple[TimerKind, bytes]


class _Timers:
    """One timer per identity, and which is first."""

    def __init__(self) -> None:
        self.due: dict[_Identity, int] = {}
        self._heap: list[Timer] = []

    def set(self, identity: _Identity, due_ms: int | None) -> None:
        """None: nothing falls due any more."""
        if due_ms is None:
            self.due.pop(identity, None)
        elif self.due.get(identity) != due_ms:
            self.due[identity] = due_ms
            heapq.heappush(self._heap, Timer(due_ms, *identity))
        if len(self._heap) > 2 * len(self.due) + _HEAP_SLACK:
            self._heap = self.in_order()

    def first(self) -> Timer | None:
        while self._heap:
            timer = self._heap[0]
            if self.due.get((timer.kind, timer.suffix)) == timer.due_ms:
                return timer
            heapq.heappop(self._heap)
        return None

    def in_order(self) -> list[Timer]:
        return sorted(Timer(due_ms, *identity) for identity, due_ms in self.due.items())


@define
class _ProviderLeases:
    """A provider's active leases, by the suffix of their keys."""

    confirmed_ms: int = 0
    confirmed_height: int = 0
    by_height: list[tuple[int, bytes]] = field(factory=list)
    leases: dict[bytes, Lease] = field(factory=dict)
    omitted: dict[bytes, None] = field(factory=dict)
    uncovered: dict[bytes, int] = field(factory=dict)
    """Suffix → when it goes stale."""


class Schedule:
    """Timers of one state. Give `watch` to the ledger; `rebuild` at start."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._timers = _Timers()
        self._by_deployment: dict[bytes, _Timers] = {}
        """A deployment has few groups, but as many closing leases as somebody cares to make in one period."""
        self._providers: dict[Address, _ProviderLeases] = {}

    def rebuild(self, reader: state.Reader) -> None:
        """One scan of the tables that have timers."""
        for letter in (keys.DEPLOYMENT, keys.GROUP, keys.ORDER, keys.LEASE, keys.PROVIDER):
            for key, record in state.read_all(reader, letter):
                self.watch(key, None, record)

    # --- asking ------------------------------------------------------------------------------------------------------

    def next_due(self) -> Timer | None:
        """The earliest timer, which stays until what it stands for has changed."""
        return self._timers.first()

    def next_due_of_deployment(self, deployment: int) -> Timer | None:
        """The earliest timer of the deployment's own; of its covered leases' staleness the provider's timer speaks."""
        mine = self._by_deployment.get(deployment.to_bytes(8, "big"))
        return None if mine is None else mine.first()

    def stale_before(self, provider: Address, now_ms: int) -> int:
        """How many of the provider's active leases had to be confirmed by `now_ms` and were not."""
        found = self._providers.get(provider)
        if found is None:
            return 0
        late = sum(1 for due_ms in found.uncovered.values() if due_ms <= now_ms)
        if found.confirmed_ms + self._parameters.reconfirmation_period_ms <= now_ms:
            late += len(found.leases) - len(found.uncovered)
        return late

    def first_covered(self, provider: Address) -> OrderId:
        """Of the leases that the provider's newest confirmation speaks for, the one matched first."""
        found = self._providers[provider]
        return next(keys.order_id_of(suffix) for _, suffix in found.by_height if suffix not in found.uncovered)

    def omitted(self, provider: Address) -> tuple[OrderId, ...]:
        """Active leases that the provider's newest ConfirmLeases left out, in order."""
        found = self._providers.get(provider)
        return () if found is None else tuple(keys.order_id_of(suffix) for suffix in sorted(found.omitted))

    def timers(self) -> tuple[Timer, ...]:
        """All of them, in order: for comparing two schedules, and for people."""
        return tuple(self._timers.in_order())

    # --- watching ----------------------------------------------------------------------------------------------------

    def watch(self, key: bytes, before: Any, after: Any) -> None:
        """A record under `key` has changed from `before` to `after`; None where there was or is none."""
        letter, suffix = key[:1], key[1:]
        if letter == keys.LEASE:
            self._lease(suffix, before, after)
        elif letter == keys.PROVIDER:
            self._provider(suffix, after)
        elif letter == keys.ORDER:
            self._set(TimerKind.DEADLINE, suffix, _deadline_ms(after), suffix[:8])
        elif letter == keys.GROUP:
            self._set(TimerKind.REOPEN, suffix, _reopen_ms(after), suffix[:8])
        elif letter == keys.DEPLOYMENT:
            self._set(TimerKind.FUNDS, suffix, _funds_due_ms(after), suffix)

    def _set(self, kind: TimerKind, suffix: bytes, due_ms: int | None, deployment: bytes | None) -> None:
        identity = (kind, suffix)
        if self._timers.due.get(identity) == due_ms:
            return
        self._timers.set(identity, due_ms)
        if deployment is not None:
            mine = self._by_deployment.setdefault(deployment, _Timers())
            mine.set(identity, due_ms)
            if not mine.due:
                del self._by_deployment[deployment]

    def _lease(self, suffix: bytes, before: Lease | None, after: Lease | None) -> None:
        deployment = suffix[:8]
        self._set(TimerKind.COLLATERAL, suffix, self._collateral_ms(after), deployment)
        self._set(TimerKind.STATUS, suffix, self._status_ms(after), deployment)
        known = after if after is not None else before
        assert known is not None
        mine = self._providers.setdefault(known.provider, _ProviderLeases())
        if before is not None and before.state is LeaseState.ACTIVE:
            mine.by_height.pop(bisect_right(mine.by_height, (before.matched_height, suffix)) - 1)
            del mine.leases[suffix]
            mine.omitted.pop(suffix, None)
        if after is not None and after.state is LeaseState.ACTIVE:
            insort(mine.by_height, (after.matched_height, suffix))
            mine.leases[suffix] = after
            if after.omitted:
                mine.omitted[suffix] = None
        self._staleness(mine, suffix)
        self._provider_staleness(known.provider, mine)

    def _provider(self, provider: Address, after: Provider | None) -> None:
        mine = self._providers.setdefault(provider, _ProviderLeases())
        was_height = mine.confirmed_height
        mine.confirmed_ms = 0 if after is None else after.confirmed_ms
        mine.confirmed_height = 0 if after is None else after.confirmed_height
        low, high = sorted((was_height, mine.confirmed_height))
        start = bisect_right(mine.by_height, low, key=_matched_height)
        stop = bisect_right(mine.by_height, high, key=_matched_height)
        for _, suffix in mine.by_height[start:stop]:
            self._staleness(mine, suffix)
        self._provider_staleness(provider, mine)

    def _staleness(self, mine: _ProviderLeases, suffix: bytes) -> None:
        """An uncovered lease's own timer."""
        lease, due_ms = mine.leases.get(suffix), None
        if lease is not None and (lease.omitted or lease.matched_height > mine.confirmed_height):
            due_ms = lease.confirmed_ms + self._parameters.reconfirmation_period_ms
        if due_ms is None:
            mine.uncovered.pop(suffix, None)
        else:
            mine.uncovered[suffix] = due_ms
        self._set(TimerKind.STALE_LEASE, suffix, due_ms, suffix[:8])

    def _provider_staleness(self, provider: Address, mine: _ProviderLeases) -> None:
        covered = len(mine.leases) > len(mine.uncovered)
        due_ms = mine.confirmed_ms + self._parameters.reconfirmation_period_ms if covered else None
        self._set(TimerKind.STALE_PROVIDER, provider, due_ms, None)

    def _collateral_ms(self, lease: Lease | None) -> int | None:
        if lease is None or lease.state is not LeaseState.CLOSING:
            return None
        assert lease.closed_ms is not None
        return lease.closed_ms + self._parameters.reconfirmation_period_ms

    def _status_ms(self, lease: Lease | None) -> int | None:
        if lease is None or lease.state is not LeaseState.ACTIVE:
            return None
        timeout_ms = status_timeout_ms(lease.status, self._parameters)
        return None if timeout_ms is None else lease.status_since_ms + timeout_ms


def status_timeout_ms(status: LeaseStatus, parameters: Parameters) -> int | None:
    """How long a lease may be in a state; None without limit."""
    match status:
        case LeaseStatus.AWAITING_MANIFEST:
            return parameters.manifest_timeout_ms
        case LeaseStatus.STARTING:
            return parameters.start_timeout_ms
        case LeaseStatus.WORKLOAD_FAULT:
            return parameters.fault_timeout_ms
        case LeaseStatus.SERVING:
            return None


def _matched_height(entry: tuple[int, bytes]) -> int:
    return entry[0]


def _deadline_ms(order: Order | None) -> int | None:
    return order.deadline_ms if order is not None and order.state is OrderState.OPEN else None


def _reopen_ms(group: Group | None) -> int | None:
    return group.reopen_ms if group is not None and group.state is GroupState.OPEN else None


def _funds_due_ms(deployment: Deployment | None) -> int | None:
    return deployment.funds_due_ms if deployment is not None and deployment.state is DeploymentState.ACTIVE else None
