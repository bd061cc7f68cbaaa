"""How a record's fields look on the wire, on disk and in JSON: one declaration beside the field.

A record that is signed, stored or sent is a frozen attrs class whose fields are made with the functions below:

    @frozen(kw_only=True)
    class Transfer:
        to: Address = address()
        amount_uptn: int = uint()

Three forms follow from that one place, and no other code knows them:

- plain: the fields in order as a list of integers, bytes, strings, lists, booleans and null, which is exactly the CBOR
  subset of the chain (design, "Bytes"); `to_plain`, `from_plain`
- json: an object with the fields' names, addresses as bech32m and other bytes as hex; `to_json`, `from_json`
- documentation: `describe` gives (name, form) pairs, from which `docs/formats.md` is checked

`from_plain` believes nothing: type, length and range of every field are checked and a failure names its path.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, TypeVar

import attrs
from attrs import frozen

from . import bech32m
from .errors import CodecError

Plain = int | bytes | str | bool | None | list[Any]
Json = Any
T = TypeVar("T")

U64_MAX = 2**64 - 1
I64_MIN = -(2**63)
ADDRESS_BYTES = 20
HASH_BYTES = 32
_META = "photon.form"


@frozen
class Form:
    """One value's three forms. `name` is what the documentation and errors call it, such as `u64` or
    `list<address>`.
    """

    name: str
    to_plain: Callable[[Any], Plain]
    from_plain: Callable[[Any, str], Any]
    to_json: Callable[[Any], Json]
    from_json: Callable[[Any, str], Any]


def _found(value: object) -> str:
    """A short, bounded picture of a bad value: it may come from a stranger and be huge."""
    text = f"{type(value).__name__} of {len(value)}" if isinstance(value, bytes | str | list) else repr(value)
    return text[:80]


def _field(form: Form, default: Any = attrs.NOTHING) -> Any:
    return attrs.field(default=default, metadata={_META: form})


def _same(value: Any) -> Any:
    return value


# --- forms ---------------------------------------------------------------------------------------------------------


def uint_form(maximum: int = U64_MAX, minimum: int = 0) -> Form:
    expected = f"an integer from {minimum} to {maximum}"

    def check(value: Any, where: str) -> int:
        if type(value) is not int or not minimum <= value <= maximum:  # `is`: True is an int to isinstance
            raise CodecError(where, expected, _found(value))
        return value

    return Form(
        "u64" if (minimum, maximum) == (0, U64_MAX) else f"int {minimum}..{maximum}", _same, check, _same, check
    )


def blob_form(length: int | None = None, maximum: int = 0) -> Form:
    expected = f"{length} bytes" if length is not None else f"at most {maximum} bytes"

    def check(value: Any, where: str) -> bytes:
        if type(value) is not bytes or (len(value) != length if length is not None else len(value) > maximum):
            raise CodecError(where, expected, _found(value))
        return value

    def from_json(value: Any, where: str) -> bytes:
        try:
            return check(bytes.fromhex(value), where)
        except (TypeError, ValueError) as error:
            if isinstance(error, CodecError):
                raise
            raise CodecError(where, f"{expected} as hex", _found(value)) from None

    name = f"bytes[{length}]" if length is not None else f"bytes..{maximum}"
    return Form(name, _same, check, bytes.hex, from_json)


def address_form() -> Form:
    raw = blob_form(ADDRESS_BYTES)

    def from_json(value: Any, where: str) -> bytes:
        try:
            return bech32m.decode_address(value if isinstance(value, str) else "")
        except ValueError as error:
            raise CodecError(where, "an address such as photon1…", str(error)[:80]) from None

    return Form("address", _same, raw.from_plain, bech32m.encode_address, from_json)


def text_form(maximum: int) -> Form:
    def check(value: Any, where: str) -> str:
        if type(value) is not str or len(value.encode("utf-8", "surrogatepass")) > maximum:
            raise CodecError(where, f"text of at most {maximum} bytes", _found(value))
        return value

    return Form(f"text..{maximum}", str, check, str, check)  # a StrEnum becomes plain text


def flag_form() -> Form:
    def check(value: Any, where: str) -> bool:
        if type(value) is not bool:
            raise CodecError(where, "true or false", _found(value))
        return value

    return Form("bool", _same, check, _same, check)


def list_form(item: Form, maximum: int, minimum: int = 0) -> Form:
    def items(value: Any, where: str, each: Callable[[Any, str], Any]) -> tuple[Any, ...]:
        if type(value) is not list or not minimum <= len(value) <= maximum:
            raise CodecError(where, f"a list of {minimum} to {maximum}", _found(value))
        read: list[Any] = []
        try:
            for one in value:
                read.append(each(one, where))  # noqa: PERF401  # how many there are says which one failed
        except CodecError as error:  # which one it was is put into the path only when it is wanted
            at = f"{where}[{len(read)}]{error.where.removeprefix(where)}"
            raise CodecError(at, error.expected, error.found) from None
        return tuple(read)

    return Form(
        f"list<{item.name}>..{maximum}",
        list if item.to_plain is _same else lambda value: [item.to_plain(v) for v in value],
        lambda value, where: items(value, where, item.from_plain),
        lambda value: [item.to_json(v) for v in value],
        lambda value, where: items(value, where, item.from_json),
    )


def optional_form(item: Form) -> Form:
    return Form(
        f"{item.name}?",
        _same if item.to_plain is _same else lambda value: None if value is None else item.to_plain(value),
        lambda value, where: None if value is None else item.from_plain(value, where),
        lambda value: None if value is None else item.to_json(value),
        lambda value, where: None if value is None else item.from_json(value, where),
    )


def choice_form(choices: type[IntEnum]) -> Form:
    """An enum: its number on the wire, its lower-case name with `-` in JSON."""
    names = {member.name.lower().replace("_", "-"): member for member in choices}

    def from_plain(value: Any, where: str) -> IntEnum:
        if type(value) is not int or value not in {int(m) for m in choices}:
            raise CodecError(where, f"one of {[int(m) for m in choices]} ({choices.__name__})", _found(value))
        return choices(value)

    def from_json(value: Any, where: str) -> IntEnum:
        if not isinstance(value, str) or value not in names:
            raise CodecError(where, f"one of {', '.join(names)}", _found(value))
        return names[value]

    return Form(choices.__name__, int, from_plain, lambda m: m.name.lower().replace("_", "-"), from_json)


def record_form(cls: type[Any]) -> Form:
    return Form(
        cls.__name__,
        to_plain,
        lambda v, where: from_plain(cls, v, where),
        to_json,
        lambda v, where: from_json(cls, v, where),
    )


# --- fields --------------------------------------------------------------------------------------------------------


def uint(maximum: int = U64_MAX, minimum: int = 0, default: Any = attrs.NOTHING) -> Any:
    return _field(uint_form(maximum, minimum), default)


def blob(length: int | None = None, maximum: int = 0, default: Any = attrs.NOTHING) -> Any:
    return _field(blob_form(length, maximum), default)


def hash32(default: Any = attrs.NOTHING) -> Any:
    return _field(blob_form(HASH_BYTES), default)


def address(default: Any = attrs.NOTHING) -> Any:
    return _field(address_form(), default)


def text(maximum: int, default: Any = attrs.NOTHING) -> Any:
    return _field(text_form(maximum), default)


def flag(default: Any = attrs.NOTHING) -> Any:
    return _field(flag_form(), default)


def choice(choices: type[IntEnum], default: Any = attrs.NOTHING) -> Any:
    return _field(choice_form(choices), default)


def record(cls: type[Any], default: Any = attrs.NOTHING) -> Any:
    return _field(record_form(cls), default)


def listof(item: Form, maximum: int, minimum: int = 0, default: Any = attrs.NOTHING) -> Any:
    return _field(list_form(item, maximum, minimum), default)


def optional(item: Form, default: Any = None) -> Any:
    return _field(optional_form(item), default)


def of(form: Form, default: Any = attrs.NOTHING) -> Any:
    """A field of a form made elsewhere (a tagged union, say)."""
    return _field(form, default)


# --- records -------------------------------------------------------------------------------------------------------


_CACHE: dict[type[Any], tuple[tuple[str, Form], ...]] = {}


def _forms(cls: type[Any]) -> tuple[tuple[str, Form], ...]:
    if (known := _CACHE.get(cls)) is not None:
        return known
    forms = []
    for attribute in attrs.fields(cls):
        if _META not in attribute.metadata:
            raise TypeError(f"{cls.__name__}.{attribute.name} has no wire form; make it with photon_core.api.fields")
        forms.append((attribute.name, attribute.metadata[_META]))
    _CACHE[cls] = tuple(forms)
    return _CACHE[cls]


_PLAINLY: dict[type[Any], tuple[tuple[str, ...], tuple[tuple[int, Form], ...]]] = {}


def _plainly(cls: type[Any]) -> tuple[tuple[str, ...], tuple[tuple[int, Form], ...]]:
    """All fields' names, and the forms of those that are not plain as they are: most are, and need no call."""
    if (known := _PLAINLY.get(cls)) is not None:
        return known
    forms = _forms(cls)
    turned = tuple((index, form) for index, (_, form) in enumerate(forms) if form.to_plain is not _same)
    _PLAINLY[cls] = (tuple(name for name, _ in forms), turned)
    return _PLAINLY[cls]


