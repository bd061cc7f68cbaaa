"""The chain's bytes: a strict subset of deterministic CBOR (RFC 8949, section 4.2.1).

Of CBOR only integers from -2^63 to 2^64-1, byte and text strings, lists, booleans and null. No tags, floats or maps.

How strictness is had, and why a round trip alone proves nothing: cbor2 re-encodes big integers, sets and even
Decimal('1E+1000') byte for byte. So `decode` bounds the size first, lets the library do no tag at all (their decoders
compile patterns and do arithmetic for whoever sent the bytes), walks the result by exact type, and then compares the
re-encoding: what is accepted is exactly what `encode` can write, whatever the library's version.
"""

from __future__ import annotations

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
    _check(plain, "plain", 0)
    return cbor2.dumps(plain)


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
    _check(plain, where, 0)
    if cbor2.dumps(plain) != data:
        raise CodecError(where, "the deterministic encoding", "another encoding of the same value, or bytes after it")
    return plain


def encode_record(record: object) -> bytes:
    """A record made with `photon_core.api.fields` as bytes: the list of its fields in order."""
    return encode(to_plain(record))


def decode_record(cls: type[T], data: bytes, max_bytes: int, where: str = "") -> T:
    """The record of class `cls` that `data` holds; CodecError with the path of what is wrong."""
    where = where or cls.__name__
    return from_plain(cls, decode(data, max_bytes=max_bytes, where=where), where)


def _check(value: object, where: str, depth: int) -> None:
    kind = type(value)  # exact: True is an int to isinstance, and a subclass could encode as anything
    if kind is bytes or kind is bool or value is None:
        return
    if kind is int:
        if not I64_MIN <= value <= U64_MAX:  # type: ignore[operator]  # kind is int
            raise CodecError(where, "an integer from -2^63 to 2^64-1", f"{value.bit_length()} bits")  # type: ignore[attr-defined]
    elif kind is str:
        _check_text(value, where)  # type: ignore[arg-type]
    elif kind is list:
        if depth >= DEPTH_MAX:
            raise CodecError(where, f"lists at most {DEPTH_MAX} deep", "a deeper one")
        for item in value:  # type: ignore[attr-defined]
            kind = type(item)
            if kind is not bytes and not (kind is int and I64_MIN <= item <= U64_MAX):  # most are, and need no call
                _check(item, where, depth + 1)
    else:
        raise CodecError(where, "integers, bytes, text, lists, booleans and null only", kind.__name__)


def _check_text(text: str, where: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise CodecError(where, "text that UTF-8 can hold", "a lone surrogate") from None
