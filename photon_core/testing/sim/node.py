"""One simulated node: a real core, engine and signer over a disk, a clock and links that a simulation gives it.

It is to a simulation what `photon_core.node.driver` is to the world: it begins effects and answers them with inputs. A
crash leaves nothing but the disk; a start makes everything anew out of it. A stopped node (SIGSTOP) is alive and does
nothing: what comes for it waits, and its disk finishes what was on its way.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol, assert_never

from attrs import define, field, frozen

from photon_core.api import consensus
from photon_core.api.chain import FinalityStatement, StatementSignature
from photon_core.api.consensus import EngineContext, Slot
from photon_core.api.errors import PhotonError
from photon_core.api.finality import block_hash
from photon_core.api.ids import ConsensusKey, Hash, NodeKey
from photon_core.chain.genesis import genesis_header
from photon_core.chain.keys import SigningKey
from photon_core.chain.transactions import Transaction, decode_transaction
from photon_core.node import steps
from photon_core.node.core import NodeCore
from photon_core.node.signer import Signer, SlotMemory
from photon_core.testing.exchange import GENESIS_TIME_MS

from .disk import Device, Disk, DiskSlots, WalEntry
from .executor import CountingMachine, ExchangeMachine, Machine
from .schedule import Schedule
from .setting import Setting

HEARTBEAT_MS = 1_000
TIME_BOUND_MS = 2_000
GATE_MS = 300
"""A signer's gate opens this long after a start at most: so long its start-up rule asks the other validators. What is
to be signed waits for it in the driver."""
BACKLOG_MAX = 20_000

MakeEngine = Callable[[EngineContext], consensus.Engine]


@frozen(kw_only=True)
class Parts:
    """What nodes are made of: tests put a part in another's place, to plant a bug."""

    engine: MakeEngine
    machine: Callable[..., Machine] = CountingMachine
    core: Callable[..., NodeCore] = NodeCore
    memory: Callable[[Disk], SlotMemory] = DiskSlots

    @property
    def real_exchange(self) -> bool:
        return self.machine is ExchangeMachine


class Surroundings(Protocol):
    """What a node needs of the simulation that it runs in."""

    def engine_stepped(self, node: Node, event: consensus.Event, effects: tuple[consensus.Effect, ...]) -> None: ...

    def begun(self, node: Node, effect: steps.Effect) -> None:
        """Effects that concern others: sent, asked for, answered, reported."""
        ...

    def synced(self, node: Node) -> None:
        """Something of it became durable a moment ago, and its core does not know yet."""
        ...


class WatchedEngine:
    """An engine, and somebody who looks on."""

    def __init__(self, engine: consensus.Engine, node: Node) -> None:
        self._engine, self._node = engine, node

    def inspect(self, message: bytes) -> tuple[consensus.Claim, ...]:
        return self._engine.inspect(message)

    def step(self, event: consensus.Event, now_ms: int) -> tuple[consensus.Effect, ...]:
        effects = self._engine.step(event, now_ms)
        self._node.surroundings.engine_stepped(self._node, event, effects)
        return effects


