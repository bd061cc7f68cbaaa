"""Names of things: what identifies an account, a deployment, a lease, an instance, and how people write it.

| what | type | people write |
|---|---|---|
| account, provider | 20 bytes of BLAKE2b of a public key | `photon1…` (bech32m) |
| deployment | a number, given by the chain | `17` |
| group | deployment and the group's index | `17/0` |
| order, and the lease that comes of it | group and how often it was ordered | `17/0/1` |
| bid | order and provider | `17/0/1/photon1…` |
| instance | lease, service, ordinal | `17/0/1/web/0` |
"""

from __future__ import annotations

from attrs import frozen

from . import fields
from .errors import CodecError
from .fields import Form

Address = bytes
Hash = bytes
NodeKey = bytes
"""A node's Ed25519 public key, 32 bytes: its identity on every transport."""
ConsensusKey = bytes
"""A validator's Ed25519 public key, 32 bytes."""

INDEX_MAX = 2**32 - 1
DIGITS_MAX = 20
"""Of 2^64 - 1; longer texts are no numbers of ours, and would cost time to read."""


@frozen(order=True)
class GroupId:
    deployment: int = fields.uint()
    index: int = fields.uint(INDEX_MAX)

    def __str__(self) -> str:
        return f"{self.deployment}/{self.index}"


@frozen(order=True)
class OrderId:
    """An order, and the lease that comes of it: an order makes at most one lease, so they share their name."""

    deployment: int = fields.uint()
    group: int = fields.uint(INDEX_MAX)
    sequence: int = fields.uint(INDEX_MAX)

    def __str__(self) -> str:
        return f"{self.deployment}/{self.group}/{self.sequence}"

    @property
    def group_id(self) -> GroupId:
        return GroupId(self.deployment, self.group)

    @property
    def label(self) -> str:
        """The form that fits in a hostname and in a file's name: `17-0-1`."""
        return f"{self.deployment}-{self.group}-{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> OrderId:
        """`17/0/1` or `17-0-1`; ValueError otherwise."""
        try:
            return fields.from_plain(cls, _numbers(text.replace("-", "/")))
        except CodecError:
            raise ValueError(f"{text[:80]!r} is not an order or lease; they look like 17/0/1") from None


LeaseId = OrderId


@frozen(order=True)
class InstanceId:
    """One running copy of a service: `ordinal` counts from 0 to the service's count less one."""

    lease: LeaseId
    service: str
    ordinal: int

    def __str__(self) -> str:
        return f"{self.lease}/{self.service}/{self.ordinal}"


def _numbers(text: str) -> list[int]:
    """`17/0/1` as its numbers; nothing when a part is none."""
    parts = text.split("/")
    return [int(p) for p in parts] if all(p.isascii() and p.isdigit() and len(p) <= DIGITS_MAX for p in parts) else []


def _id_form(cls: type[GroupId] | type[OrderId], parts: int) -> Form:
    plain = fields.record_form(cls)

    def from_json(value: object, where: str) -> GroupId | OrderId:
        numbers = _numbers(value) if isinstance(value, str) else []
        if len(numbers) != parts:
            raise CodecError(where, "/".join(["number"] * parts), repr(value)[:80])
        return fields.from_plain(cls, numbers, where)

    return Form(cls.__name__, plain.to_plain, plain.from_plain, str, from_json)


GROUP_ID = _id_form(GroupId, 2)
ORDER_ID = _id_form(OrderId, 3)
