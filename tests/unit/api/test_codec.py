"""The codec reads exactly what it writes, and nothing a stranger sends makes it do anything else."""

from __future__ import annotations

import tracemalloc
from enum import IntEnum
from typing import Any

import cbor2
import pytest
from attrs import frozen
from hypothesis import example, given, settings
from hypothesis import strategies as st

from photon_core.api import fields
from photon_core.api.codec import DEPTH_MAX, decode, decode_record, encode, encode_list, encode_record
from photon_core.api.errors import CodecError

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.binary(max_size=40), st.text(max_size=20)
)


class Numbered(IntEnum):
    """An integer to isinstance, and not to the codec."""

    A = 0


def _depth(plain: Any) -> int:
    return 1 + max(map(_depth, plain), default=0) if type(plain) is list else 0


plains = st.recursive(scalars, lambda inner: st.lists(inner, max_size=5), max_leaves=20).filter(
    lambda plain: _depth(plain) <= DEPTH_MAX
)


@given(plains)
def test_what_is_written_is_read_back(plain: Any) -> None:
    data = encode(plain)
    back = decode(data, max_bytes=len(data))
    assert back == plain
    assert repr(back) == repr(plain)  # == alone takes True for 1


@given(plains)
def test_another_codec_writes_the_same(plain: Any) -> None:
    assert encode(plain) == cbor2.dumps(plain)


BORDERS = sorted(
    {border + step for border in (0, 24, 2**8, 1024, 2**16, 2**32) for step in (-1, 0, 1)} | {2**63, 2**64 - 1}
)


@pytest.mark.parametrize("number", BORDERS)
def test_heads_are_as_short_as_can_be(number: int) -> None:
    values: list[Any] = [number] + [-1 - number] * (0 <= number < 2**63)
    if 0 <= number <= 2**16 + 1:
        values += [bytes(number), "x" * number, [None] * number]
    for value in values:
        data = encode(value)
        assert data == cbor2.dumps(value)
        assert decode(data, max_bytes=len(data)) == value


@pytest.mark.parametrize("value", [-(2**63) - 1, 2**64, 1.0, (1,), {}, bytearray(b"x"), "\ud800", Numbered.A])
def test_what_is_outside_the_subset_is_not_written(value: Any) -> None:
    for plain in (value, [0, value]):
        with pytest.raises(CodecError):
            encode(plain)


@given(st.lists(plains, max_size=30))
def test_a_list_is_its_encoded_items(items: list[Any]) -> None:
    if _depth(items) <= DEPTH_MAX:
        assert encode_list([encode(item) for item in items]) == encode(items)


