"""The made-up network that the examples of docs/formats.md are about: its keys, money, one deployment and its lease.

Everything follows from the keys' seeds, so the examples are the same bytes on every machine. The seeds are public:
these keys are for reading only.
"""

from __future__ import annotations

from typing import Any

from photon_core.api import bech32m
from photon_core.api.chain import Certificate, FinalityStatement
from photon_core.api.fields import to_plain
from photon_core.api.finality import block_hash, validators_hash
from photon_core.api.hashing import digest
from photon_core.api.ids import GroupId, OrderId
from photon_core.api.market import BidStatus
from photon_core.api.resources import Resources, ResourceUnit
from photon_core.chain.blocks import make_block
from photon_core.chain.certificates import sign_statement
from photon_core.chain.genesis import GenesisValidator, chain_id, genesis_header
from photon_core.chain.keys import KeyPurpose, SigningKey, from_seed
from photon_core.chain.transactions import build_transaction, decode_transaction
from photon_core.cli.cards import ValidatorCard
from photon_core.cli.network import new_genesis
from photon_core.exchange import events, messages, records
from photon_core.exchange.events import Outcome, Receipt
from photon_core.exchange.records import CloseReason, LeaseStatus
from photon_core.manifest.plan import GroupPlan
from photon_core.manifest.records import Expose, Protocol, Section, Service, Target
from photon_core.manifest.versions import seal_plan
from photon_core.node.outcome import BlockOutcome, encode_outcome
from photon_core.peers import authorization, methods


def key(number: int, purpose: KeyPurpose) -> SigningKey:
    return from_seed(bytes([number]) * 32, purpose)


TENANT, FRIEND = key(1, KeyPurpose.ACCOUNT), key(2, KeyPurpose.ACCOUNT)
PAYEE, OPERATOR = key(3, KeyPurpose.PAYEE), key(4, KeyPurpose.OPERATOR)
AGENT_NODE, NODE, CALLER = key(5, KeyPurpose.NODE), key(6, KeyPurpose.NODE), key(7, KeyPurpose.NODE)
CONSENSUS = key(8, KeyPurpose.CONSENSUS)

NOW_MS = 1_700_000_000_000
PTN = records.UPTN_PER_PTN
ORDER = OrderId(17, 0, 1)
GROUP = GroupId(17, 0)
PRICE = 250_000 * 10**6
"""0.25 PTN per hour, in 10⁻⁶ uptn."""

GENESIS = new_genesis(
    name="example",
    time_ms=NOW_MS,
    validators=[GenesisValidator(key=CONSENSUS.public, node_key=NODE.public, power=1, payee=FRIEND.address)],
    accounts=[f"{bech32m.encode_address(TENANT.address)}=1000", f"{bech32m.encode_address(PAYEE.address)}=100"],
    consensus="solo",
    market="auction",
    development=True,
)
CHAIN = chain_id(GENESIS)
CARD = ValidatorCard(
    name="alice",
    consensus_key=CONSENSUS.public,
    node_key=NODE.public,
    payee=FRIEND.address,
    addresses=("/ip4/192.0.2.1/tcp/4290",),
)

# --- what is deployed ------------------------------------------------------------------------------------------------

SMALL = Resources(cpu_milli=500, memory_bytes=512 * 2**20, storage_bytes=2**30)
SECTION = Section(
    group="westcoast",
    services=(
        Service(
            name="db",
            image="redis:7",
            count=1,
            resources=SMALL,
            expose=(Expose(port=6379, as_port=6379, targets=(Target(service="web"),)),),
        ),
        Service(
            name="web",
            image="nginx:1.27",
            command=("/bin/serve",),
            args=("--port", "8080"),
            env=(("GREETING", "hello"),),
            count=1,
            resources=SMALL,
            depends_on=("db",),
            expose=(
                Expose(
                    port=8080, as_port=80, protocol=Protocol.HTTP, hostnames=("www.example.org",), targets=(Target(),)
                ),
            ),
        ),
    ),
)
PLAN = GroupPlan(
    section=SECTION,
    units=(ResourceUnit(resources=SMALL, count=1, max_price=300_000 * 10**6),) * 2,
    attributes=(("region", "us-west"),),
    collateral_uptn=600_000,
)
MANIFEST = seal_plan([PLAN], chain_id=CHAIN, random=lambda length: bytes(range(length)))
SPEC, SEALED = MANIFEST.groups[0], MANIFEST.sections[0]

# --- what accounts ask for: one of each message ----------------------------------------------------------------------

