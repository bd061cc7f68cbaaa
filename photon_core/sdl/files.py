"""Reading a file with all that it includes, merged deeply: what comes later wins, the including file last."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from attrs import define, field

from .problems import Place, Report, quoted
from .tree import FILE_BYTES_MAX, NODES_MAX, Entry, Mapping, Node, Scalar, Sequence, kind_of, mapping, parse

INCLUDED_FILES_MAX = 32
"""In total, each as often as it is included: a bound on work, far above what anybody maintains."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def read_merged(path: Path, report: Report) -> Mapping:
    """The file's tree with its includes merged into it. Raises SdlErrors when one of them cannot be read at all."""
    return _Reader(report).read(path, str(path), (), Place(str(path)))


@define
class _Reader:
    report: Report
    read_count: int = 0
    versions: dict[str, str] = field(factory=dict)

    def read(self, path: Path, name: str, within: tuple[Path, ...], at: Place) -> Mapping:
        """`within` are the files that include this one, `at` is where it is named."""
        resolved = path.resolve()
        if resolved in within:
            raise self.report.fatal(
                at,
                f"{quoted(name)} includes itself",
                found=" -> ".join(p.name for p in [*within, resolved]),
                remedy="remove one of these includes",
            )
        self.read_count += 1
        if self.read_count > INCLUDED_FILES_MAX + 1:
            raise self.report.fatal(
                at,
                "too many files are included",
                expected=f"at most {INCLUDED_FILES_MAX}",
                remedy="merge some of them into one",
            )
        node = parse(_read_bytes(path, name, at, self.report), name, self.report)
        if node is None or (isinstance(node, Scalar) and node.is_null):
            raise self.report.fatal(
                Place(name), "the file is empty", remedy="see docs/sdl.md for an example to begin with"
            )
        if not isinstance(node, Mapping):
            raise self.report.fatal(
                node.place,
                "this is not a deployment file",
                expected="a map with version, services, profiles, deployment",
                found=kind_of(node),
                remedy="see docs/sdl.md for an example to begin with",
            )
        return self._with_includes(node, path, name, (*within, resolved))

    def _with_includes(self, node: Mapping, path: Path, name: str, within: tuple[Path, ...]) -> Mapping:
        entry = node.entries.get("include")
        if entry is None:
            return node
        merged: Mapping | None = None
        for item in _names(entry.value):
            if _URL.match(item.text):
                self.report.problem(
                    item.place,
                    "including from another machine is not supported yet",
                    found=quoted(item.text),
                    remedy="download the file, look at it, and include it by its relative path",
                )
                continue
            if Path(item.text).is_absolute() or not item.text:
                self.report.problem(
                    item.place,
                    "an include must be a relative path",
                    found=quoted(item.text),
                    remedy="write it from this file's folder, such as base.yml or ../common/base.yml",
                )
                continue
            included = self.read(path.parent / item.text, str(Path(name).parent / item.text), within, item.place)
            self._check_version(node, included, item)
            merged = included if merged is None else self._merge(merged, included)
        return node if merged is None else self._merge(merged, node)

    def _check_version(self, node: Mapping, included: Mapping, item: Scalar) -> None:
        ours, theirs = _version(node), _version(included)
        if theirs is None or ours != theirs:
            stated = theirs.place if isinstance(theirs, _Version) else included.place
            self.report.problem(
                stated,
                "an included file must have the version of the file that includes it",
                expected=quoted(ours.text) if ours else "a version in both",
                found=quoted(theirs.text) if theirs else "none",
                remedy=f"it is included at {item.place}",
            )

    def _merge(self, base: Mapping, over: Mapping) -> Mapping:
        """Maps are merged key by key; everything else is replaced. An include is used up where it stands."""
        merged = _deep(base, over)
        if merged.size > NODES_MAX:
            raise self.report.fatal(
                merged.place,
                "too many values in all files",
                expected=f"at most {NODES_MAX}",
                remedy="split the deployment",
            )
        return merged


def _deep(base: Mapping, over: Mapping) -> Mapping:
    entries = dict(base.entries)
    for name, entry in over.entries.items():
        below = entries.get(name)
        if below is not None and isinstance(below.value, Mapping) and isinstance(entry.value, Mapping):
            entries[name] = Entry(entry.key, _deep(below.value, entry.value))
        else:
            entries[name] = entry
    return mapping(entries, over.place)


@define(eq=False)
class _Version:
    text: str
    place: Place

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Version) and self.text == other.text

    __hash__ = None  # type: ignore[assignment]


def _version(node: Mapping) -> _Version | None:
    entry = node.entries.get("version")
    if entry is None or not isinstance(entry.value, Scalar):
        return None
    return _Version(entry.value.text, entry.value.place)


def _names(value: Node) -> list[Scalar]:
    """The texts of an include; what has another form is told by the version's table."""
    items = value.items if isinstance(value, Sequence) else ()
    return [item for item in items if isinstance(item, Scalar) and not item.is_null]


def _read_bytes(path: Path, name: str, at: Place, report: Report) -> bytes:
    """At most one byte more than is allowed, and only from a regular file: a pipe or a device could last for ever."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise report.fatal(
                    at, f"{quoted(name)} is not a regular file", remedy="name a file that holds the deployment"
                )
            return file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise report.fatal(
            at, f"{quoted(name)} cannot be read", found=reason, remedy="check the path and its permissions"
        ) from None