def describe(cls: type[Any]) -> tuple[tuple[str, str], ...]:
    """(field name, form name) in wire order."""
    return tuple((name, form.name) for name, form in _forms(cls))


def to_plain(value: Any) -> list[Any]:
    names, turned = _plainly(type(value))
    plain = [getattr(value, name) for name in names]
    for index, form in turned:
        plain[index] = form.to_plain(plain[index])
    return plain


def from_plain(cls: type[T], plain: Any, where: str = "") -> T:
    forms = _forms(cls)
    if type(plain) is not list or len(plain) != len(forms):
        raise CodecError(where or cls.__name__, f"a list of {len(forms)} ({cls.__name__})", _found(plain))
    try:
        return cls(**{name: form.from_plain(v, name) for (name, form), v in zip(forms, plain, strict=True)})
    except CodecError as error:  # the whole path is put together only when it is wanted
        raise CodecError(f"{where or cls.__name__}.{error.where}", error.expected, error.found) from None


def to_json(value: Any) -> dict[str, Json]:
    return {name: form.to_json(getattr(value, name)) for name, form in _forms(type(value))}


def from_json(cls: type[T], body: Any, where: str = "") -> T:
    forms = dict(_forms(cls))
    where = where or cls.__name__
    if not isinstance(body, dict):
        raise CodecError(where, f"an object with {', '.join(forms)}", _found(body))
    attributes: tuple[attrs.Attribute[Any], ...] = attrs.fields(cls)  # type: ignore[arg-type]  # records are attrs classes
    required = {a.name for a in attributes if a.default is attrs.NOTHING}
    if unknown := sorted(set(body) - set(forms)):
        raise CodecError(where, f"only {', '.join(forms)}", f"also {', '.join(map(str, unknown))}"[:200])
    if missing := sorted(required - set(body)):
        raise CodecError(where, f"all of {', '.join(forms)}", f"no {', '.join(missing)}")
    return cls(**{name: forms[name].from_json(v, f"{where}.{name}") for name, v in body.items()})


def union_form(name: str, members: dict[int, type[Any]]) -> Form:
    """A tagged union: `[tag, fields]` on the wire, `{"kind": "<ClassName>", …}` in JSON."""
    tags = {cls: tag for tag, cls in members.items()}
    names = {cls.__name__: cls for cls in members.values()}

    def decode(value: Any, where: str) -> Any:
        if type(value) is not list or len(value) != 2 or type(value[0]) is not int or value[0] not in members:
            raise CodecError(where, f"[tag, fields] with a tag of {name}", _found(value))
        return from_plain(members[value[0]], value[1], f"{where}.{members[value[0]].__name__}")

    def decode_json(value: Any, where: str) -> Any:
        if not isinstance(value, dict) or value.get("kind") not in names:
            raise CodecError(where, f'an object whose "kind" is one of {", ".join(names)}', _found(value))
        body = {k: v for k, v in value.items() if k != "kind"}
        return from_json(names[value["kind"]], body, f"{where}.{value['kind']}")

    return Form(
        name,
        lambda value: [tags[type(value)], to_plain(value)],
        decode,
        lambda value: {"kind": type(value).__name__, **to_json(value)},
        decode_json,
    )
