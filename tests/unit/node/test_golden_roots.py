"""The same blocks give the same roots: on every Python, on every machine, in every later version of these rules.

Committed constants. When one changes, the chain's rules have changed: that is a new rules version in genesis, never a
new constant alone.
"""

from __future__ import annotations

from attrs import evolve

from photon_core.api.hashing import digest
from photon_core.api.ids import OrderId
from photon_core.chain.keys import KeyPurpose, from_seed
from photon_core.exchange.events import Outcome
from photon_core.exchange.messages import (
    CloseDeployment,
    ConfirmClosed,
    ConfirmLeases,
    CreateBid,
    CreateDeployment,
    Message,
    RegisterProvider,
    StatusChange,
    Transfer,
    Withdraw,
)
from photon_core.exchange.records import UPTN_PER_PTN, LeaseStatus
from photon_core.node import steps
from photon_core.testing.exchange import GENESIS_TIME_MS, group_spec
from photon_core.testing.node import VALIDATOR, SimulatedNode, node_genesis, signed

CHAIN_ID = "ec9e982d696bb1c593f1e130a5b574a6d43113842e28daa3d47f2074c1c2c1f2"
LAST_STATE_ROOT = "91149ff7f1d9ce1b5ac8cd8e0e9dc02e29a0115d84cc90df28142066565cc027"
LAST_RECEIPTS_ROOT = "f363893155978d3292ebc04f72374c1a1a29d5cae1249f4129766a76b64eb642"
ALL_ROOTS = "c9f2f95da22bf5b5d40d31ca04961bb177142d119164500962bdbebbf544cb74"
"""A hash over every block hash, state root and receipts root."""

PEOPLE = {
    name: from_seed(bytes([number]) * 32, KeyPurpose.ACCOUNT)
    for number, name in enumerate(("tenant", "alpha", "alpha-op", "beta", "beta-op", "poor"), 1)
}
ORDER = OrderId(1, 0, 0)


class Script:
    """Blocks at times that are given, with these people's transactions in them."""

    def __init__(self) -> None:
        self.node = SimulatedNode(b"\x01" * 32, node_genesis(*PEOPLE.values(), name="golden"), VALIDATOR)
        self.ms = 0
        self.node.start(self.now)

    @property
    def now(self) -> steps.Now:
        return steps.Now(unix_ms=GENESIS_TIME_MS + self.ms, monotonic_ms=self.ms)

    def block(self, after_ms: int, *transactions: tuple[str, tuple[Message, ...]]) -> None:
        self.ms += after_ms
        made = []
        for name, messages in transactions:
            key = PEOPLE[name]
            sequence = self.node.core.executor.standing_of(key.address).sequence
            sequence += sum(t.sender == key.address for t in made)
            made.append(signed(self.node.chain_id, sequence, *messages, key=key, fee_uptn=1_234))
        height = self.node.core.head_height
        event = steps.TransactionsArrived(transactions=tuple(made), ticket=height) if made else steps.ClockTicked()
        self.node.handle(event, self.now)
        self.node.finish_all(self.now)
        assert self.node.core.head_height == height + 1, "one block for each call"


def played() -> SimulatedNode:
    """A provider wins, serves, is paid; another loses; a transfer fails; a deployment closes with its refund."""
    script = Script()
    for name in ("alpha", "beta"):
        operator = PEOPLE[f"{name}-op"].address
        register = RegisterProvider(
            operator=operator, node_key=PEOPLE[name].public, addresses=("/x",), attributes=(("region", "eu-west"),)
        )
        script.block(100, (name, (register,)))
    group = evolve(group_spec(count=2), name="web")
    script.block(10, ("tenant", (CreateDeployment(groups=(group,), version=b"\x07" * 32, deposit_uptn=50_000_000),)))
    script.block(
        10,
        ("alpha-op", (CreateBid(order=ORDER, price=1_500_000_000_000),)),
        ("beta-op", (CreateBid(order=ORDER, price=1_700_000_000_000),)),
        ("poor", (Transfer(to=b"\x66" * 20, amount_uptn=2_000 * UPTN_PER_PTN),)),
    )
    for _ in range(4):
        script.block(10_000)
    height = script.node.core.head_height
    serving = StatusChange(lease=ORDER, status=LeaseStatus.SERVING)
    script.block(5, ("alpha-op", (ConfirmLeases(height=height, changes=(serving,)),)))
    for number in range(12):
        height = script.node.core.head_height
        payments = tuple(Transfer(to=bytes([n, number]) * 10, amount_uptn=n + 1) for n in range(8))
        script.block(9_000, ("alpha-op", (ConfirmLeases(height=height),)), ("tenant", payments))
    script.block(77, ("alpha", (Withdraw(leases=(ORDER,)),)))
    script.block(1_003, ("tenant", (CloseDeployment(deployment=1),)))
    script.block(4, ("alpha-op", (ConfirmClosed(leases=(ORDER,)),)))
    script.block(60_000)
    return script.node


def test_the_roots_are_those_they_have_always_been() -> None:
    node = played()
    outcomes = [r.outcome for p in node.published for r in p.receipts]
    assert outcomes.count(Outcome.FAILED) == 1, "the poor one's transfer, and nothing else"
    assert Outcome.VOID not in outcomes

    last = node.certificates[-1].statement
    parts = [
        part
        for certificate in node.certificates
        for s in (certificate.statement,)
        for part in (s.block_hash, s.state_root, s.receipts_root)
    ]
    found = {
        "CHAIN_ID": node.chain_id.hex(),
        "LAST_STATE_ROOT": last.state_root.hex(),
        "LAST_RECEIPTS_ROOT": last.receipts_root.hex(),
        "ALL_ROOTS": digest("photon/test/1", *parts).hex(),
    }
    assert found == {
        "CHAIN_ID": CHAIN_ID,
        "LAST_STATE_ROOT": LAST_STATE_ROOT,
        "LAST_RECEIPTS_ROOT": LAST_RECEIPTS_ROOT,
        "ALL_ROOTS": ALL_ROOTS,
    }
