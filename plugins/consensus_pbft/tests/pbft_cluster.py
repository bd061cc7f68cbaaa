"""Several engines, a wire between them and one clock.

Everything that is under way (a message on the wire, an answer of a disk or signer) is an item that a test may let
happen in any order; by default first come, first served. `advance` moves the clock from timer to timer. What is checked
always, whatever a test is about: no two nodes commit different blocks at one height, commits have no gap, evidence
proves what it says.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from attrs import define, field, frozen
from pbft_node import CHAIN_ID, Node, key_of, sign

from photon_consensus_pbft import messages
from photon_consensus_pbft.config import PbftConfig
from photon_consensus_pbft.engine import PbftEngine
from photon_core.api import consensus as api
from photon_core.api.chain import (
    Certificate,
    FinalityStatement,
    Header,
    StatementSignature,
    Validator,
    ValidatorSet,
)
from photon_core.api.errors import PeerProtocolError
from photon_core.api.finality import block_hash, statement_message
from photon_core.api.ids import ConsensusKey, Hash

ITEMS_MAX = 20_000
"""Events without the clock moving: more is a loop."""


@frozen
class Envelope:
    source: int
    target: int
    data: bytes

    @property
    def message(self) -> messages.Message:
        return messages.decode(self.data)


def certify(header: Header, voters: Iterable[int]) -> Certificate:
    statement = FinalityStatement(
        chain_id=CHAIN_ID,
        height=header.height,
        block_hash=block_hash(header),
        state_root=bytes(32),
        receipts_root=bytes(32),
        next_validators_hash=bytes(32),
    )
    message = statement_message(statement)
    signatures = (StatementSignature(validator=key_of(i), signature=sign(key_of(i), message)) for i in sorted(voters))
    return Certificate(statement=statement, signatures=tuple(signatures))


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
    stopped: dict[int, list[Envelope]] = field(factory=dict)
    """Nodes whose process stands still (SIGSTOP), and what has come for them meanwhile."""
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
        return [node for node in self.nodes if node.engine is not None and node.index not in self.stopped]

    def stop(self, index: int) -> None:
        self.stopped[index] = []

    def go_on(self, index: int) -> None:
        """SIGCONT: what waited in its sockets comes now, and its timers are late."""
        self.wire.extend(self.stopped.pop(index))

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

    def block_on(self, parent: Header, proposer: int = 0) -> Header:
        """A block that its proposer has, whatever it does with it."""
        header = self.header_on(parent, proposer)
        self.nodes[proposer].bodies.add(block_hash(header))
        self.headers[block_hash(header)] = header
        return header

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
        if node.index in self.stopped:
            self.stopped[node.index].append(envelope)
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
            self.certificates.setdefault(header.height, certify(header, vouchers))

    def finalize(self, node: Node) -> bool:
        """The next block's certificate comes to this node, if there is one."""
        height = node.final.height + 1
        certificate = self.certificates.get(height)
        if node.engine is None or certificate is None or node.index in self.stopped:
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

    def happen(self) -> bool:
        """One thing that is under way: an answer, else contents, else a message, else a certificate, else work."""
        if any(self.answer(node) for node in self.nodes) or self.fetch():
            return True
        if self.wire:
            self.deliver(self.wire.popleft())
            return True
        return any(self.finalize(node) for node in self.nodes) or self.offer_work()

    def settle(self) -> None:
        for _ in range(ITEMS_MAX):
            if not self.happen():
                return
        raise AssertionError("it never comes to rest")

    def offer_work(self) -> bool:
        """To whom it concerns: where the chain ends, and less is on its way than there is work for."""
        before = self._serial
        top = max((node.final.height for node in self.alive), default=0)
        for node in self.alive:
            on_its_way = self._in_flight(node)
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