MESSAGES: tuple[Any, ...] = (
    messages.Transfer(to=FRIEND.address, amount_uptn=5 * PTN),
    messages.RegisterProvider(
        operator=OPERATOR.address,
        node_key=AGENT_NODE.public,
        addresses=("/ip4/192.0.2.7/tcp/4390",),
        attributes=(("region", "us-west"),),
    ),
    messages.UpdateProvider(provider=PAYEE.address, addresses=("/ip4/192.0.2.8/tcp/4390",)),
    messages.CreateDeployment(groups=(SPEC,), version=MANIFEST.version, deposit_uptn=14 * PTN, persist=True),
    messages.CloseDeployment(deployment=17),
    messages.Deposit(deployment=17, amount_uptn=PTN),
    messages.ResumeGroup(deployment=17, group=0),
    messages.CreateBid(order=ORDER, price=PRICE),
    messages.WithdrawBid(order=ORDER),
    messages.MarketMessage(order=ORDER, payload=b"opaque to core"),
    messages.ConfirmLeases(
        height=120,
        changes=(messages.StatusChange(lease=ORDER, status=LeaseStatus.SERVING),),
        omitted=(),
    ),
    messages.CloseLease(lease=ORDER, reason=messages.ProviderCloseReason.FAULT),
    messages.ConfirmClosed(leases=(ORDER,)),
    messages.Withdraw(leases=(ORDER,)),
)

# --- what happens: one of each event ---------------------------------------------------------------------------------

