"""A network of simulated nodes: who can reach whom, what is on the wire, who looks on. Faults are somebody else's.

A host is a validator as the others see it. Behind an honest one is one node. Behind one that lies are several, each an
honest node by itself with the same key, a disk and a signer of its own: whatever they say together, two proposals for
one slot, two votes, promises and their breach, is what a validator can say that lies with its own key. (So it is done
in "Twins", Bano and others, 2020: nothing of an engine must be known for it.) `Host.hears` and `Host.tells` say which
of its nodes deals with which peer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from attrs import define, field

from photon_core.api import consensus
from photon_core.api.consensus import Claim
from photon_core.api.errors import PeerProtocolError
from photon_core.api.ids import ConsensusKey
from photon_core.chain.genesis import genesis_header
from photon_core.chain.transactions import Transaction
from photon_core.node import steps

from .checkers import Checkers, Violation
from .clients import Clients
from .disk import FAST_SYNC_MS, SLOW_SYNC_MS
from .links import Channel, Links
from .node import Node, Parts
from .quorum import QuorumWatch
from .schedule import Schedule
from .setting import Setting
from .trace import Trace

FETCH_TIMEOUT_MS = 2_000
DIAL_MS = (1, 60)
SKEW_MS_MAX = 300
"""Of each clock, either way: well within the chain's bound for block times, as operators must keep it."""
SEEN_MAX = 100_000
"""Messages whose claims are remembered."""

SyncMs = tuple[tuple[int, int], ...]
Censor = Callable[[int, int, Sequence[Claim]], bool]
"""(sender, receiver, claims): whether this frame of an engine is lost."""


@define(eq=False)
class Host:
    index: int
    nodes: list[Node]
    hears: dict[tuple[int, int], bool] = field(factory=dict)
    """(node, peer): whether that node gets what the peer sends. So it is, where nothing is said."""
    tells: dict[tuple[int, int], bool] = field(factory=dict)

    @property
    def lies(self) -> bool:
        return len(self.nodes) > 1

    @property
    def up(self) -> bool:
        return self.nodes[0].up

    def ears(self, peer: int) -> list[Node]:
        return [node for i, node in enumerate(self.nodes) if node.up and self.hears.get((i, peer), True)]


@define(eq=False)
class _Request:
    answered: bool = False


