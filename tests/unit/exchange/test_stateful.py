"""Anything, by anybody, in any order: after every block the books balance and the indexes are right.

`World.block` checks all invariants and compares the schedule with one that is built anew. Here Hypothesis chooses what
happens; values are drawn near the borders where money and time go wrong. At the end everything is closed, and every
uptn must be back with somebody.
"""

from collections.abc import Sequence

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from photon_core.api.ids import OrderId
from photon_core.exchange import keys
from photon_core.exchange.events import Outcome
from photon_core.exchange.messages import (
    CloseDeployment,
    CloseLease,
    ConfirmClosed,
    ConfirmLeases,
    CreateBid,
    CreateDeployment,
    Deposit,
    MarketMessage,
    Message,
    ProviderCloseReason,
    ResumeGroup,
    StatusChange,
    Transfer,
    UpdateDeployment,
    UpdateProvider,
    Withdraw,
    WithdrawBid,
)
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import DeploymentState, Lease, LeaseState, LeaseStatus, Order, OrderState
from photon_core.testing.exchange import World, address, group_spec

PARAMETERS = Parameters(
    bidding_window_ms=4_000,
    reconfirmation_period_ms=60_000,
    max_gap_ms=15_000,
    manifest_timeout_ms=61_000,
    start_timeout_ms=50_000,
    fault_timeout_ms=20_000,
    min_fee_uptn=100,
    fee_per_byte_uptn=1,
    events_per_block=3,
    bids_per_order=2,
    reopen_backoff_ms=500,
    reopen_backoff_max_ms=4_000,
)
PROVIDERS = ("alpha", "beta", "gamma")
TENANTS = ("tenant", "stranger")
PRICES = (0, 1, 3_599_999_999_999, 10**12, 17 * 10**15 + 11)
DEPOSITS = (1, 1_000_000, 5_000_000, 40_000_000, 1_000_000_000)


