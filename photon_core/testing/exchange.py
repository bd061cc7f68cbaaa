"""A whole exchange in memory, for tests of anything that stands on it: people with money, blocks, checked invariants.

    world = World()
    world.block(1_000)                                  # a block, one second of market time later
    world.send(tenant, CreateDeployment(…))             # a block of its own with one transaction; returns its receipt

After every block all invariants are checked, and the derived indexes are compared with freshly built ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

from attrs import evolve, field, frozen

from photon_core.api.codec import decode, decode_record, encode, encode_record
from photon_core.api.ids import Address, Hash, OrderId
from photon_core.api.market import (
    Accept,
    BidOffered,
    BidStatus,
    BidWithdrawn,
    CloseUnmatched,
    Decision,
    Market,
    MarketEvent,
    Match,
    OrderView,
    Refuse,
    SetPhase,
)
from photon_core.api.resources import Resources, ResourceUnit
from photon_core.chain.genesis import Genesis, GenesisAccount, GenesisValidator, Rule, RuleKind, make_genesis
from photon_core.exchange import genesis as exchange_genesis
from photon_core.exchange import invariants
from photon_core.exchange.events import EVENT, Event, Outcome, Receipt
from photon_core.exchange.machine import BlockContext, BlockResult, Exchange
from photon_core.exchange.messages import MESSAGE, CreateDeployment, Message, RegisterProvider
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import UPTN_PER_PTN, GroupSpec
from photon_core.exchange.schedule import Schedule

VALIDATOR_KEY = b"\x01" * 32
GENESIS_TIME_MS = 1_700_000_000_000
RAW_BYTES = 300
"""What a transaction of these worlds pays for, whatever is in it."""

FEE_FREE = evolve(Parameters(), min_fee_uptn=0, fee_per_byte_uptn=0)
"""The default times without fees: every uptn that moves was moved by the market."""


def address(name: str) -> Address:
    """An account of this name, the same in every run."""
    return blake2b(name.encode(), digest_size=20).digest()


class LowestPrice:
    """The least of markets that is worth testing with: the lowest open bid when the window ends."""

    def open(self, order: OrderView) -> tuple[Decision, ...]:
        return (SetPhase(phase="open", deadline_ms=order.opened_ms + order.window_ms),)

    def on_message(self, order: OrderView, event: MarketEvent, now_ms: int) -> tuple[Decision, ...]:
        del now_ms
        match event:
            case BidOffered(price=price) if price > order.max_price:
                return (Refuse(reason=f"{price} is above {order.max_price}"),)
            case BidOffered() | BidWithdrawn():
                return (Accept(),)
        return (Refuse(reason="no messages"),)

    def on_due(self, order: OrderView, now_ms: int) -> tuple[Decision, ...]:
        del now_ms
        bids = [bid for bid in order.bids if bid.status is BidStatus.OPEN]
        if not bids:
            return (CloseUnmatched(reason="no bid"),)
        best = min(bids, key=lambda bid: (bid.price, bid.serial))
        return (Match(provider=best.provider, price=best.price),)


class MemoryState:
    """A `Reader` over a dict, and what its node does with a block's changes."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.records.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(self.records):
            if key.startswith(prefix):
                yield key, self.records[key]

    def apply(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        for key, data in changes:
            if data is None:
                del self.records[key]
            else:
                self.records[key] = data


@frozen(kw_only=True)
class FakeTransaction:
    """What the exchange needs of a transaction, unsigned."""

    sender: Address
    sequence: int
    messages: tuple[list[Any], ...]
    fee_uptn: int = 0
    expires_height: int = 1_000
    raw: bytes = b"\0" * RAW_BYTES
    id: Hash = field(init=False)

    def __attrs_post_init__(self) -> None:
        text = repr((self.sender, self.sequence, self.messages, self.fee_uptn, self.expires_height)).encode()
        object.__setattr__(self, "id", blake2b(text, digest_size=32).digest())


class World:
    """An exchange with people in it. `now_ms` is its market time."""

    def __init__(
        self,
        parameters: Parameters = FEE_FREE,
        market_for: Callable[[Rule], Market] = lambda _rule: LowestPrice(),
        people: Sequence[str] = ("tenant", "stranger", "alpha", "alpha-op", "beta", "beta-op", "gamma", "gamma-op"),
        balance_uptn: int = 1_000 * UPTN_PER_PTN,
    ) -> None:
        self.market_for = market_for
        self.genesis = self._genesis(parameters, people, balance_uptn)
        self.state = MemoryState()
        self.state.apply(exchange_genesis.initial_changes(self.genesis))
        self.exchange = Exchange(self.state, genesis=self.genesis, market_for=market_for)
        self.time_ms = GENESIS_TIME_MS
        self.events: list[Event] = []
        self.blocks: list[BlockResult] = []

    @staticmethod
    def _genesis(parameters: Parameters, people: Sequence[str], balance_uptn: int) -> Genesis:
        return make_genesis(
            name="test",
            time_ms=GENESIS_TIME_MS,
            rules=(
                Rule(kind=RuleKind.CONSENSUS, from_height=0, name="none", version=1),
                Rule(kind=RuleKind.MARKET, from_height=0, name="lowest", version=1),
            ),
            validators=(
                GenesisValidator(key=VALIDATOR_KEY, node_key=b"\x02" * 32, power=1, payee=address("validator")),
            ),
            accounts=tuple(GenesisAccount(address=address(name), balance_uptn=balance_uptn) for name in people),
            parameters=exchange_genesis.genesis_parameters(parameters),
        )

    # --- driving -----------------------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        return self.exchange.market_ms

    @property
    def parameters(self) -> Parameters:
        return self.exchange.parameters

    def block(self, step_ms: int = 1, transactions: Sequence[FakeTransaction] = ()) -> BlockResult:
        """The next block, this much later. Everything that must hold after a block is checked."""
        self.time_ms += step_ms
        context = BlockContext(height=self.exchange.height + 1, time_ms=self.time_ms, proposer=VALIDATOR_KEY)
        result = self.exchange.execute(context, transactions)
        self.state.apply(result.changes)
        self.events += result.begin_events
        for event in result.begin_events:
            assert decode(encode(EVENT.to_plain(event)), max_bytes=2**20) == EVENT.to_plain(event)
        for receipt in result.receipts:
            self.events += receipt.events
            assert decode_record(Receipt, encode_record(receipt), 2**20) == receipt
        self.blocks.append(result)
        self.check()
        return result

    def pass_time(self, span_ms: int) -> None:
        """Blocks at least every `max_gap_ms`, so that all of `span_ms` is market time."""
        while span_ms > 0:
            step_ms = min(span_ms, self.parameters.max_gap_ms)
            self.block(step_ms)
            span_ms -= step_ms

    def transaction(self, sender: str, *messages: Message, fee_uptn: int | None = None) -> FakeTransaction:
        """The sender's next, with the least fee unless told otherwise."""
        p = self.parameters
        least = p.min_fee_uptn * len(messages) + p.fee_per_byte_uptn * RAW_BYTES
        return FakeTransaction(
            sender=address(sender),
            sequence=self.exchange.sequence_of(address(sender)),
            messages=tuple(_plain(message) for message in messages),
            fee_uptn=least if fee_uptn is None else fee_uptn,
            expires_height=self.exchange.height + 100,
        )

    def send(self, sender: str, *messages: Message, step_ms: int = 1) -> Receipt:
        """One transaction in a block of its own."""
        return self.block(step_ms, [self.transaction(sender, *messages)]).receipts[0]

    def must(self, sender: str, *messages: Message, step_ms: int = 1) -> Receipt:
        """As `send`, and it must be done."""
        receipt = self.send(sender, *messages, step_ms=step_ms)
        assert receipt.outcome is Outcome.DONE, f"{receipt.code}: {receipt.reason}"
        return receipt

    # --- people ------------------------------------------------------------------------------------------------------

    def balance(self, name: str) -> int:
        return self.exchange.ledger.account(address(name)).balance_uptn

    def register(self, name: str, **given: Any) -> Address:
        """The provider `name`, whose operator is `name-op`."""
        self.must(
            name,
            RegisterProvider(
                operator=address(f"{name}-op"),
                node_key=blake2b(name.encode(), digest_size=32).digest(),
                addresses=("memory:1",),
                attributes=given.get("attributes", ()),
            ),
        )
        return address(name)

    def deploy(self, *groups: GroupSpec, deposit_uptn: int = 10 * UPTN_PER_PTN, **given: Any) -> OrderId:
        """The tenant's new deployment; the id of its first group's first order."""
        number = self.exchange.ledger.status.next_deployment
        self.must(
            "tenant",
            CreateDeployment(
                groups=groups or (group_spec(),), version=b"\x07" * 32, deposit_uptn=deposit_uptn, **given
            ),
        )
        return OrderId(number, 0, 0)

    # --- checking ----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        problems = invariants.check(self.exchange.ledger)
        assert not problems, "; ".join(problems)
        rebuilt = Schedule(self.parameters)
        rebuilt.rebuild(self.state)
        assert rebuilt.timers() == self.exchange.schedule.timers(), "the schedule differs from one built of the records"

    def reopened(self) -> Exchange:
        """An exchange on a copy of the state, as after a restart."""
        copy = MemoryState()
        copy.records = dict(self.state.records)
        return Exchange(copy, genesis=self.genesis, market_for=self.market_for)


def _plain(message: Message) -> list[Any]:
    plain = MESSAGE.to_plain(message)
    assert isinstance(plain, list)
    return plain


def group_spec(
    *, price: int = 2 * UPTN_PER_PTN * 10**6, collateral_uptn: int = UPTN_PER_PTN, count: int = 1, **given: Any
) -> GroupSpec:
    """One service at `price` for the whole group: 10⁻⁶ uptn per hour, by default 2 PTN per hour."""
    resources = Resources(cpu_milli=100, memory_bytes=64 * 2**20, storage_bytes=2**28)
    unit = ResourceUnit(resources=resources, count=count, max_price=price // count)
    return GroupSpec(name="here", units=(unit,), collateral_uptn=collateral_uptn, section_hash=b"\x09" * 32, **given)