@given(st.binary(max_size=200))
@example(b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff")  # a list of 2^63
@example(b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff")  # a byte string of as many
@example(b"\x81" * 100_000)
@settings(max_examples=500)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        plain = decode(data, max_bytes=2**20)
    except CodecError:
        return
    assert encode(plain) == data


values = st.recursive(
    st.one_of(
        scalars,
        st.floats(),
        st.integers(),
        st.decimals(),
        st.fractions(),
        st.datetimes(timezones=st.timezones()),
        st.dates(),
        st.uuids(),
        st.ip_addresses(),
        st.just(cbor2.undefined),
        st.builds(cbor2.CBORSimpleValue, st.just(99)),
        st.builds(cbor2.CBORTag, st.integers(0, 2**32), scalars),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def _is_plain(value: Any) -> bool:
    if type(value) is list:
        return all(map(_is_plain, value))
    if type(value) is int:
        return -(2**63) <= value < 2**64
    return type(value) in {bytes, str, bool, type(None)}


@given(values)
def test_what_cbor_has_beyond_the_subset_is_refused(value: Any) -> None:
    try:
        data = cbor2.dumps(value)
    except (cbor2.CBOREncodeError, ValueError, OverflowError):
        return
    if _is_plain(value):
        return
    with pytest.raises(CodecError):
        decode(data, max_bytes=2**20)


TAGS = [0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 258, 260, 261, 1004, 43000, 55799, 7777]


@pytest.mark.parametrize("tag", TAGS)
def test_no_tag_is_ever_acted_upon(tag: int) -> None:
    for content in (b"", "x", 1, [1, 2], None):
        with pytest.raises(CodecError):
            decode(cbor2.dumps(cbor2.CBORTag(tag, content)), max_bytes=100)


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("1800"),  # 0 in two bytes
        bytes.fromhex("190017"),
        bytes.fromhex("5800"),  # b"" with a length byte
        bytes.fromhex("7f61616162ff"),  # text in pieces
        bytes.fromhex("5f4161ff"),
        bytes.fromhex("9f01ff"),  # a list without length
        bytes.fromhex("980101"),
        bytes.fromhex("0000"),  # bytes after the value
        bytes.fromhex("f7"),  # undefined
        bytes.fromhex("f820"),  # a simple value
        bytes.fromhex("f4f5"),
        bytes.fromhex("a0"),  # a map
        bytes.fromhex("f90000"),  # a float
        bytes.fromhex("3bffffffffffffffff"),  # -2^64
        bytes.fromhex("c24101"),  # a big integer
        bytes.fromhex("62ffff"),  # not UTF-8
        bytes.fromhex("63eda080"),  # a surrogate
        b"",
    ],
    ids=bytes.hex,
)
def test_only_the_one_encoding_is_read(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode(data, max_bytes=100)


def test_size_is_judged_before_content() -> None:
    with pytest.raises(CodecError, match="at most 3 bytes, found 4 bytes"):
        decode(b"\xff\xff\xff\xff", max_bytes=3)


def test_depth_ends_at_the_bound_in_both_directions() -> None:
    deepest: Any = 1
    for _ in range(DEPTH_MAX):
        deepest = [deepest]
    assert decode(encode(deepest), max_bytes=100) == deepest
    with pytest.raises(CodecError, match="deep"):
        encode([deepest])
    with pytest.raises(CodecError):
        decode(cbor2.dumps([deepest]), max_bytes=100)


@frozen(kw_only=True)
class Pair:
    name: str = fields.text(5)
    count: int = fields.uint(10)


def test_records_are_the_list_of_their_fields() -> None:
    data = encode_record(Pair(name="a", count=3))
    assert data == cbor2.dumps(["a", 3])
    assert decode_record(Pair, data, 100) == Pair(name="a", count=3)
    with pytest.raises(CodecError, match=r"Pair\.count: expected an integer from 0 to 10, found 11"):
        decode_record(Pair, cbor2.dumps(["a", 11]), 100)


@frozen(kw_only=True)
class Nested:
    pairs: tuple[Pair, ...] = fields.listof(fields.record_form(Pair), 3)
    one: Pair | None = fields.optional(fields.record_form(Pair))


@pytest.mark.parametrize(
    ("plain", "where"),
    [
        ([[["a", 1], ["b", 11]], None], "Nested.pairs[1].count"),
        ([[["a", 1], [5, 1]], None], "Nested.pairs[1].name"),
        ([[["a"]], None], "Nested.pairs[0]"),
        ([[], ["a", -1]], "Nested.one.count"),
        ([1, None], "Nested.pairs"),
        ([[]], "Nested"),
    ],
)
def test_a_failure_names_the_path_of_what_is_wrong(plain: Any, where: str) -> None:
    for root in ("", "body.messages[2]"):
        with pytest.raises(CodecError) as caught:
            fields.from_plain(Nested, plain, root)
        assert caught.value.where == (where.replace("Nested", root) if root else where)


def test_writing_takes_no_more_memory_than_what_is_written() -> None:
    """A stranger's list of empty strings is written once more to be compared: 8 MiB of it must not take a gigabyte."""
    many: list[Any] = [b""] * 200_000
    tracemalloc.start()
    try:
        data = encode(many)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(data)