_LEASE: dict[str, Any] = {"lease": ORDER, "provider": PAYEE.address}
_BID: dict[str, Any] = {"order": ORDER, "provider": PAYEE.address}
EVENTS: tuple[Any, ...] = (
    events.Transferred(sender=TENANT.address, to=FRIEND.address, amount_uptn=5 * PTN),
    events.ProviderChanged(provider=PAYEE.address),
    events.DeploymentCreated(deployment=17, owner=TENANT.address, version=MANIFEST.version, deposit_uptn=14 * PTN),
    events.DeploymentFunded(deployment=17, depositor=FRIEND.address, amount_uptn=PTN),
    events.DeploymentClosing(deployment=17, refunded_uptn=14 * PTN),
    events.DeploymentClosed(deployment=17),
    events.GroupPaused(group=GROUP, reason="3 leases in a row ended in a fault"),
    events.GroupResumed(group=GROUP),
    events.OrderOpened(order=ORDER, max_price=600_000 * 10**6, collateral_uptn=600_000, deadline_ms=90_500),
    events.OrderPhaseChanged(order=ORDER, phase="reveal", deadline_ms=91_000),
    events.OrderExpired(order=ORDER, reason="no valid bid"),
    events.BidPlaced(**_BID, price=PRICE, collateral_uptn=600_000),
    events.BidEnded(**_BID, returned_uptn=600_000, reason="another bid won"),
    events.LeaseCreated(**_LEASE, owner=TENANT.address, price=PRICE),
    events.LeaseStatusChanged(**_LEASE, status=LeaseStatus.SERVING),
    events.LeaseClosing(**_LEASE, reason=CloseReason.TENANT, paid_uptn=PTN // 4, settled_ms=3_690_500),
    events.LeaseClosed(**_LEASE, collateral_returned_uptn=600_000, collateral_forfeited_uptn=0),
    events.PaidOut(**_LEASE, amount_uptn=PTN // 8),
    events.GroupClosed(group=GROUP),
)

# --- what the chain remembers: one of each record of the state -------------------------------------------------------

STATE: tuple[Any, ...] = (
    records.Account(balance_uptn=981 * PTN, sequence=2),
    records.Provider(
        id=PAYEE.address,
        payee=PAYEE.address,
        operator=OPERATOR.address,
        node_key=AGENT_NODE.public,
        addresses=("/ip4/192.0.2.7/tcp/4390",),
        attributes=(("region", "us-west"),),
        bond_uptn=10 * PTN,
        registered_ms=10_000,
        confirmed_ms=95_000,
        confirmed_height=120,
    ),
    records.Deployment(
        id=17,
        owner=TENANT.address,
        version=MANIFEST.version,
        persist=True,
        third_party_deposits=False,
        groups=1,
        depositors=(records.Depositor(account=TENANT.address, amount_uptn=14 * PTN),),
        funds_due_ms=201_690_500,
        created_ms=90_000,
        created_height=101,
        open_leases=1,
    ),
    records.Group(
        deployment=17,
        index=0,
        spec=SPEC,
        state=records.GroupState.LEASED,
        orders=2,
        excluded=(records.Excluded(provider=FRIEND.address, reason=CloseReason.FAULT),),
    ),
    records.Order(
        id=ORDER,
        state=records.OrderState.MATCHED,
        max_price=600_000 * 10**6,
        collateral_uptn=600_000,
        opened_ms=90_000,
        opened_height=101,
        bidders=(PAYEE.address,),
        bids_taken=1,
        winner=PAYEE.address,
    ),
    records.Bid(
        **_BID,
        payer=OPERATOR.address,
        serial=0,
        price=PRICE,
        status=BidStatus.WON,
        collateral_uptn=0,
        placed_ms=90_100,
    ),
    records.Lease(
        id=ORDER,
        provider=PAYEE.address,
        price=PRICE,
        collateral_uptn=600_000,
        collateral_payer=OPERATOR.address,
        status=LeaseStatus.SERVING,
        status_since_ms=95_000,
        origin_ms=90_500,
        matched_height=102,
        confirmed_ms=90_500,
    ),
    records.ChainStatus(
        height=120,
        block_time_ms=NOW_MS + 95_000,
        market_ms=95_000,
        next_deployment=18,
        supply_uptn=1_100 * PTN,
    ),
    records.BlockTime(market_ms=95_000),
    records.Operator(provider=PAYEE.address),
    records.ValidatorRecord(key=CONSENSUS.public, node_key=NODE.public, power=1, payee=FRIEND.address),
)

# --- one block and what makes it final -------------------------------------------------------------------------------

RAW_TRANSACTION = build_transaction(
    TENANT.seed, CHAIN, sequence=0, fee_uptn=1_200, expires_height=10_000, messages=[[1, to_plain(MESSAGES[0])]]
)
TRANSACTION = decode_transaction(RAW_TRANSACTION, CHAIN)
BLOCK = make_block(
    parent=genesis_header(GENESIS),
    time_ms=NOW_MS + 1_000,
    proposer=CONSENSUS.public,
    validators=GENESIS.validator_set,
    transactions=[TRANSACTION],
).block
RECEIPT = Receipt(transaction_id=TRANSACTION.id, outcome=Outcome.DONE, fee_uptn=1_200, events=(EVENTS[0],))
STATEMENT = FinalityStatement(
    chain_id=CHAIN,
    height=1,
    block_hash=block_hash(BLOCK.header),
    state_root=digest("photon/example/1", b"state"),
    receipts_root=encode_outcome(BlockOutcome(market_ms=0, begin_events=(), receipts=(RECEIPT,))).receipts_root,
    next_validators_hash=validators_hash(GENESIS.validator_set),
)
CERTIFICATE = Certificate(statement=STATEMENT, signatures=(sign_statement(CONSENSUS, STATEMENT),))

# --- what tenants and agents say to each other -----------------------------------------------------------------------

AUTHORIZATION = authorization.sign_authorization(
    TENANT,
    authorization.Authorization(
        chain_id=CHAIN,
        owner_key=TENANT.public,
        caller=CALLER.public,
        provider=PAYEE.address,
        deployment=17,
        scopes=int(authorization.Scope.DELIVER | authorization.Scope.STATUS),
        expires_ms=NOW_MS + 3_600_000,
    ),
)
_ASKED: dict[str, Any] = {"authorization": AUTHORIZATION, "lease": ORDER}
CALLS: tuple[Any, ...] = (
    methods.DeliverRequest(**_ASKED, salt=SEALED.salt, section=SEALED.raw),
    methods.Delivered(news=True),
    methods.StatusRequest(**_ASKED),
    methods.LeaseReport(
        lease=ORDER,
        status=LeaseStatus.SERVING,
        services=(
            methods.ServiceReport(
                name="web",
                instances=(
                    methods.InstanceReport(ordinal=0, phase=methods.InstancePhase.READY, since_ms=NOW_MS + 94_000),
                ),
            ),
        ),
        endpoints=(
            methods.Endpoint(
                service="web",
                port=80,
                protocol=Protocol.HTTP,
                address="192.0.2.7",
                external_port=8080,
                hostnames=("www.example.org", "web.17-0-1.photon.internal"),
            ),
        ),
        refused=(methods.RefusedAttempt(service="web", address="198.51.100.9", port=443, count=2),),
        notes=(),
    ),
    methods.LogsRequest(**_ASKED, service="web", follow=False, tail_lines=100),
    methods.LogChunk(service="web", ordinal=0, data=b"listening on 8080\n"),
    methods.EventsRequest(**_ASKED, after=41, wait=False),
    methods.LeaseEvents(
        events=(
            methods.LeaseEvent(
                sequence=42,
                time_ms=NOW_MS + 95_000,
                kind=methods.EventKind.EXITED,
                service="web",
                ordinal=0,
                text="exited with code 3",
            ),
        )
    ),
    methods.ExecRequest(
        **_ASKED, service="web", command=("sh", "-l"), terminal=methods.ScreenSize(columns=132, rows=43)
    ),
    methods.ExecItem(news=methods.ExecNews.STARTED, session=bytes.fromhex("9f86d081884c7d659a2feaa0c55ad015")),
    methods.ExecInput(session=bytes.fromhex("9f86d081884c7d659a2feaa0c55ad015"), data=b"ls\n"),
    methods.ExecInputTaken(taken=True),
    methods.DecisionRequest(order=_ASKED["lease"]),
    methods.Decision(
        order=_ASKED["lease"], verdict=methods.Verdict.NO_BID, why="capacity", reason="cpu 4000m wanted, 1500m free"
    ),
)
