"""What the HTTP API answers, as records: one definition for the server, the client and `docs/formats.md`.

`fields` records say their own JSON form; what is here joins several of them into one answer.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from photon_core.api import fields
from photon_core.api.chain import Certificate, Header
from photon_core.api.ids import Hash, NodeKey
from photon_core.exchange.events import EVENT, Event, Receipt
from photon_core.exchange.records import Bid, Deployment, Group, Lease, Order

BIDS_MAX = 50
GROUPS_MAX = 64
STATE_LENGTH_MAX = 1_000
COUNTS_MAX = 100


@frozen(kw_only=True)
class Count:
    what: str = fields.text(64)
    count: int = fields.uint()


@frozen(kw_only=True)
class ConsensusStatus:
    """Of a validator. `state` is what its engine says of itself; `signer` whether it signs, and if not, why.

    `in_flight`: blocks that are ordered and have no certificate yet. `ignored`: messages that came and were of no use,
    by reason; `lost`: those that never reached the engine, or did not leave. `evidence`: proofs, since the start, that
    a validator signed what excludes each other; they are in the chain's folder.
    """

    state: str = fields.text(STATE_LENGTH_MAX)
    signer: str = fields.text(STATE_LENGTH_MAX)
    in_flight: int = fields.uint()
    ignored: tuple[Count, ...] = fields.listof(fields.record_form(Count), COUNTS_MAX)
    lost: tuple[Count, ...] = fields.listof(fields.record_form(Count), COUNTS_MAX)
    evidence: int = fields.uint()


@frozen(kw_only=True)
class NodeStatus:
    """`height` is the newest height with a certificate; `best_height` the newest that a peer has told of.

    `consensus` is null on a node that follows.
    """

    version: str = fields.text(64)
    chain_id: Hash = fields.hash32()
    chain_name: str = fields.text(64)
    height: int = fields.uint()
    block_hash: Hash = fields.hash32()
    block_time_ms: int = fields.uint()
    market_ms: int = fields.uint()
    state_root: Hash = fields.hash32()
    best_height: int = fields.uint()
    node_key: NodeKey = fields.blob(32)
    addresses: tuple[str, ...] = fields.listof(fields.text_form(256), 16)
    peers: int = fields.uint()
    validator: bool = fields.flag()
    halted: str = fields.text(1000, "")
    """Why this node has stopped taking blocks; empty while it is well."""
    consensus: ConsensusStatus | None = fields.optional(fields.record_form(ConsensusStatus))


@frozen(kw_only=True)
class OrderDetail:
    """An order with what it hangs on. `group.spec` says what is ordered."""

    order: Order = fields.record(Order)
    group: Group = fields.record(Group)
    bids: tuple[Bid, ...] = fields.listof(fields.record_form(Bid), BIDS_MAX, 0, ())
    lease: Lease | None = fields.optional(fields.record_form(Lease))


@frozen(kw_only=True)
class LeaseDetail:
    """`earned_uptn` and `confirmed_ms` as of the newest block: the provider's confirmation taken into account."""

    lease: Lease = fields.record(Lease)
    group: Group = fields.record(Group)
    deployment: Deployment = fields.record(Deployment)
    earned_uptn: int = fields.uint()
    confirmed_ms: int = fields.uint()


@frozen(kw_only=True)
class GroupDetail:
    """The group with its newest order; `order` None before the first."""

    group: Group = fields.record(Group)
    order: OrderDetail | None = fields.optional(fields.record_form(OrderDetail))


@frozen(kw_only=True)
class DeploymentDetail:
    """`earned_uptn`: what all its leases have earned or were paid so far; `held_uptn` what is still in escrow."""

    deployment: Deployment = fields.record(Deployment)
    groups: tuple[GroupDetail, ...] = fields.listof(fields.record_form(GroupDetail), GROUPS_MAX)
    earned_uptn: int = fields.uint()
    held_uptn: int = fields.uint()


@frozen(kw_only=True)
class BlockDetail:
    header: Header = fields.record(Header)
    block_hash: Hash = fields.hash32()
    transaction_ids: tuple[Hash, ...] = fields.listof(fields.blob_form(32), 10_000)
    certificate: Certificate | None = fields.optional(fields.record_form(Certificate))


@frozen(kw_only=True)
class BlockEvents:
    """One line of `/v1/events`: a block with its certificate, and all that happened in it, in order."""

    height: int = fields.uint()
    block_hash: Hash = fields.hash32()
    time_ms: int = fields.uint()
    market_ms: int = fields.uint()
    events: tuple[Event, ...] = fields.listof(EVENT, 1_000_000)


@frozen(kw_only=True)
class Submitted:
    """What became of one submitted transaction.

    `status`: `refused` (never entered the mempool; code and reason say why), `pending`, or `committed` (its block has a
    certificate; `receipt` says what it did, and may say FAILED).
    """

    id: Hash = fields.hash32()
    status: str = fields.text(16)
    code: str = fields.text(64, "")
    reason: str = fields.text(400, "")
    height: int | None = fields.optional(fields.uint_form())
    receipt: Receipt | None = fields.optional(fields.record_form(Receipt))


def page(items: tuple[Any, ...], after: str | None) -> dict[str, object]:
    """A list's JSON: `after` is what to pass for the next page, null at the end."""
    return {"items": [fields.to_json(item) for item in items], "after": after}


def all_events(begin_events: tuple[Event, ...], receipts: tuple[Receipt, ...]) -> tuple[Event, ...]:
    """What happened in a block, in order."""
    return begin_events + tuple(event for receipt in receipts for event in receipt.events)
