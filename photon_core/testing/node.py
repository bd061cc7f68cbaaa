"""A network of node cores without IO: one seed, one exact run.

    network = Network(seed=7)
    validator, follower = network.add(validator=True), network.add()
    network.run(500, faults=Faults())       # drops, doubles, reorders, crashes
    network.heal()                          # no more faults: everybody must come to the same head
    assert validator.roots() == follower.roots()

Theory of operation
-------------------
A `SimulatedNode` is a core, a disk that survives its crashes (the log, what was signed), and the effects that were
begun and are not done. A step of the network picks, by its seed, one thing that could happen next: an effect is done, a
message arrives, a clock ticks, or, with faults, a message is lost or doubled, or a node loses all but its disk. State
is made anew out of the log at each start, as `Storage` does, but in memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from attrs import Factory, define, field, frozen

from photon_core.api import consensus
from photon_core.api.chain import Block, Certificate, FinalityStatement
from photon_core.api.errors import PeerProtocolError
from photon_core.api.finality import block_hash
from photon_core.api.ids import Hash, NodeKey
from photon_core.chain.certificates import sign_statement
from photon_core.chain.genesis import (
    Genesis,
    GenesisAccount,
    GenesisValidator,
    Rule,
    RuleKind,
    chain_id,
    genesis_header,
    make_genesis,
)
from photon_core.chain.keys import KeyPurpose, SigningKey, from_seed
from photon_core.chain.state_store import BlockResult
from photon_core.chain.state_tree import StateTree
from photon_core.chain.transactions import Transaction, build_transaction, decode_transaction
from photon_core.exchange import genesis as exchange_genesis
from photon_core.exchange.machine import Exchange
from photon_core.exchange.messages import MESSAGE, Message, Transfer
from photon_core.exchange.records import UPTN_PER_PTN
from photon_core.node import steps
from photon_core.node.core import NodeCore
from photon_core.node.executor import Executor
from photon_core.testing.exchange import FEE_FREE, GENESIS_TIME_MS, LowestPrice, MemoryState

VALIDATOR = from_seed(b"\x11" * 32, KeyPurpose.CONSENSUS)
VALIDATOR_NODE: NodeKey = b"\x01" * 32
"""How a `Network` calls the node that it adds first."""
RICH = from_seed(b"\x22" * 32, KeyPurpose.ACCOUNT)
"""Has 1 000 PTN in every genesis made here."""
HEAL_STEPS_MAX = 20_000
CRASHES_PER_STEP = 0.01
MakeEngine = Callable[[consensus.EngineContext], consensus.Engine]


class LoneEngine:
    """The least of engines that is worth testing with: commits whatever core proposes, one block after the other."""

    def __init__(self, context: consensus.EngineContext) -> None:
        self._leads = context.own_key is not None
        self._head: tuple[int, Hash] = (0, b"")

    def inspect(self, message: bytes) -> tuple[consensus.Claim, ...]:
        raise PeerProtocolError(f"no messages, and one of {len(message)} bytes came")

    def step(self, event: consensus.Event, now_ms: int) -> tuple[consensus.Effect, ...]:
        del now_ms
        match event:
            case consensus.Restored() | consensus.BlockFinal():
                self._head = (event.height, event.block_hash)
            case consensus.WorkWaiting() if self._leads:
                height, parent = self._head
                return (consensus.BuildProposal(height=height + 1, parent=parent),)
            case consensus.ProposalBuilt():
                return (consensus.Commit(header=event.proposal.header, block_hash=event.proposal.block_hash),)
        return ()


def node_genesis(*accounts: SigningKey, validator: SigningKey = VALIDATOR, name: str = "simulated") -> Genesis:
    """One validator, no fees, RICH and these accounts with 1 000 PTN each."""
    return make_genesis(
        name=name,
        time_ms=GENESIS_TIME_MS,
        rules=(
            Rule(kind=RuleKind.CONSENSUS, from_height=0, name="lone", version=1),
            Rule(kind=RuleKind.MARKET, from_height=0, name="lowest", version=1),
        ),
        validators=(GenesisValidator(key=validator.public, node_key=VALIDATOR_NODE, power=1, payee=RICH.address),),
        accounts=tuple(
            GenesisAccount(address=key.address, balance_uptn=1_000 * UPTN_PER_PTN) for key in (RICH, *accounts)
        ),
        parameters=exchange_genesis.genesis_parameters(FEE_FREE),
    )


def signed(
    identity: Hash, sequence: int, *messages: Message, key: SigningKey = RICH, fee_uptn: int = 0, expires: int = 5_000
) -> Transaction:
    plain: list[Any] = [MESSAGE.to_plain(message) for message in messages]
    raw = build_transaction(key.seed, identity, sequence, fee_uptn, expires, plain)
    return decode_transaction(raw, identity)


def transfer(identity: Hash, sequence: int, amount_uptn: int = 1, **given: Any) -> Transaction:
    """From RICH, unless `key` says otherwise, to nobody in particular."""
    return signed(identity, sequence, Transfer(to=b"\x77" * 20, amount_uptn=amount_uptn), **given)


class NodeState(MemoryState):
    """A state in memory for the node's executor, with the tree over it."""

    def __init__(self, genesis: Genesis) -> None:
        super().__init__()
        super().apply(exchange_genesis.initial_changes(genesis))
        self.tree = StateTree.build(genesis.state_depth, iter(self.scan(b"")))

    def apply(self, result: BlockResult) -> None:  # type: ignore[override]  # the node gives all of a block's result
        super().apply(result.changes)


