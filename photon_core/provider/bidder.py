"""Watches the open orders: each is judged when it appears and again when something changed, and bid on when it fits.

Orders are judged one by one, since each bid changes what is free and what can be spent: the inventory counts a bid from
the moment it is decided, until it is seen on chain, refused, or can no longer come to be: a bid without a certificate
yet may still win. Those of one round are sent together. Why there is no bid is kept for the newest orders, for
`photon provider status` and for tenants who ask.
"""

from __future__ import annotations

import logging

from attrs import frozen

from photon_core.api.errors import PhotonError
from photon_core.api.ids import OrderId
from photon_core.api.resources import Resources, ResourceUnit
from photon_core.exchange.messages import CreateBid
from photon_core.node.account import EXPIRES_AFTER_BLOCKS, NotCommittedYet, TransactionRefused
from photon_core.node.views import OrderDetail
from photon_core.peers.methods import Decision, Verdict

from .bidding import Bidder, NoBid, Offer, Why, decide
from .chain import ChainView
from .inventory import Inventory, take_stock
from .parts import AgentParts

log = logging.getLogger(__name__)

REASON_BYTES_MAX = 400
"""As long as `Decision` carries."""
BIDS_PER_TRANSACTION = 16
"""A quarter of what a transaction may hold; more orders at once than that are rare, and refused together is dear."""
UNTIL_BLOCKS = 2 * EXPIRES_AFTER_BLOCKS
"""From the view that was judged; the transaction is made, and its expiry counted, somewhat later."""
REASONS_MAX = 100
"""Of the newest orders, open or over: what an operator or tenant asks about is recent."""


@frozen(kw_only=True)
class Underway:
    """A bid that is not seen on chain yet. It expires at most at `until_height`."""

    units: tuple[ResourceUnit, ...]
    collateral_uptn: int
    until_height: int


class BidDesk:
    def __init__(self, parts: AgentParts) -> None:
        self._parts = parts
        self.reasons: dict[OrderId, NoBid] = {}
        self._sent: dict[OrderId, Underway] = {}
        self._refused: dict[OrderId, NoBid] = {}

    def stock(self, view: ChainView, capacity: Resources) -> Inventory:
        bids = {order.order.id: order.group.spec.units for order in view.open_bids()}
        leases = {detail.lease.id: detail.group.spec.units for detail in view.leases}
        for order, sent in self._sent.items():  # neither seen as a bid nor as the lease it became
            if order not in bids and order not in leases:
                bids[order] = sent.units
        return take_stock(capacity, leases.values(), bids.values())

    async def look(self, view: ChainView, capacity: Resources) -> None:
        """One round over all open orders."""
        mine = view.provider.id
        open_now = {order.order.id for order in view.orders}
        self._refused = {order: why for order, why in self._refused.items() if order in open_now}
        seen = {order.order.id for order in view.orders if mine in order.order.bidders}
        self._sent = {
            order: sent
            for order, sent in self._sent.items()
            if order in open_now and order not in seen and view.height <= sent.until_height
        }
        balance_uptn = view.balance_uptn - sum(sent.collateral_uptn for sent in self._sent.values())
        offers: list[tuple[OrderId, Offer]] = []
        for detail in view.orders:
            order = detail.order.id
            if order in self._sent or order in seen:
                continue
            bidder = self._bidder(view, balance_uptn)
            verdict = self._refused.get(order) or self._judge(detail, bidder, self.stock(view, capacity))
            if isinstance(verdict, NoBid):
                self._keep(order, verdict)
                continue
            self._sent[order] = Underway(
                units=detail.group.spec.units,
                collateral_uptn=detail.order.collateral_uptn,
                until_height=view.height + UNTIL_BLOCKS,
            )
            balance_uptn -= detail.order.collateral_uptn
            offers.append((order, verdict))
        for start in range(0, len(offers), BIDS_PER_TRANSACTION):
            await self._bid(offers[start : start + BIDS_PER_TRANSACTION])

    def _judge(self, detail: OrderDetail, bidder: Bidder, stock: Inventory) -> Offer | NoBid:
        try:
            return decide(detail, bidder, stock, self._parts.pricing)
        except Exception as error:  # a pricing plugin's bug costs this order's bid, and no other's
            if detail.order.id not in self.reasons:
                log.exception("order %s could not be judged", detail.order.id)
            return NoBid(why=Why.DECLINED, reason=f"the order could not be judged: {type(error).__name__}")

    def decision(self, order: OrderId, view: ChainView) -> Decision:
        """For whoever asks why there is no bid."""
        on_chain = next((detail.order for detail in view.orders if detail.order.id == order), None)
        if order in self._sent or (on_chain is not None and view.provider.id in on_chain.bidders):
            return Decision(order=order, verdict=Verdict.BID)
        if (no := self.reasons.get(order)) is not None:
            reason = no.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
            return Decision(order=order, verdict=Verdict.NO_BID, why=no.why.value, reason=reason)
        return Decision(order=order, verdict=Verdict.UNKNOWN)

    def _keep(self, order: OrderId, why: NoBid) -> None:
        self.reasons.pop(order, None)
        self.reasons[order] = why
        while len(self.reasons) > REASONS_MAX:
            del self.reasons[next(iter(self.reasons))]

    def _bidder(self, view: ChainView, balance_uptn: int) -> Bidder:
        options = self._parts.options
        return Bidder(
            provider=view.provider.id,
            attributes=view.provider.attributes,
            capabilities=self._parts.capabilities,
            spendable_uptn=max(0, balance_uptn - options.reserve_uptn),
            max_collateral_uptn=options.max_collateral_uptn,
        )

    async def _bid(self, offers: list[tuple[OrderId, Offer]]) -> None:
        """All in one transaction, which is one block's wait: windows are short. Refused together, they are sent one by
        one, so that one order which has just closed costs no other its bid.
        """
        bids = [CreateBid(order=order, price=offer.price) for order, offer in offers]
        try:
            await self._parts.sender.send(*bids)
        except NotCommittedYet as late:
            for order, _ in offers:
                log.warning("bid on order %s: %s", order, late.what)
                self.reasons.pop(order, None)
        except TransactionRefused as refusal:
            if refusal.passes:  # judged again with the next block
                for order, _ in offers:
                    self._unsent(order, refusal)
                return
            if len(offers) > 1:
                for offer in offers:
                    await self._bid([offer])
                return
            ((order, _),) = offers
            log.info("no bid on %s: the chain refused it: %s", order, refusal.what)
            self._refused[order] = self._unsent(order, refusal)
        except PhotonError as error:  # the node is away: judged again in the next round
            for order, _ in offers:
                self._unsent(order, error)
        else:
            for bid in bids:
                log.info("bid %s on order %s", bid.price, bid.order)
                self.reasons.pop(bid.order, None)

    def _unsent(self, order: OrderId, error: PhotonError) -> NoBid:
        del self._sent[order]
        why = NoBid(why=Why.REFUSED, reason=error.what[:REASON_BYTES_MAX])
        self._keep(order, why)
        return why
