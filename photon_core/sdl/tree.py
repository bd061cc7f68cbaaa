"""A YAML file as text with places: no scalar is interpreted, so `no`, `on`, `0.10` and `1e3` stay as they were written.

The parser's events are read one by one and built bottom-up into immutable nodes. That bounds everything before it can
grow: depth and number of nodes are counted as the file would be with its aliases expanded, so an alias bomb is refused
at the alias that would make it too large, and a node that contains itself cannot exist.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from attrs import define, field, frozen
from yaml.reader import Reader

from .problems import Place, Report, quoted

FILE_BYTES_MAX = 1_048_576
NODES_MAX = 50_000
"""With aliases expanded. The largest file we know of has some thousands."""
DEPTH_MAX = 32
"""The format itself needs twelve."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_STANDARD_TAGS = frozenset(
    {"!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq"))}
)
_MERGE = "<<"


@frozen
class Scalar:
    """`plain`: written without quotes and tags, so that `null` and `<<` have their meaning."""

    text: str
    plain: bool
    place: Place
    size: int = 1
    depth: int = 1

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in _NULLS


@frozen
class Sequence:
    items: tuple[Node, ...]
    place: Place
    size: int
    depth: int


@frozen
class Entry:
    key: Scalar
    value: Node


@frozen
class Mapping:
    """`entries` in the file's order; what came by merge keys follows."""

    entries: dict[str, Entry]
    place: Place
    size: int
    depth: int


Node = Scalar | Sequence | Mapping


def kind_of(node: Node) -> str:
    """What a node is, in words for a message."""
    match node:
        case Scalar():
            return "nothing" if node.is_null else quoted(node.text)
        case Sequence():
            return f"a list of {len(node.items)}"
        case Mapping():
            return f"a map of {len(node.entries)}"


def sequence(items: tuple[Node, ...], place: Place) -> Sequence:
    return Sequence(items, place, 1 + sum(i.size for i in items), 1 + max((i.depth for i in items), default=0))


def mapping(entries: dict[str, Entry], place: Place) -> Mapping:
    values = [entry.value for entry in entries.values()]
    return Mapping(entries, place, 1 + sum(v.size + 1 for v in values), 1 + max((v.depth for v in values), default=0))


def parse(data: bytes, file: str, report: Report) -> Node | None:
    """The one document of a file, None when it is empty. Raises SdlErrors when it cannot be read to its end.

    Duplicate keys and tags are noted in `report` and reading goes on.
    """
    text = _decode(data, file, report)
    builder = _Builder(file, report)
    try:
        for event in _events(text):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        what = f"not YAML: {error.problem or error.context}"
        raise report.fatal(place, what, remedy=_syntax_remedy(str(error.problem))) from None
    except yaml.YAMLError as error:
        raise report.fatal(Place(file), f"not YAML: {quoted(str(error))}") from None
    except (ValueError, OverflowError) as error:  # an escape such as "\UFFFFFFFF", a %YAML directive of 5000 digits
        raise report.fatal(Place(file), f"not YAML: {quoted(str(error))}") from None
    return builder.document


def _events(text: str) -> Iterator[yaml.Event]:
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_event():
            yield loader.get_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
    finally:
        loader.dispose()


def _syntax_remedy(problem: str) -> str:
    if "\\t" in problem or "\t" in problem:
        return "indent with spaces; YAML does not allow tabs there"
    if "mapping values are not allowed" in problem:
        return "check the indentation of this line and the one above, and quote a text that contains ': '"
    if "expected <block end>" in problem:
        return "this line is indented differently from the ones above it that it belongs to"
    return "check quotes, brackets and indentation here and just above"


