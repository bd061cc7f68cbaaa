"""A `NodeClient` that answers out of an exchange in this process: for tests of whatever asks a node, with real rules.

    async with FakeChain() as chain:
        chain.give(key.address)
        await AccountSender(chain, key).send(…)     # a block at once
        chain.end_bidding()                         # market time is the test's

All that is between is left out: HTTP, consensus, the mempool.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import trio

from photon_core.api.chain import Header
from photon_core.api.ids import Address, Hash, LeaseId, OrderId
from photon_core.chain.genesis import chain_id as chain_id_of
from photon_core.chain.transactions import decode_transaction
from photon_core.exchange.listings import Listings
from photon_core.exchange.machine import BlockResult
from photon_core.exchange.messages import ConfirmLeases, CreateBid, StatusChange, Transfer
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import UPTN_PER_PTN, Account, LeaseStatus, Provider
from photon_core.node import answers
from photon_core.node.client import NodeClient
from photon_core.node.views import (
    BlockDetail,
    BlockEvents,
    DeploymentDetail,
    LeaseDetail,
    NodeStatus,
    OrderDetail,
    Submitted,
)
from photon_core.testing.exchange import FakeTransaction, World, address

PROVIDERS = ("alpha", "beta", "gamma")
"""Those of `World` that can be registered."""
BID_PRICE = 10**9


class FakeChain(NodeClient):
    """`told` are the blocks with their events; `before_submit` is called with each transaction that is handed over."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__("http://in-memory")
        self.world = World(parameters or Parameters())
        self.chain_id = chain_id_of(self.world.genesis)
        self.told: list[BlockEvents] = []
        self.before_submit: Callable[[bytes], None] = lambda _raw: None
        self._submitted: dict[Hash, Submitted] = {}
        self._news = trio.Event()
        self._execute = self.world.block
        self.world.block = self._block  # type: ignore[method-assign]  # all blocks of the world are told

    def _block(self, step_ms: int = 1, transactions: Sequence[FakeTransaction] = ()) -> BlockResult:
        result = self._execute(step_ms, transactions)
        happened = result.begin_events + tuple(event for receipt in result.receipts for event in receipt.events)
        self.told.append(
            BlockEvents(
                height=self.world.exchange.height,
                block_hash=bytes(32),
                time_ms=self.world.time_ms,
                market_ms=self.world.now_ms,
                events=happened,
            )
        )
        self._news.set()
        self._news = trio.Event()
        return result

    # --- NodeClient --------------------------------------------------------------------------------------------------

    async def status(self) -> NodeStatus:
        height = self.world.exchange.height
        return NodeStatus(
            version="0",
            chain_id=self.chain_id,
            chain_name="test",
            height=height,
            block_hash=bytes(32),
            block_time_ms=self.world.time_ms,
            market_ms=self.world.now_ms,
            state_root=bytes(32),
            best_height=height,
            node_key=bytes(32),
            addresses=(),
            peers=0,
            validator=False,
        )

    async def parameters(self) -> Parameters:
        return self.world.parameters

    async def submit(self, transactions: Sequence[bytes], *, wait_s: float = 0.0) -> tuple[Submitted, ...]:
        del wait_s
        return tuple(self._submit(raw) for raw in transactions)

    def _submit(self, raw: bytes) -> Submitted:
        self.before_submit(raw)
        given = decode_transaction(raw, self.chain_id)
        transaction = FakeTransaction(
            sender=given.sender,
            sequence=given.sequence,
            messages=given.messages,
            fee_uptn=given.fee_uptn,
            expires_height=given.expires_height,
            raw=raw,
        )
        refused = self.world.exchange.check(transaction)
        if refused is not None:
            return Submitted(id=given.id, status="refused", code=refused.code, reason=refused.reason)
        (receipt,) = self.world.block(1, [transaction]).receipts
        answer = Submitted(id=given.id, status="committed", height=self.world.exchange.height, receipt=receipt)
        self._submitted[given.id] = answer
        return answer

    async def transaction(self, transaction_id: Hash) -> Submitted | None:
        return self._submitted.get(transaction_id)

    async def block(self, height: int | str = "latest") -> BlockDetail | None:
        number = self.world.exchange.height if height == "latest" else int(height)
        if number > self.world.exchange.height:
            return None
        header = Header(
            height=number,
            time_ms=self.world.time_ms,
            parent=bytes(32),
            transactions_root=bytes(32),
            validators_hash=bytes(32),
            proposer=bytes(32),
        )
        ids = tuple(key for key, submitted in self._submitted.items() if submitted.height == number)
        return BlockDetail(header=header, block_hash=bytes(32), transaction_ids=ids)

    async def account(self, address: Address) -> Account:
        return self.world.exchange.ledger.account(address)

    async def provider(self, provider: Address) -> Provider | None:
        return self.world.exchange.ledger.find_provider(provider)

    async def providers(self) -> tuple[Provider, ...]:
        found = [await self.provider(address(name)) for name in PROVIDERS]
        return tuple(provider for provider in found if provider is not None)

    async def deployment(self, deployment: int) -> DeploymentDetail | None:
        return answers.deployment_detail(self.world.exchange.ledger, deployment)

    async def deployments(self, owner: Address) -> tuple[DeploymentDetail, ...]:
        numbers = range(1, self.world.exchange.ledger.status.next_deployment)
        found = [await self.deployment(number) for number in numbers]
        return tuple(detail for detail in found if detail is not None and detail.deployment.owner == owner)

    async def order(self, order: OrderId) -> OrderDetail | None:
        return answers.order_detail(self.world.exchange.ledger, order)

    async def open_orders(self) -> tuple[OrderDetail, ...]:
        found = [await self.order(order) for order in self._listings().open_orders.page(None)]
        return tuple(detail for detail in found if detail is not None)

    async def leases(self, provider: Address) -> tuple[LeaseDetail, ...]:
        found = [await self.lease(lease) for lease in self._listings().leases.page(provider)]
        return tuple(detail for detail in found if detail is not None)

    def _listings(self) -> Listings:
        listings = Listings()
        listings.rebuild(self.world.state)
        return listings

    async def lease(self, lease: LeaseId) -> LeaseDetail | None:
        return answers.lease_detail(self.world.exchange.ledger, lease)

    async def events(self, from_height: int) -> AsyncIterator[BlockEvents]:
        while True:
            news = self._news
            for block in [block for block in self.told if block.height >= from_height]:
                from_height = block.height + 1
                yield block
            await news.wait()

    # --- people ------------------------------------------------------------------------------------------------------

    def give(self, account: Address, amount_uptn: int = 100 * UPTN_PER_PTN) -> None:
        self.world.must("stranger", Transfer(to=account, amount_uptn=amount_uptn))

    def bid(self, order: OrderId, name: str, price: int = BID_PRICE) -> None:
        self.world.must(f"{name}-op", CreateBid(order=order, price=price))

    def end_bidding(self) -> None:
        self.world.pass_time(self.world.parameters.bidding_window_ms)

    def confirm(self, name: str, lease: LeaseId, status: LeaseStatus, reason: str = "") -> None:
        change = StatusChange(lease=lease, status=status, reason=reason)
        self.world.must(f"{name}-op", ConfirmLeases(height=self.world.exchange.height, changes=(change,)))
