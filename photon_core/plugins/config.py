"""Reading a table of a TOML or JSON file into a frozen attrs class, believing nothing.

Unknown keys, missing keys and values of a wrong type or out of range are all told at once, each with its path. What a
class may have as types of its attributes: bool, int, float, str, Path, an Enum (by value), another attrs class (a
table), `X | None`, tuple[X, ...], list[X], dict[str, X], and Any or object for what the class checks itself. An
attribute's validator says ValueError; its text is what people read.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import attrs

from photon_core.api.errors import UsageError
from photon_core.plugins.discovery import close_matches

T = TypeVar("T")
FOUND_CHARS_MAX = 60


class _Problems(Exception):
    """All that is wrong with one value; never leaves this module."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines


def read_table(cls: type[T], table: Mapping[str, object], where: str) -> T:
    """An instance of the attrs class `cls`; `where` names the table for people, such as `node.toml [api]`.

    UsageError with the code `config` lists every problem.
    """
    try:
        read: T = _read_class(cls, table, "")
    except _Problems as problems:
        lines = problems.lines
        what = lines[0] if len(lines) == 1 else "".join([f"{len(lines)} problems", *(f"\n  {line}" for line in lines)])
        raise UsageError(code="config", where=where, what=what, remedy=_keys_of(cls)) from None
    return read


def unsupported(cls: type) -> tuple[str, ...]:
    """What `read_table` could not fill, whatever the table says: faults of the class itself."""
    if not attrs.has(cls):
        return (f"{cls.__name__} is not an attrs class",)
    found = []
    for attribute, hint in _attributes(cls):
        try:
            _reader(hint)
        except _Problems as problems:
            found.append(f"{cls.__name__}.{attribute.name}: {problems.lines[0]}")
    return tuple(found)


def _attributes(cls: type) -> Iterator[tuple[attrs.Attribute[Any], Any]]:
    hints = typing.get_type_hints(cls)
    for attribute in attrs.fields(cls):
        if attribute.init:
            yield attribute, hints.get(attribute.name, Any)


def _key(attribute: attrs.Attribute[Any]) -> str:
    return attribute.alias or attribute.name


def _keys_of(cls: type) -> str:
    keys = [_key(a) + ("" if a.default is attrs.NOTHING else " (optional)") for a, _ in _attributes(cls)]
    return f"Its keys are {', '.join(keys)}" if keys else "It has no keys: leave the table empty or out"


def _read_class(cls: type[T], table: object, path: str) -> T:
    if not isinstance(table, Mapping):
        raise _Problems(f"{path.rstrip('.') or 'it'}: expected a table, found {_show(table)}")
    problems: list[str] = []
    values: dict[str, Any] = {}
    known = {_key(attribute): (attribute, hint) for attribute, hint in _attributes(cls)}
    for key in table:
        if key not in known:
            close = close_matches(str(key), known)
            problems.append(f"{path}{key}: unknown key" + (f"; did you mean {close[0]}?" if close else ""))
    for key, (attribute, hint) in known.items():
        if key in table:
            try:
                values[key] = _reader(hint)(table[key], f"{path}{key}")
            except _Problems as error:
                problems.extend(error.lines)
        elif attribute.default is attrs.NOTHING:
            problems.append(f"{path}{key}: missing; expected {_name(hint)}")
    if problems:
        raise _Problems(*problems)
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise _Problems(f"{path.rstrip('.') + ': ' if path else ''}{error.args[0] if error.args else error}") from error


def _reader(hint: Any) -> Callable[[object, str], Any]:
    """The function that turns a value of the file into one of type `hint`, or _Problems."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (Any, object):
        return _anything
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and types.NoneType in arguments:
        return _reader(arguments[0] if arguments[1] is types.NoneType else arguments[1])  # TOML has no null
    if (origin is tuple and arguments[1:] == (...,)) or origin is list:
        return _sequence(origin, _reader(arguments[0]), hint)
    if origin is dict and arguments[0] is str:
        return _mapping(_reader(arguments[1]), hint)
    if isinstance(hint, type):
        if attrs.has(hint):
            return lambda value, path: _read_class(hint, value, f"{path}.")
        if issubclass(hint, Enum):
            return _enumeration(hint)
        if hint in _SCALARS:
            return _scalar(hint)
    raise _Problems(f"{hint} is not a type that can be read from a file")


def _anything(value: object, _path: str) -> object:
    return value


_SCALARS: dict[type, tuple[type, ...]] = {bool: (bool,), int: (int,), float: (float, int), str: (str,), Path: (str,)}


def _scalar(hint: type) -> Callable[[object, str], Any]:
    accepted = _SCALARS[hint]

    def read(value: object, path: str) -> Any:
        if type(value) not in accepted:  # `type`, not isinstance: true is an int to Python and not to anybody else
            raise _mismatch(path, hint, value)
        return hint(value)

    return read


def _enumeration(hint: type[Enum]) -> Callable[[object, str], Enum]:
    def read(value: object, path: str) -> Enum:
        try:
            return hint(value)
        except ValueError:
            allowed = ", ".join(repr(member.value) for member in hint)
            raise _Problems(f"{path}: expected one of {allowed}, found {_show(value)}") from None

    return read


def _sequence(origin: type, read_item: Callable[[object, str], Any], hint: Any) -> Callable[[object, str], Any]:
    def read(value: object, path: str) -> Any:
        if not isinstance(value, list | tuple):
            raise _mismatch(path, hint, value)
        return origin(_all((read_item, item, f"{path}[{index}]") for index, item in enumerate(value)))

    return read


def _mapping(read_item: Callable[[object, str], Any], hint: Any) -> Callable[[object, str], dict[str, Any]]:
    def read(value: object, path: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _mismatch(path, hint, value)
        items = _all((read_item, item, f"{path}.{key}") for key, item in value.items())
        return dict(zip((str(key) for key in value), items, strict=True))

    return read


def _all(reads: Iterator[tuple[Callable[[object, str], Any], object, str]]) -> list[Any]:
    values: list[Any] = []
    problems: list[str] = []
    for read, item, path in reads:
        try:
            values.append(read(item, path))
        except _Problems as error:
            problems.extend(error.lines)
    if problems:
        raise _Problems(*problems)
    return values


def _mismatch(path: str, hint: Any, value: object) -> _Problems:
    return _Problems(f"{path}: expected {_name(hint)}, found {_show(value)}")


_WORDS: dict[Any, str] = {bool: "true or false", int: "an integer", float: "a number", str: "text", Path: "a path"}


def _name(hint: Any) -> str:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (list, tuple):
        return f"a list of {_name(arguments[0])}"
    if arguments and types.NoneType in arguments:
        return _name(arguments[0] if arguments[1] is types.NoneType else arguments[1])
    if typing.get_origin(hint) is dict or (isinstance(hint, type) and attrs.has(hint)):
        return "a table"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(repr(member.value) for member in hint)
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= FOUND_CHARS_MAX else f"{text[:FOUND_CHARS_MAX]}…"
