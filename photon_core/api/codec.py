"""The chain's bytes: a strict subset of deterministic CBOR (RFC 8949, section 4.2.1).

Of CBOR only integers from -2^63 to 2^64-1, byte and text strings, lists, booleans and null. No tags, floats or maps.

How strictness is had, and why a round trip of the library's proves nothing: cbor2 re-encodes big integers, sets and
even Decimal('1E+1000') byte for byte. So `decode` bounds the size first, lets the library do no tag at all (their
decoders compile patterns and do arithmetic for whoever sent the bytes), and then compares the bytes with what `encode`
makes of the result: it goes by exact type and is our own, so that what is accepted is exactly what it can write,
whatever the library's version. It is faster too: cbor2 asks of every list, in Python, whether it is a mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final, NoReturn, TypeVar

import cbor2

from photon_core.api.errors import CodecError
from photon_core.api.fields import I64_MIN, U64_MAX, Plain, from_plain, to_plain

T = TypeVar("T")

DEPTH_MAX: Final = 12
"""Lists within lists. The deepest records are a transaction's body with CreateDeployment, 9 (body, messages, message,
fields, groups, group, units, unit, resources), and a manifest section with exposed targets, 7. Three more are left for
records to come; anything deeper is not ours."""


class _NoTags(dict[int, Any]):
    """The library's table of tag decoders: for every tag, a refusal before its content is looked at."""

    def get(self, _tag: int, _default: object = None) -> Any:
        return _refuse_tag

    def __getitem__(self, _tag: int) -> Any:
        return _refuse_tag

    def __contains__(self, _tag: object) -> bool:
        return True


def _refuse_tag(*_arguments: object) -> NoReturn:
    raise ValueError("a tag")


_NO_TAGS: Final = _NoTags()


def encode(plain: Plain) -> bytes:
    """The one encoding of `plain`; CodecError for a value outside the subset, which is a bug of the caller."""
    return _encode(plain, "plain")


def decode(data: bytes, *, max_bytes: int, where: str = "") -> Any:
    """What `encode` made `data` of. Any other bytes, and more than `max_bytes` of them, are a CodecError."""
    where = where or "bytes"
    if len(data) > max_bytes:
        raise CodecError(where, f"at most {max_bytes} bytes", f"{len(data)} bytes")
    try:
        plain = cbor2.loads(
            data,
            semantic_decoders=_NO_TAGS,
            tag_hook=_refuse_tag,
            max_depth=DEPTH_MAX,
            allow_indefinite=False,
            strict_hashable_types=True,
        )
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, MemoryError, RecursionError) as error:
        raise CodecError(where, "CBOR of the chain's subset", str(error)[:120] or type(error).__name__) from None
    if _encode(plain, where) != data:
        raise CodecError(where, "the deterministic encoding", "another encoding of the same value, or bytes after it")
    return plain


def encode_list(items: Sequence[bytes]) -> bytes:
    """As `encode` of a list whose items are encoded already; how deep that gets is the caller's to know."""
    return b"".join((_head(_LIST, len(items)), *items))


def encode_record(record: object) -> bytes:
    """A record made with `photon_core.api.fields` as bytes: the list of its fields in order."""
    return encode(to_plain(record))


def decode_record(cls: type[T], data: bytes, max_bytes: int, where: str = "") -> T:
    """The record of class `cls` that `data` holds; CodecError with the path of what is wrong."""
    where = where or cls.__name__
    return from_plain(cls, decode(data, max_bytes=max_bytes, where=where), where)


# --- writing ---------------------------------------------------------------------------------------------------------


def _encode(plain: Plain, where: str) -> bytes:
    written = bytearray()
    _put((plain,), where, 0, written.__iadd__)
    return bytes(written)


def _put(items: Sequence[Any], where: str, depth: int, put: Callable[[bytes], object]) -> None:
    """Checks and writes in one walk: every record that is stored, sent or read goes through here. It takes no more
    memory than it writes: a stranger's list of a million empty strings is written once more to be compared.
    """
    for item in items:
        kind = type(item)  # exact: True is an int to isinstance, and a subclass could encode as anything
        if kind is bytes:
            size = len(item)
            put(_BYTES_HEADS[size] if size < _SHORT else _head(_BYTES, size))
            put(item)
        elif kind is int:
            put(_SMALL[item] if 0 <= item < _SHORT else _integer(item, where))
        elif kind is list:
            if depth >= DEPTH_MAX:
                raise CodecError(where, f"lists at most {DEPTH_MAX} deep", "a deeper one")
            size = len(item)
            put(_LIST_HEADS[size] if size < _SHORT else _head(_LIST, size))
            _put(item, where, depth + 1, put)
        elif kind is str:
            put(_text(item, where))
        elif item is None:
            put(b"\xf6")
        elif kind is bool:
            put(b"\xf5" if item else b"\xf4")
        else:
            raise CodecError(where, "integers, bytes, text, lists, booleans and null only", kind.__name__)


def _integer(value: int, where: str) -> bytes:
    if not I64_MIN <= value <= U64_MAX:
        raise CodecError(where, "an integer from -2^63 to 2^64-1", f"{value.bit_length()} bits")
    return _head(_UINT, value) if value >= 0 else _head(_NEGATIVE, -1 - value)


def _text(text: str, where: str) -> bytes:
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError:
        raise CodecError(where, "text that UTF-8 can hold", "a lone surrogate") from None
    return _head(_TEXT, len(raw)) + raw


def _head(major: int, number: int) -> bytes:
    """A major type with its number, in the fewest bytes that hold it (RFC 8949, section 3)."""
    if number < 24:
        return bytes((major | number,))
    if number < 2**8:
        return bytes((major | 24, number))
    if number < 2**16:
        return _HEAD_16(major | 25, number)
    if number < 2**32:
        return _HEAD_32(major | 26, number)
    return _HEAD_64(major | 27, number)


_UINT, _NEGATIVE, _BYTES, _TEXT, _LIST = 0x00, 0x20, 0x40, 0x60, 0x80
_HEAD_16, _HEAD_32, _HEAD_64 = Struct(">BH").pack, Struct(">BI").pack, Struct(">BQ").pack

_SHORT: Final = 1024
"""Heads of fewer bytes or items, and smaller integers, are made once: that is nearly all, and most transactions."""
_SMALL = tuple(_head(_UINT, number) for number in range(_SHORT))
_BYTES_HEADS = tuple(_head(_BYTES, size) for size in range(_SHORT))
_LIST_HEADS = tuple(_head(_LIST, size) for size in range(_SHORT))