@frozen
class Travelling:
    """On its way: an input for `to`, or a question that `to` answers to `sender`."""

    sender: NodeKey
    to: NodeKey
    content: steps.Input | steps.FetchBlocks


@define
class SimulatedNode:
    name: NodeKey
    genesis: Genesis
    key: SigningKey | None
    make_engine: MakeEngine = LoneEngine
    blocks: list[Block] = field(factory=list)
    certificates: list[Certificate] = field(factory=list)
    statements: dict[int, FinalityStatement] = field(factory=dict)
    todo: list[steps.Effect] = field(factory=list)
    outgoing: list[steps.Effect] = field(factory=list)
    answers: list[steps.Answer] = field(factory=list)
    published: list[steps.Publish] = field(factory=list)
    halts: list[str] = field(factory=list)
    chain_id: Hash = field(default=Factory(lambda self: chain_id(self.genesis), takes_self=True))
    core: NodeCore = field(init=False)
    state: NodeState = field(init=False)

    def start(self, now: steps.Now) -> None:
        """As after a crash: all that there is, is on the disk."""
        self.todo, self.outgoing, self.published = [], [], []
        self.state = NodeState(self.genesis)
        exchange = Exchange(self.state, genesis=self.genesis, market_for=lambda _rule: LowestPrice())
        executor = Executor(exchange, self.state)
        header = genesis_header(self.genesis)
        head = steps.Head(header=header, block_hash=block_hash(header), certificate=None)
        for block, certificate in zip(self.blocks, self.certificates, strict=False):
            executed = executor.execute(block.header, self._transactions(block))
            assert self.state.tree.update(executed.changes) == certificate.statement.state_root, "a replay differs"
            head = steps.Head(header=block.header, block_hash=block_hash(block.header), certificate=certificate)
        rest = self.blocks[len(self.certificates) :]
        uncertified = tuple((block, self._transactions(block)) for block in rest)
        validators, own_key = self.genesis.validator_set, None if self.key is None else self.key.public
        context = consensus.EngineContext(chain_id=self.chain_id, validators=validators, own_key=own_key, config=None)
        self.core = NodeCore(
            chain_id=self.chain_id,
            validators=validators,
            own_key=own_key,
            engine=self.make_engine(context),
            executor=executor,
            heartbeat_ms=exchange.parameters.heartbeat_ms,
            bound_ms=exchange.parameters.block_time_bound_ms,
        )
        self.handle(steps.Started(head=head, uncertified=uncertified), now)

    def handle(self, event: steps.Input, now: steps.Now) -> None:
        for effect in self.core.handle(event, now):
            match effect:
                case steps.Answer():
                    self.answers.append(effect)
                case steps.Publish():
                    self.published.append(effect)
                case steps.Halt():
                    self.halts.append(effect.reason)
                case steps.GossipTransactions() | steps.GossipHead() | steps.FetchBlocks():
                    self.outgoing.append(effect)
                case steps.SendStatement() | steps.ForgetRecords():
                    pass  # one validator tells nobody; `sim` has networks of many
                case _:
                    self.todo.append(effect)

    def finish(self, effect: steps.Effect, now: steps.Now) -> None:
        """The disk, the tree or the signer is done with it."""
        self.todo.remove(effect)
        self.handle(self._done(effect), now)

    def finish_all(self, now: steps.Now) -> None:
        while self.todo:
            self.finish(self.todo[0], now)

    def _done(self, effect: steps.Effect) -> steps.Input:
        match effect:
            case steps.WriteBlock(block=block, certificate=certificate):
                assert block.header.height == len(self.blocks) + 1, "the log has no gaps"
                self.blocks.append(block)
                self.certificates += [certificate] if certificate is not None else []
                return steps.BlockWritten(height=block.header.height)
            case steps.UpdateTree(height=height, changes=changes):
                return steps.TreeUpdated(height=height, state_root=self.state.tree.update(changes))
            case steps.SignStatement(statement=statement):
                assert self.key is not None, "a follower signs nothing"
                taken = self.statements.setdefault(statement.height, statement)
                assert taken == statement, f"two statements for height {statement.height}"
                return steps.StatementSigned(statement=statement, signature=sign_statement(self.key, statement))
            case steps.WriteCertificate(certificate=certificate):
                self.certificates.append(certificate)
                return steps.CertificateWritten(height=certificate.statement.height)
        raise AssertionError(f"{effect} is not done by a disk")

    def certified(self, from_height: int, count: int) -> tuple[steps.CertifiedBlock, ...]:
        """What this node would answer to a fetch."""
        pairs = list(zip(self.blocks, self.certificates, strict=False))[from_height - 1 : from_height - 1 + count]
        return tuple(
            steps.CertifiedBlock(block=block, transactions=self._transactions(block), certificate=certificate)
            for block, certificate in pairs
        )

    def roots(self) -> list[Hash]:
        """State roots by height, from block 1 on, as certified."""
        return [certificate.statement.state_root for certificate in self.certificates]

    def _transactions(self, block: Block) -> tuple[Transaction, ...]:
        return tuple(decode_transaction(raw, self.chain_id) for raw in block.transactions)


