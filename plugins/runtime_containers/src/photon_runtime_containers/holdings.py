"""What is in the engine of ours: which containers, of which instance, in which role."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field, frozen

from photon_core.api.ids import InstanceId, LeaseId
from photon_runtime_containers.calls import Calls
from photon_runtime_containers.engine import Container, ContainerState, Listed, NoSuchContainer
from photon_runtime_containers.labels import LEASE, Identity, Owner, Role

KNOWN_FOR_S = 60.0
"""How long an inspection may serve while no event came and the list says the same: events may be lost."""


@frozen
class Held:
    """A container of ours, as the list has it."""

    listed: Listed
    identity: Identity

    @property
    def id(self) -> str:
        return self.listed.id

    @property
    def running(self) -> bool:
        return self.listed.state is ContainerState.RUNNING


@define
class Holding:
    """Of one instance. `surplus`: what a crash, or an engine that answered too late, left beside."""

    instance: InstanceId
    sandbox: Held | None = None
    workload: Held | None = None
    surplus: list[Held] = field(factory=list)

    @property
    def all(self) -> list[Held]:
        """A workload before its sandbox: in this order they go."""
        return [held for held in (self.workload, *self.surplus, self.sandbox) if held]

    def add(self, held: Held) -> None:
        match held.identity.role:
            case Role.SANDBOX:
                first, second = _better(self.sandbox, held)
                self.sandbox = first
            case Role.WORKLOAD:
                first, second = _better(self.workload, held)
                self.workload = first
            case Role.PROBE:
                second = held
        if second:
            self.surplus.append(second)


def _better(before: Held | None, held: Held) -> tuple[Held, Held | None]:
    """Of two of a kind the one that runs."""
    if before is None:
        return held, None
    return (held, before) if held.running and not before.running else (before, held)


class Holdings:
    def __init__(self, calls: Calls, owner: Owner) -> None:
        self._calls, self._owner = calls, owner

    async def look(self, lease: LeaseId | None = None) -> dict[InstanceId, Holding]:
        """By instance, in order. A few milliseconds for a hundred containers."""
        labels = dict(self._owner.filter) | ({LEASE: str(lease)} if lease else {})
        listed = await self._calls.ask(lambda: self._calls.engine.list(labels))
        return self._sorted(listed)

    def _sorted(self, listed: Iterable[Listed]) -> dict[InstanceId, Holding]:
        found: dict[InstanceId, Holding] = {}
        for one in sorted(listed, key=lambda one: one.id):
            identity = self._owner.recognise(one.name, one.labels)
            if identity is not None:
                found.setdefault(identity.instance, Holding(identity.instance)).add(Held(one, identity))
        return {instance: found[instance] for instance in sorted(found)}

    async def of(self, instance: InstanceId) -> Holding:
        return (await self.look(instance.lease)).get(instance) or Holding(instance)

    async def inspect(self, held: Held | None) -> Container | None:
        """None for what is gone."""
        if held is None:
            return None
        try:
            return await self._calls.ask(lambda: self._calls.engine.inspect(held.id))
        except NoSuchContainer:
            return None


class Inspections:
    """Remembers what was inspected while the list and the events say that it is still so: looking at a hundred
    containers every few seconds would else be a hundred questions each time.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._known: dict[str, tuple[Container, float]] = {}
        self._changes = 0
        self.trusted = False
        """Whether events come."""

    def forget(self, container: str) -> None:
        self._changes += 1
        self._known.pop(container, None)

    def forget_all(self) -> None:
        self._changes += 1
        self._known.clear()

    async def get(self, held: Held | None, now_s: float) -> Container | None:
        if held is None:
            return None
        known = self._known.get(held.id)
        if self.trusted and known and known[0].state is held.listed.state and now_s - known[1] < KNOWN_FOR_S:
            return known[0]
        changes = self._changes
        container = await self._holdings.inspect(held)
        if container is not None and changes == self._changes:  # else it may be older than what happened meanwhile
            self._known[held.id] = (container, now_s)
        return container

    def keep(self, ids: set[str]) -> None:
        """Those that are gone are forgotten."""
        for gone in self._known.keys() - ids:
            del self._known[gone]
