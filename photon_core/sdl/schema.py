"""The pieces that a version's tables are made of: each reads one node and notes what is wrong with it.

A shape's `read` returns None for what is invalid (and has been noted) or is null, so that the rest of the file is still
checked. What it returns otherwise:

- `Text`, `Quantity`: a Leaf, the value with its place
- `ListOf`: a Listed, the outputs of its good items with the list's place
- `Table` (named fields) and `MapOf` (names of the tenant's choice): a Record
- `Only`: what the shape inside returns; `NotYet`: always None
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as MappingLike
from fractions import Fraction
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from attrs import field, frozen

from .problems import SUGGESTABLE_CHARS_MAX, Place, Report, quoted
from .tree import Entry, Mapping, Node, Scalar, Sequence, kind_of

T = TypeVar("T")

ITEMS_MAX = 1024


@frozen
class Leaf(Generic[T]):
    value: T
    place: Place


@frozen
class Listed:
    items: tuple[Any, ...]
    place: Place


@frozen
class Record:
    """`fields` holds what was read, `keys` the place of every key that is there and not null, also of invalid ones."""

    place: Place
    fields: dict[str, Any] = field(factory=dict)
    keys: dict[str, Place] = field(factory=dict)

    def has(self, name: str) -> bool:
        return name in self.keys

    def get(self, name: str) -> Any:
        """What was read, None when it is absent or invalid."""
        return self.fields.get(name)

    def value(self, name: str, default: Any = None) -> Any:
        """A leaf's value; `default` when it is absent, None when it is invalid."""
        leaf = self.fields.get(name)
        if leaf is not None:
            return leaf.value
        return None if name in self.keys else default

    def items(self, name: str) -> tuple[Any, ...]:
        listed = self.fields.get(name)
        return () if listed is None else tuple(listed.items)

    def place_of(self, name: str) -> Place:
        return self.keys.get(name, self.place)


class Shape(Protocol):
    def read(self, node: Node, report: Report, where: str) -> Any: ...


def is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_null


@frozen(kw_only=True)
class Text:
    """A scalar. `parse` takes its text and raises ValueError when it does not like it."""

    parse: Callable[[str], Any] = str
    expected: str = "a text"
    remedy: str = ""
    bytes_max: int = 65_536

    def read(self, node: Node, report: Report, where: str) -> Leaf[Any] | None:
        if not isinstance(node, Scalar) or node.is_null:
            report.problem(
                node.place,
                f"{where} has the wrong type",
                expected=self.expected,
                found=kind_of(node),
                remedy=self.remedy,
            )
            return None
        if len(node.text.encode("utf-8", "replace")) > self.bytes_max:
            report.problem(
                node.place,
                f"{where} is too long",
                expected=f"at most {self.bytes_max} bytes",
                remedy="put large data into the image, or shorten it",
            )
            return None
        try:
            return Leaf(self.parse(node.text), node.place)
        except ValueError:
            report.problem(
                node.place, f"{where} is not valid", expected=self.expected, found=quoted(node.text), remedy=self.remedy
            )
            return None


@frozen(kw_only=True)
class Quantity:
    """A number in whole units of ours: what is finer is rounded down, with a warning. Bounds are in our unit."""

    parse: Callable[[str], Fraction]
    expected: str
    unit: str
    minimum: int
    maximum: int
    limits: str
    remedy: str = ""

    def read(self, node: Node, report: Report, where: str) -> Leaf[int] | None:
        leaf = Text(parse=self.parse, expected=self.expected, remedy=self.remedy, bytes_max=100).read(
            node, report, where
        )
        if leaf is None:
            return None
        value = int(leaf.value)
        assert isinstance(node, Scalar)
        if not self.minimum <= value <= self.maximum:
            report.problem(
                node.place,
                f"{where} is out of range",
                expected=self.limits,
                found=quoted(node.text),
                remedy=f"write {self.limits}",
            )
            return None
        if value != leaf.value:
            report.warn(node.place, f"{where}: {node.text} is rounded down to {value} {self.unit}")
        return Leaf(value, node.place)


@frozen(kw_only=True)
class ListOf:
    """`or_single`: a map is read as a list of one, as files of 2018 and 2.x volumes have it."""

    item: Shape
    or_single: bool = False
    maximum: int = ITEMS_MAX
    remedy: str = "write a list: one line with `- ` per item, or [a, b]"

    def read(self, node: Node, report: Report, where: str) -> Listed | None:
        if self.or_single and isinstance(node, Mapping):
            items: tuple[Node, ...] = (node,)
        elif isinstance(node, Sequence):
            items = node.items
        else:
            report.problem(
                node.place, f"{where} has the wrong type", expected="a list", found=kind_of(node), remedy=self.remedy
            )
            return None
        if len(items) > self.maximum:
            report.problem(
                node.place,
                f"{where} is too long",
                expected=f"at most {self.maximum} items",
                found=f"{len(items)}",
                remedy="remove some",
            )
        read = (self.item.read(item, report, f"{where}[{i}]") for i, item in enumerate(items[: self.maximum]))
        return Listed(tuple(r for r in read if r is not None), node.place)


