"""The contract of plugins of kind `market`: the rule by which an order chooses among its bids.

A market sees one order at a time and is a pure machine: values in, decisions out; no clock, no IO, no randomness, no
memory of its own (what it must remember is the bounded `state` of an order or a bid, which core keeps in the state tree
and shows again). Core moves the money; a market only says what is to happen. It runs on every validator: the same
inputs must give the same decisions on every machine and Python version, for ever, under one `rules_version`. An
exception in a rule halts the node with the order's id: skipping it would fork the chain.

Prices are integers of 10⁻⁶ uptn per hour for the whole group, times are market time in milliseconds.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from attrs import field, frozen

from .ids import Address, OrderId
from .plugin import PluginRecord

STATE_BYTES_MAX = 1024
"""A market's own memory per order and per bid: every byte is in the state tree and paid for by nobody."""
PAYLOAD_BYTES_MAX = 1024


class BidStatus(IntEnum):
    OPEN = 0
    WON = 1
    LOST = 2
    WITHDRAWN = 3


@frozen(kw_only=True)
class BidView:
    """`serial` counts the order's bids from 0 in the order in which the chain took them: ties go to the earlier."""

    provider: Address
    price: int
    collateral_uptn: int
    placed_ms: int
    serial: int
    status: BidStatus = BidStatus.OPEN
    state: bytes = b""


@frozen(kw_only=True)
class OrderView:
    """`bids` in order of `serial`; only those with status OPEN can win.

    `bids_max` is how many the order may hold: one more is refused unless the market evicts another in the same
    decision. An evicted or withdrawn bid is forgotten, its provider may bid again.
    """

    id: OrderId
    max_price: int
    collateral_uptn: int
    opened_ms: int
    window_ms: int
    phase: str = "open"
    deadline_ms: int | None = None
    state: bytes = b""
    bids: tuple[BidView, ...] = ()
    bids_max: int = 50


# --- what happens to an order: messages ------------------------------------------------------------------------------


@frozen(kw_only=True)
class BidOffered:
    """A provider offers a bid. Core has checked the provider, its funds and the order's demands, not the price."""

    provider: Address
    price: int
    payload: bytes = b""


@frozen(kw_only=True)
class BidWithdrawn:
    """A provider takes its open bid back."""

    provider: Address


@frozen(kw_only=True)
class MarketPayload:
    """A MarketMessage: bytes that only this market understands, for its later phases (a reveal, say)."""

    sender: Address
    payload: bytes


MarketEvent = BidOffered | BidWithdrawn | MarketPayload


# --- what a market decides -----------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Accept:
    """Take the offered bid, or let the withdrawal or message stand."""

    bid_state: bytes = field(default=b"")


@frozen(kw_only=True)
class Refuse:
    """The message fails with this reason; nothing else of the decision may be given beside it."""

    reason: str


@frozen(kw_only=True)
class SetPhase:
    """`phase` is a short word people see; `deadline_ms` (market time, not before now) is when `on_due` is called
    next.
    """

    phase: str
    deadline_ms: int | None


@frozen(kw_only=True)
class SetState:
    state: bytes


@frozen(kw_only=True)
class SetBidState:
    provider: Address
    state: bytes


@frozen(kw_only=True)
class Evict:
    """An open bid loses its place (collateral back at once)."""

    provider: Address
    reason: str


@frozen(kw_only=True)
class ForfeitShare:
    """`ppm` millionths of an open bid's collateral go to the tenant: only by a rule that was stated beforehand."""

    provider: Address
    ppm: int
    reason: str


@frozen(kw_only=True)
class Match:
    """The order is matched: this open bid wins at `price` (at most the order's). All other open bids lose."""

    provider: Address
    price: int


@frozen(kw_only=True)
class CloseUnmatched:
    """The order ends without a winner; core re-opens the group with its back-off."""

    reason: str


Decision = Accept | Refuse | SetPhase | SetState | SetBidState | Evict | ForfeitShare | Match | CloseUnmatched


class Market(Protocol):
    """Every method returns its decisions in the order in which core carries them out."""

    def open(self, order: OrderView) -> tuple[Decision, ...]:
        """A new order, `order.opened_ms` being now. Normally sets the first phase and its deadline."""
        ...

    def on_message(self, order: OrderView, event: MarketEvent, now_ms: int) -> tuple[Decision, ...]:
        """Exactly one Accept or Refuse; the order is as it was before the message."""
        ...

    def on_due(self, order: OrderView, now_ms: int) -> tuple[Decision, ...]:
        """The deadline has come; `now_ms` is the deadline itself, however late the block is."""
        ...


@frozen(kw_only=True)
class MarketContext:
    """`config` is an instance of the record's config type, from genesis: all validators have the same."""

    config: object


MarketProvider = PluginRecord[MarketContext, Market]