@define(eq=False)
class Node:
    """`host` is the validator's index; one that lies has several nodes behind one host."""

    host: int
    name: str
    setting: Setting
    parts: Parts
    schedule: Schedule
    dice: random.Random
    surroundings: Surroundings
    skew_ms: int = 0
    sync_ms: tuple[tuple[int, int], ...] = ((0, 3),) * 3
    """Of the log, the engine's write-ahead log, the signer's memory."""
    disk: Disk = field(factory=Disk)
    up: bool = False
    stopped: bool = False
    life: int = 0
    """How often it was started."""
    synced_tokens: set[int] = field(factory=set)
    """Of this life, as the disk has them: asked about, never iterated."""
    core: NodeCore = field(init=False)
    signer: Signer = field(init=False)
    _machine: Machine = field(init=False)
    _log: Device = field(init=False)
    _wal: Device = field(init=False)
    _slots: Device = field(init=False)
    _at_gate: list[Callable[[], steps.Input]] = field(factory=list)
    """What is to be signed once the gate is open."""
    _backlog: deque[Callable[[], None]] = field(factory=deque)
    started_at: int = 0
    """The head that it found on its disk."""
    _wake_at_ms: int = 0
    _tree_free_ms: int = 0

    def __attrs_post_init__(self) -> None:
        self._log, self._wal, self._slots = (Device(self.schedule, self.dice, sync_ms) for sync_ms in self.sync_ms)

    @property
    def key(self) -> SigningKey:
        return self.setting.keys[self.host]

    @property
    def node_key(self) -> NodeKey:
        return self.setting.node_keys[self.host]

    @property
    def now(self) -> steps.Now:
        ms = self.schedule.now_ms
        return steps.Now(unix_ms=GENESIS_TIME_MS + 1_000 + ms + self.skew_ms, monotonic_ms=ms)

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        assert not self.up
        self.up, self.stopped = True, False
        self.life += 1
        self.synced_tokens.clear()
        self._wake_at_ms = self._tree_free_ms = 0
        setting, disk = self.setting, self.disk
        self.signer = Signer(self.key, self.parts.memory(disk))
        self._machine = self.parts.machine(setting.genesis)
        validators = setting.genesis.validator_set
        context = EngineContext(
            chain_id=setting.chain_id,
            validators=validators,
            own_key=self.key.public,
            config=None,
            seed=self.dice.getrandbits(32),
        )
        self.core = self.parts.core(
            chain_id=setting.chain_id,
            validators=validators,
            own_key=self.key.public,
            engine=WatchedEngine(self.parts.engine(context), self),
            executor=self._machine.executor,
            heartbeat_ms=HEARTBEAT_MS,
            bound_ms=TIME_BOUND_MS,
        )
        head = self._replay()
        self.started_at = head.height
        rest = disk.blocks[head.height :]
        self._at_gate.clear()
        self.later(self.dice.randint(0, GATE_MS), self._open_gate)
        self.handle(
            steps.Started(
                head=head,
                engine_records=disk.records(),
                contents=tuple((block, self.transactions(block.transactions)) for block in disk.contents()),
                uncertified=tuple((block, self.transactions(block.transactions)) for block in rest),
            )
        )

    def _replay(self) -> steps.Head:
        header = genesis_header(self.setting.genesis)
        head = steps.Head(header=header, block_hash=block_hash(header), certificate=None)
        for block, certificate in zip(self.disk.blocks, self.disk.certificates, strict=False):
            executed = self._machine.executor.execute(block.header, self.transactions(block.transactions))
            root = self._machine.update(executed.changes)
            assert root == certificate.statement.state_root, f"{self.name}: a replay of {head.height + 1} differs"
            head = steps.Head(header=block.header, block_hash=block_hash(block.header), certificate=certificate)
        return head

    def crash(self, *, all_lost: bool) -> None:
        self.up = self.stopped = False
        self.life += 1
        self._backlog.clear()
        for device in (self._log, self._wal, self._slots):
            device.crash(all_lost=all_lost)
        self.signer.close()

    def stop(self) -> None:
        self.stopped = True

    def go_on(self) -> None:
        self.stopped = False
        while self._backlog and self.up and not self.stopped:
            self._backlog.popleft()()

    def later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """In this life, and not while it is stopped."""
        self.schedule.after(delay_ms, partial(self.in_life, self.life, action))

    def in_life(self, life: int, action: Callable[[], None]) -> None:
        if life != self.life:
            return
        if not self.stopped:
            action()
        elif len(self._backlog) < BACKLOG_MAX:
            self._backlog.append(action)

    # --- in and out ----------------------------------------------------------------------------------------------

    def take(self, event: steps.Input) -> None:
        """Something from outside comes to it now: lost when it is down, kept while it is stopped."""
        if self.up:
            self.in_life(self.life, partial(self.handle, event))

    def handle(self, event: steps.Input) -> None:
        life = self.life
        for effect in self.core.handle(event, self.now):
            if life != self.life:
                return  # it was killed in the midst of its effects
            self._begin(effect)
        if life == self.life:
            self._set_alarm()

    def _set_alarm(self) -> None:
        now_ms = self.schedule.now_ms
        at_ms = now_ms + self.core.wake_in_ms(self.now)
        if now_ms < self._wake_at_ms <= at_ms:
            return  # it is woken before, and asked again then
        self._wake_at_ms = at_ms
        self.later(at_ms - now_ms, partial(self._alarm, at_ms))

    def _alarm(self, at_ms: int) -> None:
        if at_ms == self._wake_at_ms:
            self._wake_at_ms = 0
            self.handle(steps.ClockTicked())

    def _begin(self, effect: steps.Effect) -> None:
        match effect:
            case steps.WriteBlock(block=block, certificate=certificate):
                name = block_hash(block.header)
                self._write(
                    self._log,
                    partial(self.disk.append_block, block, name, certificate),
                    steps.BlockWritten(height=block.header.height),
                )
            case steps.WriteCertificate(certificate=certificate):
                self._write(
                    self._log,
                    partial(self.disk.append_certificate, certificate),
                    steps.CertificateWritten(height=certificate.statement.height),
                )
            case steps.PersistRecords(token=token, height=height, records=records, blocks=blocks):
                entry = WalEntry(token, height, records, blocks)
                self._write(self._wal, partial(self._persist, entry), steps.RecordsPersisted(token=token))
            case steps.ForgetRecords(below_height=below):
                self._wal.write(partial(self.disk.forget, below), lambda _: None)
            case steps.UpdateTree():
                self._update_tree(effect)
            case steps.SignStatement(statement=statement):
                self._sign(partial(self._sign_statement, statement))
            case steps.SignSlot(slot=slot, message=message, round_floor=floor):
                self._sign(partial(self._sign_slot, slot, message, floor))
            case steps.Publish(block=block):
                self.signer.raise_mark(block.header.height)
                self.surroundings.begun(self, effect)
            case (
                steps.Answer()
                | steps.SendStatement()
                | steps.SendMessage()
                | steps.FetchContent()
                | steps.NoteEvidence()
                | steps.GossipTransactions()
                | steps.GossipHead()
                | steps.FetchBlocks()
                | steps.Halt()
            ):
                self.surroundings.begun(self, effect)
            case _:
                assert_never(effect)

    # --- the disk, the tree, the signer --------------------------------------------------------------------------

    def _write(self, device: Device, apply: Callable[[], None], answer: steps.Input) -> None:
        device.write(apply, lambda _: self._done(answer))

    def _done(self, answer: steps.Input) -> None:
        self.surroundings.synced(self)  # which may crash it just here
        self.take(answer)

    def _persist(self, entry: WalEntry) -> None:
        self.disk.persist(entry)
        self.synced_tokens.add(entry.token)

    def _update_tree(self, effect: steps.UpdateTree) -> None:
        now_ms = self.schedule.now_ms
        self._tree_free_ms = max(self._tree_free_ms, now_ms) + self.dice.randint(0, 2)
        self.later(self._tree_free_ms - now_ms, partial(self._tree_updated, effect))

    def _tree_updated(self, effect: steps.UpdateTree) -> None:
        root = self._machine.update(effect.changes)
        self.handle(steps.TreeUpdated(height=effect.height, state_root=root))

    def _open_gate(self) -> None:
        self.signer.open_gate()
        waiting, self._at_gate = self._at_gate, []
        for sign in waiting:
            self._sign(sign)

    def _sign(self, sign: Callable[[], steps.Input]) -> None:
        if self.signer.is_open:
            self._slots.write(sign, self._done)
        else:
            self._at_gate.append(sign)

    def _sign_statement(self, statement: FinalityStatement) -> steps.Input:
        try:
            signature = self.signer.sign_statement(statement)
        except PhotonError as error:
            return steps.SigningRefused(height=statement.height, reason=str(error), abstains=error.code == "abstaining")
        return steps.StatementSigned(statement=statement, signature=signature)

    def _sign_slot(self, slot: Slot, message: bytes, floor: int) -> steps.Input:
        try:
            signature = self.signer.sign(slot, message, floor)
        except PhotonError as error:
            return steps.SlotRefused(slot=slot, reason=str(error))
        return steps.SlotSigned(slot=slot, signature=signature)

    # --- what others ask of it -----------------------------------------------------------------------------------

    def certified(self, from_height: int, count: int) -> tuple[steps.CertifiedBlock, ...]:
        pairs = list(zip(self.disk.blocks, self.disk.certificates, strict=False))[from_height - 1 :][:count]
        return tuple(
            steps.CertifiedBlock(
                block=block, transactions=self.transactions(block.transactions), certificate=certificate
            )
            for block, certificate in pairs
        )

    def content(self, name: Hash, ids: tuple[Hash, ...] | None) -> tuple[Transaction, ...] | None:
        found = self.core.content(name, ids)
        return None if found is None else self.transactions(found)

    def statement_arrived(self, statement: FinalityStatement, signature: StatementSignature) -> None:
        self.take(steps.StatementArrived(statement=statement, signature=signature))

    def message_arrived(self, sender: ConsensusKey, message: bytes) -> None:
        self.take(steps.MessageArrived(sender=sender, message=message))

    def transactions(self, raw: tuple[bytes, ...]) -> tuple[Transaction, ...]:
        return tuple(_decoded(one, self.setting.chain_id) for one in raw)


_DECODED: dict[bytes, Transaction] = {}
_DECODED_MAX = 10_000


def _decoded(raw: bytes, chain_id: Hash) -> Transaction:
    """Each once: a dozen nodes read the same block, and transactions are values."""
    if (known := _DECODED.get(raw)) is None:
        if len(_DECODED) >= _DECODED_MAX:
            _DECODED.clear()
        known = _DECODED[raw] = decode_transaction(raw, chain_id)
    return known