@frozen(kw_only=True)
class Faults:
    """Probabilities per step or message."""

    lost: float = 0.2
    doubled: float = 0.1
    crash: float = CRASHES_PER_STEP


NO_FAULTS = Faults(lost=0, doubled=0, crash=0)


class Network:
    """Cores that gossip to each other through a hat: what lies in it comes out in any order."""

    def __init__(self, seed: int, *accounts: SigningKey, make_engine: MakeEngine = LoneEngine) -> None:
        self.random = random.Random(seed)  # noqa: S311  # a replay, no secret
        self.genesis = node_genesis(*accounts)
        self.nodes: dict[NodeKey, SimulatedNode] = {}
        self.hat: list[Travelling] = []
        self.crashes = 0
        self._make_engine = make_engine
        self._ms = 0

    @property
    def now(self) -> steps.Now:
        return steps.Now(unix_ms=GENESIS_TIME_MS + self._ms, monotonic_ms=self._ms)

    def add(self, *, validator: bool = False) -> SimulatedNode:
        name = bytes([len(self.nodes) + 1]) * 32
        node = SimulatedNode(name, self.genesis, VALIDATOR if validator else None, self._make_engine)
        self.nodes[name] = node
        self._start(node)
        return node

    def submit(self, node: SimulatedNode, transactions: Sequence[Transaction], ticket: int) -> None:
        node.handle(steps.TransactionsArrived(transactions=tuple(transactions), ticket=ticket), self.now)

    def run(self, count: int, faults: Faults = NO_FAULTS) -> None:
        for _ in range(count):
            self.step(faults)

    def step(self, faults: Faults = NO_FAULTS) -> None:
        self._ms += self.random.randrange(0, 200)
        node = self.random.choice(list(self.nodes.values()))
        if self.random.random() < faults.crash:
            self.crashes += 1
            self._start(node)
        choices: list[Callable[[], None]] = [lambda: node.handle(steps.ClockTicked(), self.now)]
        if node.todo:
            choices.append(lambda: node.finish(self.random.choice(node.todo), self.now))
        if self.hat:
            choices.append(lambda: self._deliver(self.hat.pop(self.random.randrange(len(self.hat))), faults))
        self.random.choice(choices)()
        for each in self.nodes.values():
            self._post(each, faults)

    def heal(self) -> None:
        """Nothing fails any more; returns when everybody stands at one height with nothing left to do."""
        for node in self.nodes.values():
            self._start(node)  # links come up anew, as after a partition
        for _ in range(HEAL_STEPS_MAX):
            self.step()
            heights = {node.core.head_height for node in self.nodes.values()}
            if len(heights) == 1 and not self.hat and not any(node.todo for node in self.nodes.values()):
                return
        raise AssertionError(f"no agreement after {HEAL_STEPS_MAX} quiet steps: {heights}")

    def _start(self, node: SimulatedNode) -> None:
        node.start(self.now)
        for other in self.nodes.values():
            if other is not node:
                for one, two in ((node, other), (other, node)):
                    one.handle(steps.PeerVanished(peer=two.name), self.now)
                    one.handle(steps.PeerAppeared(peer=two.name), self.now)

    def _post(self, node: SimulatedNode, faults: Faults) -> None:
        outgoing, node.outgoing = node.outgoing, []
        for effect in outgoing:
            match effect:
                case steps.FetchBlocks(peer=peer):
                    self.hat.append(Travelling(node.name, peer, effect))
                case steps.GossipHead(height=height, only=only):
                    self._tell(node, steps.PeerHead(peer=node.name, height=height), only, None, faults)
                case steps.GossipTransactions(transactions=transactions, only=only, besides=besides):
                    told = steps.TransactionsArrived(transactions=transactions, source=node.name)
                    self._tell(node, told, only, besides, faults)

    def _tell(
        self, node: SimulatedNode, told: steps.Input, only: NodeKey | None, besides: NodeKey | None, faults: Faults
    ) -> None:
        for peer in self.nodes:
            wanted = peer == only if only is not None else peer not in {node.name, besides}
            if wanted and self.random.random() >= faults.lost:
                copies = 2 if self.random.random() < faults.doubled else 1
                self.hat += [Travelling(node.name, peer, told)] * copies

    def _deliver(self, message: Travelling, faults: Faults) -> None:
        if not isinstance(message.content, steps.FetchBlocks):
            self.nodes[message.to].handle(message.content, self.now)
            return
        fetch = message.content
        lost = self.random.random() < faults.lost
        found = () if lost else self.nodes[message.to].certified(fetch.from_height, fetch.count)
        answer = steps.BlocksArrived(peer=message.to, blocks=found, fetched=True)
        self.nodes[message.sender].handle(answer, self.now)