class Simulation:
    def __init__(
        self,
        setting: Setting,
        parts: Parts,
        dice: random.Random,
        *,
        liars: Sequence[int] = (),
        clients: int = 4,
        sync_ms: SyncMs | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.setting, self.trace = setting, trace
        self.schedule = Schedule()
        self.dice = dice
        self.links = Links(len(setting.keys), self.schedule, dice, self._link_changed)
        self.checkers = Checkers(
            validators=setting.genesis.validator_set,
            chain_id=setting.chain_id,
            genesis=genesis_header(setting.genesis),
            liars=frozenset(setting.keys[i].public for i in liars),
        )
        self._sync_ms = sync_ms or (draw_sync_ms(dice) if dice.random() < 0.7 else None)
        self.hosts = [Host(i, self._nodes(i, parts, 2 if i in liars else 1)) for i in range(len(setting.keys))]
        self.clients = Clients(setting.clients[:clients], setting.chain_id, self.schedule, dice, self._submit)
        self.quorum = QuorumWatch(self.links, self.hosts, setting.powers)
        self.censor: Censor | None = None
        self.on_synced: Callable[[Node], None] = lambda _: None
        self.on_round_closed: Callable[[Node], None] = lambda _: None
        self.on_committed: Callable[[Node], None] = lambda _: None
        self.last_proposer = 0
        self.heads: dict[str, int] = {node.name: 0 for node in self.nodes()}
        self._index = {key.public: i for i, key in enumerate(setting.keys)}
        self._host_of = {node_key: i for i, node_key in enumerate(setting.node_keys)}
        self._claims: dict[bytes, tuple[Claim, ...] | str] = {}
        self._promised: dict[tuple[str, int, bytes], int] = {}
        """(node, life, message) → the token that it waits for."""

    def _nodes(self, host: int, parts: Parts, count: int) -> list[Node]:
        return [
            Node(
                host=host,
                name=f"n{host}" + ("" if count == 1 else "'" * (i + 1)),
                setting=self.setting,
                parts=parts,
                schedule=self.schedule,
                dice=self.dice,
                surroundings=self,
                sync_ms=self._sync_ms or draw_sync_ms(self.dice),
                skew_ms=self.dice.randint(-SKEW_MS_MAX, SKEW_MS_MAX),
            )
            for i in range(count)
        ]

    def nodes(self) -> list[Node]:
        return [node for host in self.hosts for node in host.nodes]

    def honest(self) -> list[Node]:
        return [host.nodes[0] for host in self.hosts if not host.lies]

    def tell(self, who: str, what: str) -> None:
        if self.trace is not None:
            self.trace.line(self.schedule.now_ms, who, what)

    # --- hosts ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        for host in self.hosts:
            self.boot(host)
        self.clients.start()

    def boot(self, host: Host) -> None:
        self.tell(host.nodes[0].name, "--- starts")
        self.quorum.disturbed(self.schedule.now_ms)
        for node in host.nodes:
            node.start()
            self._found_on_disk(node)
        for peer in self.hosts:
            self.dial(host.index, peer.index)
        self.quorum.changed(self.schedule.now_ms)

    def _found_on_disk(self, node: Node) -> None:
        """Blocks that are final there, of which it had no time to tell before it crashed: clients ask for outcomes."""
        before, self.heads[node.name] = self.heads[node.name], node.started_at
        if not self.hosts[node.host].lies:
            for block in node.disk.blocks[before : node.started_at]:
                ids = tuple(t.id for t in node.transactions(block.transactions))
                self.clients.published(ids, block.header.height)

    def crash(self, host: Host, *, all_lost: bool = False) -> None:
        """Process and machine: what is not synced is lost, or, unless `all_lost`, came through after all."""
        self.tell(host.nodes[0].name, "--- crashes")
        for peer in self.hosts:
            if peer is not host:
                self.links.disconnect(host.index, peer.index)
        for node in host.nodes:
            node.crash(all_lost=all_lost)
        self.quorum.changed(self.schedule.now_ms)

    def dial(self, one: int, two: int) -> None:
        if one != two:
            self.schedule.after(self.dice.randint(*DIAL_MS), partial(self._connect, one, two))

    def _connect(self, one: int, two: int) -> None:
        if self.hosts[one].up and self.hosts[two].up:
            self.links.connect(one, two)

    def _link_changed(self, host: int, peer: int, up: bool) -> None:
        node_key = self.setting.node_keys[peer]
        event: steps.Input = (
            steps.PeerAppeared(peer=node_key, validator=self.setting.keys[peer].public)
            if up
            else steps.PeerVanished(peer=node_key)
        )
        for node in self.hosts[host].nodes:
            node.take(event)
        self.quorum.changed(self.schedule.now_ms)

    def _submit(self, transactions: tuple[Transaction, ...]) -> None:
        """To a random node, as a client's HTTP does; it may be down."""
        node = self.dice.choice(self.dice.choice(self.hosts).nodes)
        node.take(steps.TransactionsArrived(transactions=transactions, ticket=0))

    # --- what nodes do -------------------------------------------------------------------------------------------

    def engine_stepped(self, node: Node, event: consensus.Event, effects: tuple[consensus.Effect, ...]) -> None:
        if self.trace is not None:
            self.trace.stepped(self.schedule.now_ms, node.name, event, effects)
        honest = not self.hosts[node.host].lies
        if isinstance(event, consensus.ProposalBuilt):
            self.last_proposer = node.host
        for effect in effects:
            match effect:
                case consensus.Commit(header=header) if honest and len(self.hosts) > 1:
                    # of one alone, what was not written never was; of several, others may know of it already
                    self.quorum.committed(header.height, self.schedule.now_ms)
                    if header.height not in self.checkers.chain:
                        self.on_committed(node)
                    self.checkers.committed(node.name, header)
                case consensus.SendAfter(token=token, message=message):
                    self._promised[node.name, node.life, message] = token
                case consensus.Sign(statement=statement, round_floor=floor) if floor:
                    self.checkers.floors[node.key.public, statement] = floor
                    self.on_round_closed(node)

    def synced(self, node: Node) -> None:
        self.on_synced(node)

    def begun(self, node: Node, effect: steps.Effect) -> None:
        match effect:
            case steps.SendMessage(message=message, to=to):
                self._send_message(node, message, to)
            case steps.SendStatement():
                self._send_statement(node, effect)
            case steps.GossipTransactions() | steps.GossipHead():
                self._gossip(node, effect)
            case steps.FetchBlocks():
                self._fetch_blocks(node, effect)
            case steps.FetchContent():
                self._fetch_content(node, effect)
            case steps.Publish():
                self._published(node, effect)
            case steps.NoteEvidence(first=first):
                self._accused(node, first.key)
            case steps.Halt(reason=reason):
                if not self.hosts[node.host].lies:
                    raise Violation(f"halt: {node.name} stopped: {reason}")
            case steps.Answer():
                pass  # who was refused asks another node
            case _:
                raise AssertionError(f"{effect} concerns no others")

    def _accused(self, node: Node, key: ConsensusKey) -> None:
        if not self.hosts[node.host].lies and key not in self.checkers.liars:
            raise Violation(f"evidence: {node.name} accuses v{self._index[key]}, which is honest")

    def _published(self, node: Node, effect: steps.Publish) -> None:
        height = effect.block.header.height
        before, self.heads[node.name] = self.heads[node.name], height
        if self.hosts[node.host].lies:
            return
        self.quorum.committed(height, self.schedule.now_ms)
        self.checkers.published(node.name, before, height, effect, node.disk)
        self.clients.published(effect.transaction_ids, height)

    # --- the wire ------------------------------------------------------------------------------------------------

    def _peers(self, node: Node, only: bytes | None = None) -> list[int]:
        chosen = range(len(self.hosts)) if only is None else [self._host_of[only]]
        return [peer for peer in chosen if peer != node.host]

    def _validators(self, node: Node, to: ConsensusKey | None) -> list[int]:
        chosen = range(len(self.hosts)) if to is None else [self._index[to]]
        return [peer for peer in chosen if peer != node.host]

    def _send(self, node: Node, peer: int, channel: Channel, event: steps.Input) -> None:
        host = self.hosts[node.host]
        if host.lies and not host.tells.get((host.nodes.index(node), peer), True):
            return
        self.links.send(node.host, peer, channel, partial(self._arrives, node.host, peer, event))

    def _arrives(self, sender: int, peer: int, event: steps.Input) -> None:
        for node in self.hosts[peer].ears(sender):
            node.take(event)

    def _send_statement(self, node: Node, effect: steps.SendStatement) -> None:
        if not self.hosts[node.host].lies:
            self.checkers.stated(node.name, effect.statement, effect.signature, node.disk)
        told = steps.StatementArrived(statement=effect.statement, signature=effect.signature)
        for peer in self._validators(node, effect.to):
            self._send(node, peer, Channel.CONSENSUS, told)

    def _send_message(self, node: Node, message: bytes, to: ConsensusKey | None) -> None:
        claims = self._inspect(node, message)
        if not self.hosts[node.host].lies:
            if isinstance(claims, str):
                raise Violation(f"form: {node.name} sends what the others refuse: {claims}")
            token = self._promised.get((node.name, node.life, message))
            if token is not None and token not in node.synced_tokens:
                raise Violation(f"durability: {node.name} sends what must wait for #{token}, which is not synced")
            self.checkers.said(node.name, node.key.public, claims, node.disk)
        if isinstance(claims, str) or not all(map(self.checkers.signatures.valid, claims)):
            return  # a liar's, which every driver would drop
        told = steps.MessageArrived(sender=node.key.public, message=message)
        for peer in self._validators(node, to):
            if self.censor is None or not self.censor(node.host, peer, claims):
                self._send(node, peer, Channel.CONSENSUS, told)

    def _inspect(self, node: Node, message: bytes) -> tuple[Claim, ...] | str:
        """Pure, and the same at every node: once for each message, as all get the same bytes."""
        if (known := self._claims.get(message)) is None:
            if len(self._claims) >= SEEN_MAX:
                self._claims.clear()
            try:
                known = node.core.engine.inspect(message)
            except PeerProtocolError as error:
                known = str(error)
            self._claims[message] = known
        return known

    def _gossip(self, node: Node, effect: steps.GossipTransactions | steps.GossipHead) -> None:
        event: steps.Input
        if isinstance(effect, steps.GossipHead):
            if effect.followers:  # here are validators only
                return
            event, besides = steps.PeerHead(peer=node.node_key, height=effect.height), None
        else:
            event = steps.TransactionsArrived(transactions=effect.transactions, source=node.node_key)
            besides = effect.besides
        for peer in self._peers(node, effect.only):
            if self.setting.node_keys[peer] != besides:
                self._send(node, peer, Channel.GOSSIP, event)

    def _fetch_blocks(self, node: Node, effect: steps.FetchBlocks) -> None:
        def answer(peer: Node | None) -> steps.Input:
            blocks = () if peer is None else peer.certified(effect.from_height, effect.count)
            return steps.BlocksArrived(peer=effect.peer, blocks=blocks, fetched=True)

        self._request(node, self._host_of[effect.peer], answer)

    def _fetch_content(self, node: Node, effect: steps.FetchContent) -> None:
        name = effect.block_hash

        def answer(peer: Node | None) -> steps.Input:
            found = None if peer is None else peer.content(name, effect.transaction_ids)
            return steps.ContentArrived(block_hash=name, transactions=found)

        self._request(node, self._index[effect.validator], answer)

    def _request(self, node: Node, peer: int, answer: Callable[[Node | None], steps.Input]) -> None:
        """`answer` of the peer's node, when it gets there and comes back; of None else."""
        request = _Request()

        def finish(event: steps.Input) -> None:
            if not request.answered:
                request.answered = True
                node.handle(event)

        life = node.life

        def serve() -> None:
            asked = self.hosts[peer].ears(node.host)
            if not asked:
                return
            server = self.dice.choice(asked)
            server.later(0, lambda: give(server))

        def give(server: Node) -> None:
            told = answer(server)
            self.links.send(peer, node.host, Channel.REQUESTS, lambda: node.in_life(life, partial(finish, told)))

        if not self.links.send(node.host, peer, Channel.REQUESTS, serve):
            node.later(1, partial(finish, answer(None)))
        node.later(FETCH_TIMEOUT_MS, lambda: finish(answer(None)))


def draw_sync_ms(dice: random.Random) -> SyncMs:
    """For the three devices of a node: often one of them is slower than the others."""
    slow, fast = dice.choice(SLOW_SYNC_MS), dice.choice(FAST_SYNC_MS)
    which = dice.choice([0, 1, 1, 2, 3])
    return tuple(slow if which in {one, 3} else fast for one in range(3))
