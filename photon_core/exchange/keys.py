"""Where each record lives: a table's letter, then its ids in fixed width, big-endian, so that ranges sort by number.

An id that does not fit raises OverflowError, which would halt every node: so the fields of whatever comes from outside
are bounded by these widths (`photon_core.api.ids`).
"""

from __future__ import annotations

from typing import Final

from photon_core.api.ids import Address, ConsensusKey, GroupId, OrderId

ACCOUNT: Final = b"A"
BID: Final = b"B"
DEPLOYMENT: Final = b"D"
GROUP: Final = b"G"
BLOCK_TIME: Final = b"H"
LEASE: Final = b"L"
OPERATOR: Final = b"O"
PROVIDER: Final = b"P"
ORDER: Final = b"R"
VALIDATOR: Final = b"V"

PARAMETERS_KEY: Final = b"C"
STATUS_KEY: Final = b"S"


def account_key(address: Address) -> bytes:
    return ACCOUNT + address


def provider_key(provider: Address) -> bytes:
    return PROVIDER + provider


def operator_key(operator: Address) -> bytes:
    return OPERATOR + operator


def deployment_key(deployment: int) -> bytes:
    return DEPLOYMENT + deployment.to_bytes(8, "big")


def group_key(group: GroupId) -> bytes:
    return GROUP + group.deployment.to_bytes(8, "big") + group.index.to_bytes(4, "big")


def order_suffix(order: OrderId) -> bytes:
    return order.deployment.to_bytes(8, "big") + order.group.to_bytes(4, "big") + order.sequence.to_bytes(4, "big")


def order_id_of(suffix: bytes) -> OrderId:
    """The reverse of `order_suffix`."""
    return OrderId(*(int.from_bytes(part, "big") for part in (suffix[:8], suffix[8:12], suffix[12:16])))


def order_key(order: OrderId) -> bytes:
    return ORDER + order_suffix(order)


def bids_prefix(order: OrderId) -> bytes:
    return BID + order_suffix(order)


def bid_key(order: OrderId, provider: Address) -> bytes:
    return BID + order_suffix(order) + provider


def lease_key(lease: OrderId) -> bytes:
    return LEASE + order_suffix(lease)


def block_time_key(height: int) -> bytes:
    return BLOCK_TIME + height.to_bytes(8, "big")


def validator_key(key: ConsensusKey) -> bytes:
    return VALIDATOR + key
