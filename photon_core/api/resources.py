"""What is ordered, offered and used: cores in thousandths, memory and storage in bytes."""

from __future__ import annotations

from attrs import frozen

from . import fields

UNITS_PER_GROUP_MAX = 64
COUNT_MAX = 1000
CPU_MILLI_MAX = 384_000
MEMORY_BYTES_MAX = 2 * 2**40
STORAGE_BYTES_MAX = 32 * 2**40


@frozen(kw_only=True)
class Resources:
    cpu_milli: int = fields.uint(2**53)
    memory_bytes: int = fields.uint(2**63)
    storage_bytes: int = fields.uint(2**63)

    def plus(self, other: Resources) -> Resources:
        return Resources(
            cpu_milli=self.cpu_milli + other.cpu_milli,
            memory_bytes=self.memory_bytes + other.memory_bytes,
            storage_bytes=self.storage_bytes + other.storage_bytes,
        )

    def times(self, count: int) -> Resources:
        return Resources(
            cpu_milli=self.cpu_milli * count,
            memory_bytes=self.memory_bytes * count,
            storage_bytes=self.storage_bytes * count,
        )

    def fits_in(self, room: Resources) -> bool:
        return not self.lacking_in(room)

    def lacking_in(self, room: Resources) -> tuple[str, ...]:
        """The names of what `room` has too little of."""
        pairs = (
            ("cpu", self.cpu_milli, room.cpu_milli),
            ("memory", self.memory_bytes, room.memory_bytes),
            ("storage", self.storage_bytes, room.storage_bytes),
        )
        return tuple(name for name, need, have in pairs if need > have)


NOTHING = Resources(cpu_milli=0, memory_bytes=0, storage_bytes=0)


@frozen(kw_only=True)
class ResourceUnit:
    """`count` equal instances of one service. Its most per instance: `max_price`, 10⁻⁶ uptn per hour."""

    resources: Resources = fields.record(Resources)
    count: int = fields.uint(COUNT_MAX, 1)
    max_price: int = fields.uint(2**63)


def total(units: tuple[ResourceUnit, ...]) -> Resources:
    everything = NOTHING
    for unit in units:
        everything = everything.plus(unit.resources.times(unit.count))
    return everything


def max_price(units: tuple[ResourceUnit, ...]) -> int:
    """The most a group may cost: 10⁻⁶ uptn per hour, over services times count."""
    return sum(unit.max_price * unit.count for unit in units)