def _decode(data: bytes, file: str, report: Report) -> str:
    if len(data) > FILE_BYTES_MAX:
        raise report.fatal(
            Place(file),
            "the file is too large",
            expected=f"at most {FILE_BYTES_MAX} bytes",
            found=f"{len(data)} or more",
            remedy="put data into the image, not into the deployment file",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        raise report.fatal(
            _place_after(before, file),
            "the file is not UTF-8 text",
            found=f"byte 0x{data[error.start]:02x}",
            remedy="save it as UTF-8 without a byte that belongs to another encoding",
        ) from None
    bad = Reader.NON_PRINTABLE.search(text)
    if bad is not None:
        raise report.fatal(
            _place_after(text[: bad.start()], file),
            "a character that no YAML file may hold",
            found=f"U+{ord(bad.group()):04X}",
            remedy="is it a binary file? otherwise delete the character",
        )
    return text


def _place_after(text: str, file: str) -> Place:
    return Place(file, text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


@define
class _Frame:
    """A list or map that is still open. `items` of a map are key, value, key, value."""

    event: yaml.CollectionStartEvent
    items: list[Node] = field(factory=list)


class _Builder:
    """Takes the parser's events in order; `document` is the result after the last."""

    def __init__(self, file: str, report: Report) -> None:
        self.document: Node | None = None
        self._file = file
        self._report = report
        self._open: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._made = 0

    def feed(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._check_tag(event)
                scalar = Scalar(event.value, event.implicit[0], self._place(event))
                self._check_text(scalar)
                self._close(scalar, event.anchor)
            case yaml.AliasEvent():
                self._close(self._aliased(event), None)
            case yaml.CollectionStartEvent():
                self._check_tag(event)
                if len(self._open) >= DEPTH_MAX:
                    raise self._too_deep(self._place(event))
                self._open.append(_Frame(event))
            case yaml.CollectionEndEvent():
                frame = self._open.pop()
                place = self._place(frame.event)
                is_map = isinstance(frame.event, yaml.MappingStartEvent)
                node = self._mapping(frame.items, place) if is_map else sequence(tuple(frame.items), place)
                self._close(node, frame.event.anchor)
            case yaml.DocumentStartEvent() if self.document is not None:
                raise self._report.fatal(
                    self._place(event),
                    "a second document",
                    remedy="keep one deployment in a file: delete from `---` on",
                )

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1) if mark is not None else Place(self._file)

    def _close(self, node: Node, anchor: str | None) -> None:
        """A node is complete: hand it to what it stands in."""
        self._made += 1
        if max(node.size, self._made) > NODES_MAX:
            raise self._too_many(node.place)
        if node.depth + len(self._open) > DEPTH_MAX:
            raise self._too_deep(node.place)
        if anchor is not None:
            self._anchors[anchor] = node
        if self._open:
            self._open[-1].items.append(node)
        else:
            self.document = node

    def _too_many(self, place: Place) -> Exception:
        return self._report.fatal(
            place,
            "too many values, with aliases expanded",
            expected=f"at most {NODES_MAX}",
            remedy="write the deployment without nested aliases",
        )

    def _too_deep(self, place: Place) -> Exception:
        return self._report.fatal(
            place, "nested too deeply", expected=f"at most {DEPTH_MAX} levels", remedy="see docs/sdl.md"
        )

    def _aliased(self, event: yaml.AliasEvent) -> Node:
        if event.anchor in self._anchors:
            return self._anchors[event.anchor]
        inside = any(frame.event.anchor == event.anchor for frame in self._open)
        raise self._report.fatal(
            self._place(event),
            f"*{event.anchor} stands inside of what it names" if inside else f"*{event.anchor} names nothing",
            remedy=f"write out the value, or give the anchor &{event.anchor} to an earlier value",
        )

    def _check_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None and event.tag not in _STANDARD_TAGS:
            self._report.problem(
                self._place(event), f"the tag {quoted(event.tag)} has no meaning here", remedy="remove it"
            )

    def _check_text(self, scalar: Scalar) -> None:
        """Escapes in double quotes can make what no environment, argument or name can carry."""
        if "\0" in scalar.text or any("\ud800" <= c <= "\udfff" for c in scalar.text):
            self._report.problem(
                scalar.place,
                "a text with a NUL or half a surrogate pair",
                found=quoted(scalar.text),
                remedy="no process can be given such a text: write \\U with the full code point, or leave it out",
            )

    def _mapping(self, items: list[Node], place: Place) -> Mapping:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, Scalar) or key.is_null:
                self._report.problem(
                    key.place,
                    "a key must be a text",
                    found=kind_of(key),
                    remedy="write `name: value`, quote braces in templates",
                )
            elif key.plain and key.text == _MERGE:
                for name, entry in self._merged(value):
                    merged.setdefault(name, entry)
            elif key.text in own:
                first = own[key.text].key.place
                self._report.problem(
                    key.place,
                    f"{quoted(key.text)} is given twice",
                    found=f"the first at line {first.line}",
                    remedy="remove one of them",
                )
            else:
                own[key.text] = Entry(key, value)
        return mapping(own | {name: entry for name, entry in merged.items() if name not in own}, place)

    def _merged(self, value: Node) -> Iterator[tuple[str, Entry]]:
        """The entries that `<<` brings, the stronger first."""
        for source in value.items if isinstance(value, Sequence) else (value,):
            if isinstance(source, Mapping):
                self._made += len(source.entries)
                if self._made > NODES_MAX:
                    raise self._too_many(source.place)
                yield from source.entries.items()
            else:
                self._report.problem(
                    source.place,
                    "`<<` merges maps only",
                    expected="a map or a list of maps",
                    found=kind_of(source),
                    remedy="write `<<: *name` where &name stands before a map",
                )