class ExchangeMachine(RuleBasedStateMachine):
    """One transaction per step, or time."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(PARAMETERS)

    @initialize(price=st.sampled_from(PRICES), deposit=st.sampled_from(DEPOSITS[1:]), persist=st.booleans())
    def a_market_at_work(self, price: int, deposit: int, persist: bool) -> None:
        """Three providers, a deployment of two groups with an order and a lease."""
        for name in PROVIDERS:
            self.world.register(name)
        self.create("tenant", deposit, persist, [price, 10**12], True)
        if self.orders():
            self.bid("beta", 0, price)
            self.world.block(PARAMETERS.bidding_window_ms)

    def number(self, index: int) -> int:
        """Of some deployment, or of none."""
        return 1 + index % self.world.exchange.ledger.status.next_deployment

    # --- what there is -----------------------------------------------------------------------------------------------

    def orders(self) -> list[Order]:
        return [r for _, r in self.world.exchange.ledger.scan(keys.ORDER) if r.state is OrderState.OPEN]

    def leases(self, *states: LeaseState) -> list[Lease]:
        return [r for _, r in self.world.exchange.ledger.scan(keys.LEASE) if not states or r.state in states]

    def operator_of(self, lease: Lease) -> str:
        return next(f"{name}-op" for name in PROVIDERS if address(name) == lease.provider)

    def send(self, sender: str, *messages: Message) -> None:
        self.world.send(sender, *messages)

    # --- time --------------------------------------------------------------------------------------------------------

    @rule(step_ms=st.sampled_from([1, 100, 3_999, 4_000, 10_000, 15_000, 100_000]))
    def time_passes(self, step_ms: int) -> None:
        self.world.block(step_ms)

    @rule(steps=st.integers(1, 6))
    def silence(self, steps: int) -> None:
        for _ in range(steps):
            self.world.block(PARAMETERS.max_gap_ms)

    @rule()
    def until_the_next_event(self) -> None:
        due_ms = self.world.exchange.next_due_ms()
        if due_ms is not None:
            self.world.block(max(1, due_ms - self.world.now_ms))

    @rule(before_ms=st.sampled_from([0, 1]), index=st.integers(0, 5))
    def close_a_lease_around_an_event(self, before_ms: int, index: int) -> None:
        due_ms = self.world.exchange.next_due_ms()
        leases = self.leases(LeaseState.ACTIVE)
        if due_ms is not None and leases and due_ms - before_ms > self.world.now_ms:
            self.world.block(due_ms - before_ms - self.world.now_ms)
            self.close_lease(index, tenant=True, reason=ProviderCloseReason.PROVIDER)

    # --- accounts and providers ---------------------------------------------------------------------------------------

    @rule(sender=st.sampled_from(TENANTS), amount=st.sampled_from([1, 10**6, 10**15]))
    def transfer(self, sender: str, amount: int) -> None:
        self.send(sender, Transfer(to=address("somebody new"), amount_uptn=amount))

    @rule(name=st.sampled_from(PROVIDERS), payee=st.sampled_from(["cellar", "alpha"]))
    def change_payee(self, name: str, payee: str) -> None:
        self.send(f"{name}-op", UpdateProvider(provider=address(name), payee=address(payee)))
        self.send(name, UpdateProvider(provider=address(name), addresses=("memory:2",)))

    # --- tenants -----------------------------------------------------------------------------------------------------

    @rule(
        tenant=st.sampled_from(TENANTS),
        deposit=st.sampled_from(DEPOSITS),
        persist=st.booleans(),
        prices=st.lists(st.sampled_from(PRICES), min_size=1, max_size=3),
        open_to_others=st.booleans(),
    )
    def create(self, tenant: str, deposit: int, persist: bool, prices: Sequence[int], open_to_others: bool) -> None:
        groups = tuple(group_spec(price=price, collateral_uptn=price % 1_000_003) for price in prices)
        self.send(
            tenant,
            CreateDeployment(
                groups=groups,
                version=b"\1" * 32,
                deposit_uptn=deposit,
                persist=persist,
                third_party_deposits=open_to_others,
            ),
        )

    @rule(sender=st.sampled_from((*TENANTS, "alpha")), index=st.integers(0, 5), amount=st.sampled_from(DEPOSITS))
    def deposit(self, sender: str, index: int, amount: int) -> None:
        self.send(sender, Deposit(deployment=self.number(index), amount_uptn=amount))

    @rule(sender=st.sampled_from(TENANTS), index=st.integers(0, 5))
    def close(self, sender: str, index: int) -> None:
        self.send(sender, CloseDeployment(deployment=self.number(index)))

    @rule(index=st.integers(0, 5), group=st.integers(0, 2))
    def resume(self, index: int, group: int) -> None:
        self.send("tenant", ResumeGroup(deployment=self.number(index), group=group))

    @rule(sender=st.sampled_from(TENANTS), index=st.integers(0, 5), version=st.integers(1, 3), groups=st.integers(1, 3))
    def update(self, sender: str, index: int, version: int, groups: int) -> None:
        """No uptn moves but the fee, whoever asks for whatever: what it changes is who may bid, and when."""
        number = self.number(index)
        before = self.world.exchange.ledger.find_deployment(number)
        message = UpdateDeployment(
            deployment=number, version=bytes([version]) * 32, section_hashes=(bytes([version]) * 32,) * groups
        )
        receipt = self.world.send(sender, message)
        if receipt.outcome is Outcome.DONE:
            after = self.world.exchange.ledger.deployment(number)
            assert before is not None
            assert after.version != before.version
            assert all(not group.excluded and not group.failures for group in self.world.exchange.ledger.groups(after))

    # --- the market --------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(PROVIDERS), index=st.integers(0, 5), price=st.sampled_from(PRICES))
    def bid(self, name: str, index: int, price: int) -> None:
        if orders := self.orders():
            order = orders[index % len(orders)]
            self.send(f"{name}-op", CreateBid(order=order.id, price=min(price, order.max_price)))

    @rule(name=st.sampled_from(PROVIDERS), index=st.integers(0, 5))
    def withdraw_bid(self, name: str, index: int) -> None:
        if orders := self.orders():
            self.send(f"{name}-op", WithdrawBid(order=orders[index % len(orders)].id))

    @rule(index=st.integers(0, 5))
    def market_message(self, index: int) -> None:
        if orders := self.orders():
            self.send("stranger", MarketMessage(order=orders[index % len(orders)].id, payload=b"?"))

    @rule(index=st.integers(0, 5), price=st.sampled_from(PRICES))
    def bid_and_wait_for_the_match(self, index: int, price: int) -> None:
        self.bid("alpha", index, price)
        self.world.block(PARAMETERS.bidding_window_ms)
        self.everybody_serves(1)

    # --- leases ------------------------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(PROVIDERS),
        back=st.integers(0, 2),
        omit=st.booleans(),
        spoil=st.booleans(),
        status=st.sampled_from(LeaseStatus),
    )
    def confirm(self, name: str, back: int, omit: bool, spoil: bool, status: LeaseStatus) -> None:
        mine = [lease for lease in self.leases() if lease.provider == address(name)]
        changes = tuple(StatusChange(lease=lease.id, status=status) for lease in mine[::2])
        omitted = tuple(lease.id for lease in mine[1::2]) if omit else ()
        message = ConfirmLeases(height=self.world.exchange.height - back, changes=changes, omitted=omitted)
        if spoil:  # everything that it did is undone, in the indexes too
            self.send(f"{name}-op", message, Transfer(to=address(name), amount_uptn=10**18))
        else:
            self.send(f"{name}-op", message)

    @rule(rounds=st.integers(1, 16))
    def everybody_serves(self, rounds: int) -> None:
        """As agents do when all is well: every lease serves, and is confirmed in time."""
        for _ in range(rounds):
            transactions = []
            for name in PROVIDERS:
                mine = [x.id for x in self.leases(LeaseState.ACTIVE) if x.provider == address(name)]
                changes = tuple(StatusChange(lease=lease, status=LeaseStatus.SERVING) for lease in mine)
                message = ConfirmLeases(height=self.world.exchange.height, changes=changes)
                transactions.append(self.world.transaction(f"{name}-op", message))
            self.world.block(PARAMETERS.max_gap_ms, transactions)

    @rule(index=st.integers(0, 5), tenant=st.booleans(), reason=st.sampled_from(ProviderCloseReason))
    def close_lease(self, index: int, tenant: bool, reason: ProviderCloseReason) -> None:
        if leases := self.leases(LeaseState.ACTIVE):
            lease = leases[index % len(leases)]
            owner = self.world.exchange.ledger.deployment(lease.id.deployment).owner
            tenants = [name for name in TENANTS if address(name) == owner]
            self.send(tenants[0] if tenant else self.operator_of(lease), CloseLease(lease=lease.id, reason=reason))

    @rule(index=st.integers(0, 5))
    def confirm_closed(self, index: int) -> None:
        if leases := self.leases(LeaseState.CLOSING, LeaseState.CLOSED):
            lease = leases[index % len(leases)]
            self.send(self.operator_of(lease), ConfirmClosed(leases=(lease.id,)))

    @rule(index=st.integers(0, 5), sender=st.sampled_from((None, *PROVIDERS)))
    def withdraw(self, index: int, sender: str | None) -> None:
        if leases := self.leases():
            lease = leases[index % len(leases)]
            self.send(sender or self.operator_of(lease), Withdraw(leases=(lease.id, OrderId(1, 0, 0))))

    # --- the end -----------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """All is closed and waited for: nobody but accounts and bonds holds money, and nothing is due any more."""
        world = self.world
        again = world.reopened()
        assert again.schedule.timers() == world.exchange.schedule.timers()
        for key, record in list(world.exchange.ledger.scan(keys.DEPLOYMENT)):
            owner = next(name for name in TENANTS if address(name) == record.owner)
            if record.state is DeploymentState.ACTIVE:
                receipt = world.send(owner, CloseDeployment(deployment=int.from_bytes(key[1:], "big")))
                assert receipt.outcome is Outcome.DONE or receipt.code == "deployment-closed", receipt
        for _ in range(200):
            if world.exchange.next_due_ms() is None:
                break
            world.block(PARAMETERS.max_gap_ms)
        assert world.exchange.next_due_ms() is None
        accounts = sum(r.balance_uptn for _, r in world.exchange.ledger.scan(keys.ACCOUNT))
        bonds = sum(r.bond_uptn for _, r in world.exchange.ledger.scan(keys.PROVIDER))
        assert accounts + bonds == world.exchange.ledger.status.supply_uptn


TestExchange = ExchangeMachine.TestCase
TestExchange.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
assert evolve(PARAMETERS).problems() == (), "the machine runs with parameters that genesis would take"
