"""What every consensus engine promises to the core that drives it.

An engine is driven here as core drives it, by `_Core`, which does at once whatever is asked and checks each request
against the contract. The engine is alone: one validator is a quorum, so that every engine, whatever it says to others,
must order blocks. What engines say to each other, and under which faults they agree, is their own tests' matter.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field

from photon_core.api.chain import Block, Certificate, FinalityStatement, Header, Proposal, Validator, ValidatorSet
from photon_core.api.consensus import (
    BlockFinal,
    BuildProposal,
    CancelTimer,
    Claim,
    Commit,
    ContentAvailable,
    Effect,
    Engine,
    EngineContext,
    Event,
    Evidence,
    Fetch,
    Forget,
    Ignored,
    Persist,
    Persisted,
    ProposalBuilt,
    Received,
    Restored,
    SendAfter,
    SendNow,
    SetTimer,
    Sign,
    SignatureRefused,
    Signed,
    Slot,
    StateChange,
    TimerFired,
    Validate,
    Validated,
    WorkWaiting,
)
from photon_core.api.errors import LocalProtocolError, PeerProtocolError
from photon_core.api.finality import block_hash
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain import blocks
from photon_core.chain.certificates import sign_statement
from photon_core.chain.keys import KeyPurpose, from_seed
from photon_core.testing.checks.clauses import Clauses, Subject

ConsensusSubject = Subject[EngineContext, Engine]

KEY = from_seed(b"\x31" * 32, KeyPurpose.CONSENSUS)
STRANGER = from_seed(b"\x32" * 32, KeyPurpose.CONSENSUS)
CHAIN_ID = b"\x33" * 32
VALIDATORS = ValidatorSet(validators=(Validator(key=KEY.public, power=1),))
EFFECTS_MAX = 64
"""Of one step: an engine that answers one event with more than this has a loop, or a queue without a bound."""
BLOCKS = 5
TURNS_MAX = 1_000
"""Events until an engine that is alone must have ordered some blocks."""

consensus_clauses: Clauses[EngineContext, Engine] = Clauses("consensus")


def engine_of(subject: ConsensusSubject, own_key: ConsensusKey | None = KEY.public) -> Engine:
    context = EngineContext(chain_id=CHAIN_ID, validators=VALIDATORS, own_key=own_key, config=None)
    return subject.make(context)


def genesis_header() -> Header:
    return Header(
        height=0, time_ms=0, parent=CHAIN_ID, transactions_root=bytes(32), validators_hash=bytes(32), proposer=bytes(32)
    )


@define
class _Core:
    """One node around the engine: its disk, its signer, its chain. `crash` leaves what a disk would."""

    engine: Engine
    head: Header = field(factory=genesis_header)
    certificate: Certificate | None = None
    committed: list[Header] = field(factory=list)
    persisted: list[tuple[int, bytes]] = field(factory=list)
    tokens: set[int] = field(factory=set)
    signed: dict[Slot, bytes] = field(factory=dict)
    timers: dict[str, int] = field(factory=dict)
    waiting: list[Event] = field(factory=list)
    log: list[Effect] = field(factory=list)
    now_ms: int = 0

    def start(self) -> _Core:
        records = tuple(record for _, record in self.persisted)
        self.tell(
            Restored(
                records=records,
                height=self.head.height,
                block_hash=block_hash(self.head),
                certificate=self.certificate,
            )
        )
        return self

    def crash(self, engine: Engine) -> None:
        """A new engine knows what was persisted and where the chain stands; nothing else."""
        self.engine, self.waiting, self.timers, self.tokens = engine, [], {}, set()
        self.start()

    def tell(self, event: Event) -> None:
        effects = self.engine.step(event, self.now_ms)
        assert len(effects) <= EFFECTS_MAX, f"{len(effects)} effects of one {type(event).__name__}"
        for effect in effects:
            self.log.append(effect)
            self.carry_out(effect)

    def turn(self) -> None:
        """The next thing that would happen to it: an answer, else a timer, else work."""
        self.now_ms += 1
        if self.waiting:
            self.tell(self.waiting.pop(0))
        elif self.timers:
            name = min(self.timers, key=lambda timer: (self.timers[timer], timer))
            self.now_ms = max(self.now_ms, self.timers.pop(name))
            self.tell(TimerFired(name=name))
            self.tell(WorkWaiting())
        else:
            self.tell(WorkWaiting())

    def run_to(self, height: int) -> _Core:
        for _ in range(TURNS_MAX):
            if self.head.height >= height:
                return self
            self.turn()
        raise AssertionError(f"alone, with work waiting, it stands at {self.head.height} after {TURNS_MAX} events")

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case Persist(token=token, height=height, records=records):
                assert token not in self.tokens, f"token {token} is used twice"
                self.persisted += [(height, record) for record in records]
                self.tokens.add(token)
                self.waiting.append(Persisted(token=token))
            case SendAfter(token=token):
                assert token in self.tokens, f"a message waits for token {token}, which nothing was persisted under"
            case Sign(slot=slot, statement=statement):
                self._sign(slot, statement)
            case BuildProposal(height=height, parent=parent):
                self.waiting.append(ProposalBuilt(proposal=proposal_on(parent, height)))
            case Validate(block_hash=block_hash):
                self.waiting.append(Validated(block_hash=block_hash, reason=""))
            case Fetch(block_hash=block_hash):
                self.waiting.append(ContentAvailable(block_hash=block_hash))
            case Commit(header=header, block_hash=block_hash):
                self._commit(header, block_hash)
            case SetTimer(name=name, after_ms=after_ms):
                assert after_ms > 0, f"a timer {name!r} that fires before it is set"
                self.timers[name] = self.now_ms + after_ms
            case CancelTimer(name=name):
                self.timers.pop(name, None)
            case Forget(below_height=below):
                self.persisted = [(height, record) for height, record in self.persisted if height >= below]
            case SendNow() | Evidence() | Ignored() | StateChange():
                pass

    def _sign(self, slot: Slot, statement: bytes) -> None:
        assert slot, "a slot without parts"
        assert all(type(part) is int and part >= 0 for part in slot), f"slot {slot}: integers only"
        assert slot[0] > self.head.height, f"slot {slot} at or below the final height {self.head.height}"
        if self.signed.setdefault(slot, statement) == statement:
            signature = KEY.sign_message(statement)
            self.waiting.append(Signed(slot=slot, signature=signature))
        else:
            raise AssertionError(f"it asks for a second signature in slot {slot}, over something else")

    def _commit(self, header: Header, name: Hash) -> None:
        expected = (self.head.height + 1, block_hash(self.head))
        assert (header.height, header.parent) == expected, f"commit of {header.height} after {self.head.height}"
        self.committed.append(header)
        statement = FinalityStatement(
            chain_id=CHAIN_ID,
            height=header.height,
            block_hash=name,
            state_root=bytes(32),
            receipts_root=bytes(32),
            next_validators_hash=bytes(32),
        )
        self.certificate = Certificate(statement=statement, signatures=(sign_statement(KEY, statement),))
        self.head = header
        self.waiting.append(BlockFinal(height=header.height, block_hash=name, certificate=self.certificate))


def proposal_on(parent: Hash, height: int) -> Proposal:
    header = Header(
        height=height,
        time_ms=height,
        parent=parent,
        transactions_root=blocks.transactions_root([]),
        validators_hash=bytes(32),
        proposer=KEY.public,
    )
    assert Block(header=header, transactions=()).header == header
    return Proposal(header=header, transaction_ids=(), block_hash=block_hash(header))


def _payloads() -> Iterator[bytes]:
    yield from (b"", b"\x00", b"\xff" * 64, b"\x80" * 4096, bytes(range(256)), b"\x9f" * 100)


@consensus_clauses.clause("Any bytes of a peer are inspected: claims come out, or a PeerProtocolError, nothing else.")
def inspect_is_total(subject: ConsensusSubject) -> None:
    engine = engine_of(subject)
    for payload in _payloads():
        try:
            claims = engine.inspect(payload)
        except PeerProtocolError:
            continue
        assert type(claims) is tuple, f"inspect gives {type(claims).__name__}"
        assert all(isinstance(claim, Claim) for claim in claims), f"inspect gives {claims}"


@consensus_clauses.clause("Nothing may be stepped before Restored: that is a bug of the caller's, and said so.")
def restored_comes_first(subject: ConsensusSubject) -> None:
    for event in (WorkWaiting(), TimerFired(name="x"), Persisted(token=1)):
        try:
            engine_of(subject).step(event, 0)
        except LocalProtocolError:
            continue
        raise AssertionError(f"{type(event).__name__} before Restored was taken")


@consensus_clauses.clause("Alone it is a quorum: with work waiting, blocks are committed in order, without a gap.")
def orders_alone(subject: ConsensusSubject) -> None:
    core = _Core(engine_of(subject)).start().run_to(BLOCKS)
    assert [header.height for header in core.committed] == list(range(1, BLOCKS + 1))


@consensus_clauses.clause("It commits only what core has built or found valid: a proposal unasked for is not taken.")
def unasked_proposals(subject: ConsensusSubject) -> None:
    core = _Core(engine_of(subject)).start()
    core.tell(ProposalBuilt(proposal=proposal_on(block_hash(core.head), 1)))
    assert not core.committed, "it committed a proposal that nobody asked for"


@consensus_clauses.clause(
    "Without the validator's key it signs, proposes and commits nothing, and follows what is final."
)
def followers_do_not_vote(subject: ConsensusSubject) -> None:
    leader = _Core(engine_of(subject)).start().run_to(BLOCKS)
    for own_key in (None, STRANGER.public):
        core = _Core(engine_of(subject, own_key)).start()
        core.tell(WorkWaiting())
        for header in leader.committed:
            certificate = Certificate(
                statement=FinalityStatement(
                    chain_id=CHAIN_ID,
                    height=header.height,
                    block_hash=block_hash(header),
                    state_root=bytes(32),
                    receipts_root=bytes(32),
                    next_validators_hash=bytes(32),
                ),
                signatures=(),
            )
            core.tell(BlockFinal(height=header.height, block_hash=block_hash(header), certificate=certificate))
            core.tell(WorkWaiting())
        votes = [effect for effect in core.log if isinstance(effect, Sign | BuildProposal | Commit)]
        assert not votes, f"a follower wants {votes[0]}"


@consensus_clauses.clause("The same events give the same effects: time and chance come from outside.")
def deterministic(subject: ConsensusSubject) -> None:
    runs = [_Core(engine_of(subject)).start().run_to(BLOCKS).log for _ in range(2)]
    assert runs[0] == runs[1]


@consensus_clauses.clause("Killed anywhere it goes on from its records, and never signs two things in one slot.")
def crash_anywhere(subject: ConsensusSubject) -> None:
    turns = 0
    while True:
        core = _Core(engine_of(subject)).start()
        for _ in range(turns):
            core.turn()
        if core.head.height > BLOCKS:
            return
        core.crash(engine_of(subject))
        core.run_to(core.head.height + 2)
        turns += 1
        assert turns < TURNS_MAX, "it never gets anywhere"


@consensus_clauses.clause("What comes late, twice or for nothing it ever asked changes nothing and raises nothing.")
def stray_events(subject: ConsensusSubject) -> None:
    core = _Core(engine_of(subject)).start().run_to(2)
    commits = len(core.committed)
    strays: tuple[Event, ...] = (
        TimerFired(name="never set"),
        Persisted(token=999_999),
        Signed(slot=(1, 7, 7), signature=bytes(64)),
        SignatureRefused(slot=(1, 7, 7), reason="taken"),
        ContentAvailable(block_hash=b"\x44" * 32),
        Validated(block_hash=b"\x44" * 32, reason="unknown"),
    )
    for event in strays:
        core.tell(event)
    assert len(core.committed) == commits, "a stray event made it commit"
    core.run_to(4)


@consensus_clauses.clause("What a peer sends, once inspected, is taken without an exception.")
def messages_are_taken(subject: ConsensusSubject) -> None:
    core = _Core(engine_of(subject)).start()
    for payload in _payloads():
        try:
            core.engine.inspect(payload)
        except PeerProtocolError:
            continue
        core.tell(Received(sender=b"\x55" * 32, message=payload))
    core.run_to(2)


@consensus_clauses.clause("Asked again and again while core is busy, it repeats itself at most, and keeps nothing.")
def impatient_core(subject: ConsensusSubject) -> None:
    core = _Core(engine_of(subject)).start()
    for _ in range(500):
        core.tell(WorkWaiting())
    assert len({effect for effect in core.log if isinstance(effect, BuildProposal)}) <= EFFECTS_MAX
    core.run_to(2)


CLAUSES = consensus_clauses.all
