"""Addresses for people: bech32m (BIP-350) with the prefix `photon`.

The checksum finds any four wrong characters of an address, which a hex string would not.
"""

from __future__ import annotations

from functools import lru_cache

PREFIX = "photon"
CACHED_ADDRESSES = 8_192
"""The checksum is slow in Python, and a node tells of the same accounts again and again: some 2 MB save a quarter."""
ADDRESS_BYTES = 20
_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUE = {character: value for value, character in enumerate(_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)  # BIP-173
_CONSTANT = 0x2BC830A3  # BIP-350: what makes it bech32m
_CHECKSUM_CHARACTERS = 6
_PREFIX_VALUES = [ord(c) >> 5 for c in PREFIX] + [0] + [ord(c) & 31 for c in PREFIX]


@lru_cache(CACHED_ADDRESSES)
def encode_address(address: bytes) -> str:
    """`photon1…` for 20 bytes."""
    if len(address) != ADDRESS_BYTES:
        raise ValueError(f"an address has {ADDRESS_BYTES} bytes, not {len(address)}")
    data = _regroup(address, 8, 5)
    checksum = _polymod(_PREFIX_VALUES + data + [0] * _CHECKSUM_CHARACTERS) ^ _CONSTANT
    data += [(checksum >> 5 * (_CHECKSUM_CHARACTERS - 1 - i)) & 31 for i in range(_CHECKSUM_CHARACTERS)]
    return PREFIX + "1" + "".join(_ALPHABET[v] for v in data)


@lru_cache(CACHED_ADDRESSES)
def decode_address(text: str) -> bytes:
    """20 bytes, or ValueError that says what is wrong with `text`."""
    if len(text) > 90:  # BIP-173's limit
        raise ValueError("not an address")
    if text.lower() != text and text.upper() != text:
        raise ValueError(f"{text} mixes upper and lower case")
    prefix, _, rest = text.lower().rpartition("1")
    if prefix != PREFIX:
        raise ValueError(f"{text} does not begin with {PREFIX}1")
    if unknown := [c for c in rest if c not in _VALUE]:
        raise ValueError(f"{text} has the character {unknown[0]!r}, which no address has")
    values = [_VALUE[c] for c in rest]
    if len(values) < _CHECKSUM_CHARACTERS or _polymod(_PREFIX_VALUES + values) != _CONSTANT:
        raise ValueError(f"{text} has a wrong checksum: is a character missing or mistyped?")
    address = _ungroup(values[:-_CHECKSUM_CHARACTERS])
    if len(address) != ADDRESS_BYTES:
        raise ValueError(f"{text} holds {len(address)} bytes, an address has {ADDRESS_BYTES}")
    return address


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(_GENERATOR):
            checksum ^= generator if top >> i & 1 else 0
    return checksum


def _regroup(data: bytes, from_bits: int, to_bits: int) -> list[int]:
    number, bits = int.from_bytes(data, "big"), len(data) * from_bits
    padding = -bits % to_bits
    number, bits = number << padding, bits + padding
    return [number >> shift & ((1 << to_bits) - 1) for shift in range(bits - to_bits, -1, -to_bits)]


def _ungroup(values: list[int]) -> bytes:
    number = 0
    for value in values:
        number = number << 5 | value
    padding = len(values) * 5 % 8
    if padding >= 5 or number & ((1 << padding) - 1):
        raise ValueError("an address with padding that is not zero")
    return (number >> padding).to_bytes(len(values) * 5 // 8, "big")
