"""Several engines, and around each what core is to them: disk, signer, timers, contents, finality. No IO, no threads.

Everything that is under way (a message on the wire, an answer of a disk or signer) is an item that a test may let
happen in any order; by default first come, first served. `advance` moves the one clock from timer to timer. Signatures
are keyed hashes, which prove as much here and cost less. What is checked always, whatever a test is about: two nodes
never commit different blocks at one height, commits have no gap, no claim of an engine's own making is bad.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from hashlib import blake2b

import attrs
from attrs import define, field, frozen

from photon_consensus_pbft import messages
from photon_consensus_pbft.config import PbftConfig
from photon_consensus_pbft.engine import PbftEngine
from photon_core.api import consensus as api
from photon_core.api.chain import (
    Certificate,
    FinalityStatement,
    Header,
    Proposal,
    StatementSignature,
    Validator,
    ValidatorSet,
)
from photon_core.api.errors import PeerProtocolError
from photon_core.api.finality import block_hash, statement_message
from photon_core.api.ids import ConsensusKey, Hash

CHAIN_ID = b"\x33" * 32
AHEAD_MAX_MS = 500
LINK_ITEMS_MAX = 20_000
"""Events without the clock moving: more is a loop."""


def sign(key: ConsensusKey, statement: bytes) -> bytes:
    return blake2b(statement, key=key).digest()


def key_of(index: int) -> ConsensusKey:
    return bytes([index + 1]) * 32


GENESIS = Header(
    height=0, time_ms=0, parent=CHAIN_ID, transactions_root=bytes(32), validators_hash=bytes(32), proposer=bytes(32)
)


@frozen
class Envelope:
    source: int
    target: int
    data: bytes

    @property
    def message(self) -> messages.Message:
        return messages.decode(self.data)


@define
class Node:
    """`disk` and `signed` outlive a crash; `unsynced` does not."""

    index: int
    cluster: Cluster
    engine: PbftEngine | None = None
    final: Header = GENESIS
    certificate: Certificate | None = None
    committed: dict[int, Header] = field(factory=dict)
    disk: list[tuple[int, bytes]] = field(factory=list)
    unsynced: dict[int, api.Persist] = field(factory=dict)
    waiting: dict[int, list[api.SendAfter]] = field(factory=dict)
    synced: set[int] = field(factory=set)
    signed: dict[api.Slot, bytes] = field(factory=dict)
    round_floor: int = 0
    abstains: bool = False
    headers: dict[Hash, Header] = field(factory=dict)
    bodies: set[Hash] = field(factory=set)
    pinned: set[Hash] = field(factory=set)
    answers: deque[api.Event] = field(factory=deque)
    timers: dict[str, int] = field(factory=dict)
    log: list[api.Effect] = field(factory=list)
    clock_offset_ms: int = 0

    @property
    def key(self) -> ConsensusKey:
        return key_of(self.index)

    @property
    def replica(self):
        assert self.engine is not None
        return self.engine._replica

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.engine = self.cluster.make_engine(self.index)
        self.headers = {block_hash(GENESIS): GENESIS, block_hash(self.final): self.final}
        self.headers |= {block_hash(header): header for header in self.committed.values()}
        self.bodies = set(self.pinned)
        self.tell(
            api.Restored(
                records=tuple(record for _, record in self.disk),
                height=self.final.height,
                block_hash=block_hash(self.final),
                certificate=self.certificate,
            )
        )

    def crash(self) -> None:
        """What was not synced is lost, and so is what was on its way from here to disk or signer."""
        self.engine = None
        self.unsynced, self.waiting, self.synced = {}, {}, set()
        self.answers.clear()
        self.timers.clear()
        self.committed = {h: b for h, b in self.committed.items() if h <= self.final.height}

    def tell(self, event: api.Event) -> tuple[api.Effect, ...]:
        if self.engine is None:
            return ()
        effects = self.engine.step(event, self.cluster.now_ms)
        assert len(effects) <= 64, f"{len(effects)} effects of one {type(event).__name__}"
        for effect in effects:
            self.log.append(effect)
            self._carry_out(effect)
        return effects

    def effects(self, kind: type) -> list:
        return [effect for effect in self.log if isinstance(effect, kind)]

    def ignored(self) -> Counter[str]:
        return Counter(effect.reason for effect in self.effects(api.Ignored))

    # --- effects -------------------------------------------------------------------------------------------------

    def _carry_out(self, effect: api.Effect) -> None:
        match effect:
            case api.Persist(token=token):
                assert token not in self.unsynced
                assert token not in self.synced
                self.unsynced[token] = effect
                self.answers.append(api.Persisted(token=token))
            case api.SendNow(message=message, to=to):
                self.cluster.post(self.index, message, to)
            case api.SendAfter(token=token, message=message, to=to):
                if token in self.synced:
                    self.cluster.post(self.index, message, to)
                else:
                    assert token in self.unsynced, "a message waits for nothing"
                    self.waiting.setdefault(token, []).append(effect)
            case api.Sign():
                self.answers.append(self._sign(effect))
            case api.BuildProposal():
                self._build(effect)
            case api.Fetch(header=header, block_hash=name):
                self.headers[name] = header
                self.cluster.fetches.add((self.index, name))
            case api.Validate(header=header, block_hash=name):
                self.headers[name] = header
                self.answers.append(api.Validated(block_hash=name, reason=self._problem(effect)))
            case api.Commit():
                self._commit(effect)
            case api.SetTimer(name=name, after_ms=after_ms):
                assert after_ms > 0
                self.timers[name] = self.cluster.now_ms + after_ms
            case api.CancelTimer(name=name):
                self.timers.pop(name, None)
            case api.Evidence(first=first, second=second):
                assert first.slot == second.slot
                assert first.key == second.key
                assert first.message != second.message
                for claim in (first, second):
                    assert sign(claim.key, claim.message) == claim.signature, "evidence that proves nothing"
                self.cluster.evidence.append(effect)
            case api.Forget(below_height=below):
                self.disk = [(height, record) for height, record in self.disk if height >= below]
            case api.Ignored() | api.StateChange():
                pass

    def persisted(self, token: int) -> None:
        """The disk has synced; what was written before is synced too."""
        for earlier in [known for known in self.unsynced if known <= token]:
            persist = self.unsynced.pop(earlier)
            self.disk += [(persist.height, record) for record in persist.records]
            self.pinned |= set(persist.contents)
            self.synced.add(earlier)
        self.tell(api.Persisted(token=token))
        for effect in self.waiting.pop(token, ()):
            self.cluster.post(self.index, effect.message, effect.to)

    def _sign(self, effect: api.Sign) -> api.Event:
        """As the signer: one statement in one slot, no round below the floor."""
        slot = effect.slot
        assert slot[0] > self.final.height or self.cluster.is_random, f"slot {slot} at or below the final height"
        known = self.signed.get(slot)
        if self.abstains or slot[0] <= self.final.height or slot[1] < self.round_floor:
            return api.SignatureRefused(slot=slot, reason="not here")
        if known is not None and known != effect.statement:
            return api.SignatureRefused(slot=slot, reason="taken")
        self.signed[slot] = effect.statement
        self.round_floor = max(self.round_floor, effect.round_floor)
        return api.Signed(slot=slot, signature=sign(self.key, effect.statement))

    def _build(self, effect: api.BuildProposal) -> None:
        parent = self.headers[effect.parent]
        assert parent.height + 1 == effect.height
        header = self.cluster.header_on(parent, self.index)
        name = block_hash(header)
        self.headers[name] = header
        self.bodies.add(name)
        self.answers.append(
            api.ProposalBuilt(proposal=Proposal(header=header, transaction_ids=(name,), block_hash=name))
        )

    def _problem(self, asked: api.Validate) -> str:
        header, parent = asked.header, self.headers.get(asked.header.parent)
        if parent is None:
            return "unknown parent"
        if header.height != parent.height + 1 or header.time_ms <= parent.time_ms:
            return "wrong height or time"
        if asked.block_hash in self.cluster.invalid:
            return "wrong"
        if asked.late_max_ms is None:
            return ""
        ahead_ms = header.time_ms - (asked.arrived_ms + self.clock_offset_ms)
        return "" if -asked.late_max_ms <= ahead_ms <= AHEAD_MAX_MS else f"{ahead_ms} ms ahead of the clock"

    def _commit(self, effect: api.Commit) -> None:
        header = effect.header
        assert block_hash(header) == effect.block_hash
        if header.height <= self.final.height:
            assert self.cluster.decided[header.height] == effect.block_hash
            return
        assert effect.block_hash in self.bodies, "committed without its transactions"
        known = self.committed.get(header.height)
        assert known in (None, header)
        below = self.committed.get(header.height - 1, self.final)
        assert (below.height, block_hash(below)) == (header.height - 1, header.parent), "a gap in what is committed"
        self.committed[header.height] = header
        self.pinned.add(effect.block_hash)
        decided = self.cluster.decided.setdefault(header.height, effect.block_hash)
        assert decided == effect.block_hash, f"node {self.index} committed another block at {header.height}"
        self.cluster.vouch(self.index, header)


@define
class Cluster:
    """`drop` decides what is lost on the wire; `withheld` are blocks whose body nobody gives away; `invalid` are blocks
    that every core finds wrong. `backlog` is how many blocks there is work for.
    """

    powers: tuple[int, ...] = (1, 1, 1, 1)
    config: PbftConfig = field(factory=PbftConfig)
    engine_type: type[PbftEngine] = PbftEngine
    now_ms: int = 10_000
    backlog: int = 0
    is_random: bool = False
    drop: Callable[[Envelope], bool] = field(default=lambda _: False)
    wire: deque[Envelope] = field(factory=deque)
    nodes: list[Node] = field(init=False)
    decided: dict[int, Hash] = field(factory=dict)
    certificates: dict[int, Certificate] = field(factory=dict)
    headers: dict[Hash, Header] = field(factory=dict)
    vouchers: dict[Hash, set[int]] = field(factory=dict)
    fetches: set[tuple[int, Hash]] = field(factory=set)
    withheld: set[Hash] = field(factory=set)
    invalid: set[Hash] = field(factory=set)
    evidence: list[api.Evidence] = field(factory=list)
    refused: Counter[str] = field(factory=Counter)
    held: set[int] = field(factory=set)
    """Nodes to which certificates of others do not come: their core does not catch up."""
    _serial: int = 0

    def __attrs_post_init__(self) -> None:
        self.nodes = [Node(index, self) for index in range(len(self.powers))]

    @property
    def validators(self) -> ValidatorSet:
        return ValidatorSet(validators=tuple(Validator(key=key_of(i), power=p) for i, p in enumerate(self.powers)))

    def make_engine(self, index: int) -> PbftEngine:
        return self.engine_type(
            api.EngineContext(chain_id=CHAIN_ID, validators=self.validators, own_key=key_of(index), config=self.config)
        )

    def start(self) -> Cluster:
        for node in self.nodes:
            node.start()
        return self

    @property
    def alive(self) -> list[Node]:
        return [node for node in self.nodes if node.engine is not None]

    def header_on(self, parent: Header, proposer: int) -> Header:
        self._serial += 1
        return Header(
            height=parent.height + 1,
            time_ms=max(self.now_ms, parent.time_ms + 1),
            parent=block_hash(parent),
            transactions_root=self._serial.to_bytes(32, "big"),
            validators_hash=bytes(32),
            proposer=key_of(proposer),
        )

    # --- wire ----------------------------------------------------------------------------------------------------

    def post(self, source: int, data: bytes, to: ConsensusKey | None = None) -> None:
        for target in range(len(self.nodes)):
            if target == source or (to is not None and key_of(target) != to):
                continue
            envelope = Envelope(source, target, data)
            if not self.drop(envelope):
                self.wire.append(envelope)

    def inject(self, source: int, target: int, message: messages.Message) -> None:
        """A message of a liar, at once."""
        self.deliver(Envelope(source, target, messages.encode(message)))

    def deliver(self, envelope: Envelope) -> None:
        """As core: claims first, and a message with a bad one never reaches `step`."""
        node = self.nodes[envelope.target]
        if node.engine is None:
            return
        try:
            claims = node.engine.inspect(envelope.data)
        except PeerProtocolError as error:
            self.refused[str(error)] += 1
            return
        for claim in claims:
            if sign(claim.key, claim.message) != claim.signature:
                self.refused[f"bad signature in slot {claim.slot}"] += 1
                return
        node.tell(api.Received(sender=key_of(envelope.source), message=envelope.data))

    # --- finality ------------------------------------------------------------------------------------------------

    def vouch(self, index: int, header: Header) -> None:
        """A node has committed and executed; a quorum of these is a certificate."""
        name = block_hash(header)
        self.headers[name] = header
        vouchers = self.vouchers.setdefault(name, set())
        vouchers.add(index)
        if sum(self.powers[i] for i in vouchers) >= self.validators.quorum_power:
            self.certificates.setdefault(header.height, self.certify(header, vouchers))

    def certify(self, header: Header, voters: Iterable[int]) -> Certificate:
        statement = FinalityStatement(
            chain_id=CHAIN_ID,
            height=header.height,
            block_hash=block_hash(header),
            state_root=bytes(32),
            receipts_root=bytes(32),
            next_validators_hash=bytes(32),
        )
        message = statement_message(statement)
        signatures = (
            StatementSignature(validator=key_of(i), signature=sign(key_of(i), message)) for i in sorted(voters)
        )
        return Certificate(statement=statement, signatures=tuple(signatures))

    def finalize(self, node: Node) -> bool:
        """The next block's certificate comes to this node, if there is one."""
        height = node.final.height + 1
        certificate = self.certificates.get(height)
        if node.engine is None or certificate is None:
            return False
        if node.index in self.held and height not in node.committed:
            return False
        header = self.headers[certificate.statement.block_hash]
        node.final, node.certificate = header, certificate
        node.headers[block_hash(header)] = header
        node.tell(api.BlockFinal(height=height, block_hash=block_hash(header), certificate=certificate))
        return True

    # --- what happens --------------------------------------------------------------------------------------------

    def answer(self, node: Node) -> bool:
        """The oldest thing that its core owes an engine."""
        if not node.answers:
            return False
        event = node.answers.popleft()
        if isinstance(event, api.Persisted):
            node.persisted(event.token)
        else:
            node.tell(event)
        return True

    def fetch(self) -> bool:
        """Contents come from whoever has them."""
        for index, name in sorted(self.fetches):
            node = self.nodes[index]
            if node.engine is None:
                self.fetches.discard((index, name))
                continue
            having = name in node.bodies or any(name in other.bodies for other in self.alive)
            if having and name not in self.withheld:
                self.fetches.discard((index, name))
                node.bodies.add(name)
                node.tell(api.ContentAvailable(block_hash=name))
                return True
        return False

    def settle(self) -> None:
        """Until nothing is under way: answers, then contents, then messages, then certificates."""
        for _ in range(LINK_ITEMS_MAX):
            if any([self.answer(node) for node in self.nodes]) or self.fetch():
                continue
            if self.wire:
                self.deliver(self.wire.popleft())
                continue
            if any([self.finalize(node) for node in self.nodes]) or self.offer_work():
                continue
            return
        raise AssertionError("it never comes to rest")

    def offer_work(self) -> bool:
        """To whom it concerns: where the chain ends, and less is on its way than there is work for."""
        before = self._serial
        top = max((node.final.height for node in self.alive), default=0)
        for node in self.alive:
            on_its_way = node.replica.window_top - node.final.height if node.answers else self._in_flight(node)
            if self.backlog - top > on_its_way - (top - node.final.height):
                node.tell(api.WorkWaiting())
        return self._serial != before

    def _in_flight(self, node: Node) -> int:
        height = node.final.height
        while (log := node.replica.heights.get(height + 1)) is not None and log.candidate is not None:
            height += 1
        return height - node.final.height

    def next_timer(self, until_ms: int) -> bool:
        """The clock moves to the next timer, which fires."""
        due = [(at, node.index, name) for node in self.alive for name, at in node.timers.items()]
        if not due or min(due)[0] > until_ms:
            return False
        at, index, name = min(due)
        self.now_ms = max(self.now_ms, at)
        del self.nodes[index].timers[name]
        self.nodes[index].tell(api.TimerFired(name=name))
        return True

    def advance(self, ms: int) -> None:
        until_ms = self.now_ms + ms
        self.settle()
        while self.next_timer(until_ms):
            self.settle()
        self.now_ms = until_ms

    def order(self, blocks: int, within_ms: int = 5_000) -> None:
        """Work for so many more blocks; all who are alive, and not held, must have them in time."""
        self.backlog = max((node.final.height for node in self.nodes), default=0) + blocks
        deadline = self.now_ms + within_ms
        self.settle()
        while any(node.final.height < self.backlog for node in self.alive if node.index not in self.held):
            assert self.next_timer(deadline), f"after {within_ms} ms: {self.picture()}"
            self.settle()

    def picture(self) -> str:
        return "; ".join(
            f"{node.index}: down"
            if node.engine is None
            else f"{node.index}: height {node.final.height}, view {node.replica.view} {node.replica.mode.value}"
            for node in self.nodes
        )

    # --- what liars say ------------------------------------------------------------------------------------------

    def pre_prepare(self, header: Header, view: int = 0, signer: int | None = None) -> messages.PrePrepare:
        name = block_hash(header)
        primary = self.nodes[0].replica.members.primary(view, header.height) if signer is None else signer
        statement = messages.vote_statement(CHAIN_ID, messages.Phase.PREPARE, view, header.height, name)
        return messages.PrePrepare(
            view=view, header=header, transaction_ids=name, signature=sign(key_of(primary), statement)
        )

    def vote(self, validator: int, header: Header, phase: messages.VotePhase, view: int = 0) -> messages.Vote:
        name = block_hash(header)
        statement = messages.vote_statement(CHAIN_ID, phase, view, header.height, name)
        return messages.Vote(
            phase=phase,
            view=view,
            height=header.height,
            block_hash=name,
            validator=validator,
            signature=sign(key_of(validator), statement),
        )

    def proof(self, header: Header, view: int, voters: Iterable[int]) -> messages.PreparedProof:
        votes = (self.vote(i, header, messages.VotePhase.PREPARE, view) for i in sorted(voters))
        return messages.PreparedProof(
            view=view, header=header, votes=tuple(messages.ProofVote(v.validator, v.signature) for v in votes)
        )

    def view_change(
        self,
        validator: int,
        view: int,
        *proofs: messages.PreparedProof,
        final_height: int = 0,
        certificate: Certificate | None = None,
    ) -> messages.ViewChange:
        prepared = tuple(
            messages.PreparedClaim(height=p.header.height, view=p.view, block_hash=block_hash(p.header)) for p in proofs
        )
        statement = messages.ViewChangeStatement(view=view, final_height=final_height, prepared=prepared)
        signature = sign(key_of(validator), messages.change_statement(CHAIN_ID, statement))
        change = messages.SignedViewChange(statement=statement, validator=validator, signature=signature)
        return messages.ViewChange(change=change, certificate=certificate, proofs=proofs)


def without(message: messages.Message, **changed: object) -> messages.Message:
    return attrs.evolve(message, **changed)