@frozen
class Field:
    """`missing` is what to write when it is required and not there; empty: it may be left out."""

    shape: Shape
    missing: str = ""


@frozen(kw_only=True)
class Table:
    """A map whose keys the format knows. `hints` are remedies for keys that people bring from elsewhere."""

    fields: MappingLike[str, Field]
    hints: MappingLike[str, str] = field(factory=dict)

    def read(self, node: Node, report: Report, where: str) -> Record | None:
        entries = _entries(node, report, where, f"a map with {', '.join(self.fields)}")
        if entries is None:
            return None
        record = Record(node.place)
        for name, entry in entries.items():
            known = self.fields.get(name)
            if known is None:
                self._unknown(entry.key, report, where)
            elif not is_null(entry.value):
                record.keys[name] = entry.key.place
                value = known.shape.read(entry.value, report, _join(where, name))
                if value is not None:
                    record.fields[name] = value
        for name, known in self.fields.items():
            if known.missing and name not in record.keys:
                place = entries[name].key.place if name in entries else node.place
                report.problem(place, f"{_join(where, name)} is missing", remedy=known.missing)
        return record

    def _unknown(self, key: Scalar, report: Report, where: str) -> None:
        remedy = self.hints.get(key.text) or report.suggest(key.text.lower(), list(self.fields))
        what = f"{_join(where, key.text[:SUGGESTABLE_CHARS_MAX])} is not a field of this version"
        fields = ", ".join(self.fields)
        report.problem(key.place, what, expected=f"one of {fields}", remedy=remedy or "remove it, or see docs/sdl.md")


@frozen(kw_only=True)
class MapOf:
    """A map whose keys the tenant chooses."""

    item: Shape
    name: Callable[[str], str] = str
    name_expected: str = "a name"
    what: str = "a map of names"
    maximum: int = ITEMS_MAX

    def read(self, node: Node, report: Report, where: str) -> Record | None:
        entries = _entries(node, report, where, self.what)
        if entries is None:
            return None
        if len(entries) > self.maximum:
            report.problem(
                node.place,
                f"{where} has too many entries",
                expected=f"at most {self.maximum}",
                found=str(len(entries)),
                remedy="remove some",
            )
        record = Record(node.place)
        for name, entry in islice(entries.items(), self.maximum):
            try:
                self.name(name)
            except ValueError:
                report.problem(
                    entry.key.place,
                    f"{where}: a name is not valid",
                    expected=self.name_expected,
                    found=quoted(name),
                    remedy="rename it here and wherever it is named",
                )
            record.keys[name] = entry.key.place
            read = self.item.read(entry.value, report, _join(where, name[:SUGGESTABLE_CHARS_MAX]))
            if read is not None:
                record.fields[name] = read
        return record


@frozen(kw_only=True)
class NotYet:
    """A field that Photon knows and does not build yet: refused by name. `harmless` decides what asks for nothing."""

    what: str
    remedy: str
    harmless: Callable[[Node], bool] = is_null

    def read(self, node: Node, report: Report, where: str) -> None:
        if not self.harmless(node):
            report.problem(node.place, f"{where}: {self.what} not supported yet", remedy=self.remedy)


@frozen(kw_only=True)
class Only:
    """A shape of which only some values are built yet."""

    shape: Shape
    allowed: Callable[[Any], bool]
    what: str
    remedy: str

    def read(self, node: Node, report: Report, where: str) -> Any:
        value = self.shape.read(node, report, where)
        if value is not None and not self.allowed(value.value):
            report.problem(node.place, f"{where}: {self.what} not supported yet", remedy=self.remedy)
            return None
        return value


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _entries(node: Node, report: Report, where: str, expected: str) -> dict[str, Entry] | None:
    if isinstance(node, Mapping):
        return node.entries
    if is_null(node):  # nothing under a name: an empty map, of which it is told what is missing
        return {}
    report.problem(
        node.place,
        f"{where or 'the file'} has the wrong type",
        expected=expected,
        found=kind_of(node),
        remedy="write `name: value` lines, indented by two spaces",
    )
    return None
