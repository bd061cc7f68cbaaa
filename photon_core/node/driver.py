"""The driver of a node's core, on trio: it gives time, disk, threads and links, and decides nothing.

One task steps the core, input by input, and begins its effects; each slow effect is a task of its own that ends by
putting an input. Inputs of peers may be dropped when too many wait (they are told again); results never are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from itertools import count
from typing import assert_never

import trio
from attrs import define, field

from photon_core.api.errors import CodecError, LocalProtocolError, PeerProtocolError
from photon_core.api.ids import Hash, NodeKey
from photon_core.api.transport import Channel, LinkDown, LinkUp, Standing
from photon_core.chain.transactions import Transaction, decode_transaction
from photon_core.peers.errors import PeersError
from photon_core.peers.requests import Peers, no_strangers

from . import blocksync, gossip, steps
from .core import NodeCore
from .feed import Feed
from .mempool import Refusal
from .observers import Observers
from .signer import Signer, SlotTaken
from .storage import FLUSH_KEYS, Storage
from .verifier import Verifier
from .views import BlockEvents, Submitted, all_events

log = logging.getLogger(__name__)

INPUTS_WAITING_MAX = 4_096
GOSSIP_WAITING_MAX = 256
"""Frames of gossip that wait for verification, some tens of MB at most."""
FETCH_TIMEOUT_S = 10.0
FLUSH_EVERY_S = 1.0
INLINE_CHANGES_MAX = 64
"""So few changes of the tree (half a millisecond) are not worth a thread."""


@define
class Driver:
    core: NodeCore
    storage: Storage
    peers: Peers
    signer: Signer | None
    feed: Feed
    observers: Observers
    verifier: Verifier = field(factory=Verifier)
    _tickets: count[int] = field(factory=count)
    _answers: dict[int, tuple[trio.Event, list[tuple[Refusal | None, ...]]]] = field(factory=dict)
    _send: trio.MemorySendChannel[steps.Input] = field(init=False)
    _receive: trio.MemoryReceiveChannel[steps.Input] = field(init=False)
    _gossip_in: trio.MemorySendChannel[tuple[NodeKey, bytes]] = field(init=False)
    _gossip_out: trio.MemoryReceiveChannel[tuple[NodeKey, bytes]] = field(init=False)
    _nursery: trio.Nursery = field(init=False)
    _flush_now: trio.Event = field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[steps.Input](INPUTS_WAITING_MAX)
        self._gossip_in, self._gossip_out = trio.open_memory_channel[tuple[NodeKey, bytes]](GOSSIP_WAITING_MAX)
        self.peers.on_frame(Channel.GOSSIP, self._gossip_arrived)
        self.peers.on_link(self._link_changed)
        self.peers.serve(blocksync.METHOD, self._serve_blocks, allow=no_strangers, concurrency_per_peer=2)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; the state is flushed at the end whatever happens."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._verify_gossip)
                self._nursery.start_soon(self._flush_often)
                self._nursery.start_soon(self.observers.run)
                if self.signer is not None:
                    self.signer.raise_mark(self.storage.head.height)
                self._step(self.storage.started())
                task_status.started()
                await self._step_for_ever()
        finally:
            self.storage.flush()

    async def _step_for_ever(self) -> None:
        while True:
            event: steps.Input = steps.ClockTicked()
            with trio.move_on_after(self.core.wake_in_ms(_now()) / 1000):
                event = await self._receive.receive()
            self._step(event)

    def _step(self, event: steps.Input) -> None:
        for effect in self.core.handle(event, _now()):
            self._begin(effect)

    def _begin(self, effect: steps.Effect) -> None:
        match effect:
            case steps.Answer():
                self._answer(effect)
            case steps.WriteBlock():
                self._nursery.start_soon(self._write_block, effect)
            case steps.UpdateTree():
                self._nursery.start_soon(self._update_tree, effect)
            case steps.SignStatement():
                self._nursery.start_soon(self._sign, effect)
            case steps.WriteCertificate():
                self._nursery.start_soon(self._write_certificate, effect)
            case steps.Publish():
                self._publish(effect)
            case steps.GossipTransactions():
                self._tell(gossip.transaction_frames(effect.transactions), effect.only, effect.besides)
            case steps.GossipHead():
                self._tell([gossip.head_frame(effect.height)], effect.only)
            case steps.FetchBlocks():
                self._nursery.start_soon(self._fetch, effect)
            case steps.Halt():
                log.critical("this node takes no more blocks: %s", effect.reason)
                self.storage.note_halt(effect.reason)
            case (
                steps.SendStatement()
                | steps.SendMessage()
                | steps.SignSlot()
                | steps.PersistRecords()
                | steps.ForgetRecords()
                | steps.FetchContent()
                | steps.NoteEvidence()
            ):
                raise LocalProtocolError(f"{type(effect).__name__}: this driver cannot do that yet")
            case _:
                assert_never(effect)

    # --- the disk, the tree, the signer --------------------------------------------------------------------------

    async def _write_block(self, effect: steps.WriteBlock) -> None:
        await trio.to_thread.run_sync(self.storage.write_block, effect.block, effect.certificate)
        await self._send.send(steps.BlockWritten(height=effect.block.header.height))

    async def _update_tree(self, effect: steps.UpdateTree) -> None:
        if len(effect.changes) <= INLINE_CHANGES_MAX:
            root = self.storage.update_tree(effect.changes)
        else:
            root = await trio.to_thread.run_sync(self.storage.update_tree, effect.changes)
        await self._send.send(steps.TreeUpdated(height=effect.height, state_root=root))

    async def _sign(self, effect: steps.SignStatement) -> None:
        assert self.signer is not None, "core asks for signatures only with a key of its own"
        answer: steps.Input
        try:
            signature = await trio.to_thread.run_sync(self.signer.sign_statement, effect.statement)
        except SlotTaken as error:
            answer = steps.SigningRefused(height=effect.statement.height, reason=str(error))
        else:
            answer = steps.StatementSigned(statement=effect.statement, signature=signature)
        await self._send.send(answer)

    async def _write_certificate(self, effect: steps.WriteCertificate) -> None:
        await trio.to_thread.run_sync(self.storage.write_certificate, effect.certificate)
        await self._send.send(steps.CertificateWritten(height=effect.certificate.statement.height))

    def _publish(self, effect: steps.Publish) -> None:
        self.storage.publish(effect)
        if self.signer is not None:
            self.signer.raise_mark(effect.block.header.height)
        if self.storage.view.unflushed_keys > FLUSH_KEYS:
            self._flush_now.set()
        block = BlockEvents(
            height=effect.block.header.height,
            block_hash=effect.block_hash,
            time_ms=effect.block.header.time_ms,
            market_ms=effect.market_ms,
            events=all_events(effect.begin_events, effect.receipts),
        )
        self.feed.publish(block, effect.receipts)
        self.observers.published(effect)

    async def _flush_often(self) -> None:
        view = self.storage.view
        while True:
            with trio.move_on_after(FLUSH_EVERY_S):
                await self._flush_now.wait()
            self._flush_now = trio.Event()
            if finished := view.finished():
                await trio.to_thread.run_sync(self.storage.store.put, finished)
                view.flushed(finished[-1].height)

    # --- transactions --------------------------------------------------------------------------------------------

    async def submit(self, raw: Sequence[bytes], wait_s: float) -> tuple[Submitted, ...]:
        """Form, signature, mempool, and with `wait_s` the block: one answer for each, in order."""
        deadline = trio.current_time() + wait_s
        answers: list[Submitted | None] = [None] * len(raw)
        well_formed: list[tuple[int, Transaction]] = []
        for index, one in enumerate(raw):
            try:
                well_formed.append((index, decode_transaction(one, self.core.chain_id)))
            except CodecError as error:
                answers[index] = _refused(bytes(32), Refusal("malformed", str(error)[:400]))
        good = await self.verifier.transactions([t for _, t in well_formed])
        signed = [(index, t) for (index, t), valid in zip(well_formed, good, strict=True) if valid]
        for (index, t), valid in zip(well_formed, good, strict=True):
            if not valid:
                answers[index] = _refused(t.id, Refusal("bad-signature", "the signature is not the sender key's"))
        refusals = await self._admit([t for _, t in signed]) if signed else ()
        for (index, t), refusal in zip(signed, refusals, strict=True):
            if refusal is not None:
                answers[index] = await self._known_or_refused(t.id, refusal, deadline - trio.current_time())
            else:
                answers[index] = await self._outcome(t.id, deadline - trio.current_time())
        return tuple(answer for answer in answers if answer is not None)

    async def _admit(self, transactions: Sequence[Transaction]) -> tuple[Refusal | None, ...]:
        ticket, event, box = next(self._tickets), trio.Event(), list[tuple[Refusal | None, ...]]()
        self._answers[ticket] = (event, box)
        try:
            await self._send.send(steps.TransactionsArrived(transactions=tuple(transactions), ticket=ticket))
            await event.wait()
        finally:
            del self._answers[ticket]
        return box[0]

    def _answer(self, effect: steps.Answer) -> None:
        if effect.ticket in self._answers:  # else the client has left
            event, box = self._answers[effect.ticket]
            box.append(effect.refusals)
            event.set()

    async def _known_or_refused(self, transaction_id: Hash, refusal: Refusal, wait_s: float) -> Submitted:
        """A transaction that is in a block already is not refused for its old sequence when it is sent again."""
        if self.core.is_waiting(transaction_id):
            return await self._outcome(transaction_id, wait_s)
        done = self.feed.outcome(transaction_id)
        if done is None:
            done = await trio.to_thread.run_sync(self.storage.archive.outcome, transaction_id)
        if done is None:
            return _refused(transaction_id, refusal)
        return Submitted(id=transaction_id, status="committed", height=done[0], receipt=done[1])

    async def _outcome(self, transaction_id: Hash, wait_s: float) -> Submitted:
        done = await self.feed.wait_outcome(transaction_id, wait_s) if wait_s > 0 else None
        if done is None:
            return Submitted(id=transaction_id, status="pending", height=None, receipt=None)
        return Submitted(id=transaction_id, status="committed", height=done[0], receipt=done[1])

    # --- peers ---------------------------------------------------------------------------------------------------

    def _link_changed(self, event: LinkUp | LinkDown) -> None:
        match event:
            case LinkUp() if event.link.standing is not Standing.STRANGER:
                self._post(steps.PeerAppeared(peer=event.link.peer))
            case LinkDown():
                self._post(steps.PeerVanished(peer=event.peer))
            case _:
                pass

    def _post(self, event: steps.Input) -> None:
        try:
            self._send.send_nowait(event)
        except trio.WouldBlock:
            self._nursery.start_soon(self._send.send, event)

    def _tell(self, frames: Iterable[bytes], only: NodeKey | None, besides: NodeKey | None = None) -> None:
        gossip.tell(
            self.peers.transport,
            [
                link.peer
                for link in self.peers.transport.links()
                if (link.peer == only if only is not None else link.peer != besides)
                and Channel.GOSSIP in link.standing.channels
            ],
            frames,
        )

    def _gossip_arrived(self, peer: NodeKey, frame: bytes) -> None:
        try:
            self._gossip_in.send_nowait((peer, frame))
        except trio.WouldBlock:
            log.debug("gossip of %s dropped: %d frames wait", peer.hex()[:16], GOSSIP_WAITING_MAX)

    async def _verify_gossip(self) -> None:
        async for peer, frame in self._gossip_out:
            try:
                match gossip.decode_frame(frame, self.core.chain_id):
                    case gossip.HeadMessage(height):
                        await self._send.send(steps.PeerHead(peer=peer, height=height))
                    case gossip.TransactionsMessage(transactions):
                        if not all(await self.verifier.transactions(transactions)):
                            raise PeerProtocolError("gossip: a transaction with a bad signature")
                        await self._send.send(steps.TransactionsArrived(transactions=transactions, source=peer))
            except PeerProtocolError as error:
                self._drop(peer, error)

    def _drop(self, peer: NodeKey, error: PeerProtocolError) -> None:
        log.warning("peer %s dropped: %s", peer.hex()[:16], error)
        self.peers.transport.drop(peer, str(error))

    async def _fetch(self, effect: steps.FetchBlocks) -> None:
        blocks: tuple[steps.CertifiedBlock, ...] = ()
        try:
            plain = await self.peers.call(
                effect.peer,
                blocksync.METHOD,
                [effect.from_height, effect.count],
                timeout_s=FETCH_TIMEOUT_S,
                max_reply_bytes=blocksync.ANSWER_BYTES_MAX,
                channel=Channel.BULK,
            )
            blocks = await blocksync.check(plain, effect, self.core.validators, self.core.chain_id, self.verifier)
        except PeerProtocolError as error:
            self._drop(effect.peer, error)
        except PeersError as error:
            log.info("blocks from %s: %s", effect.peer.hex()[:16], error)
        await self._send.send(steps.BlocksArrived(peer=effect.peer, blocks=blocks, fetched=True))

    async def _serve_blocks(self, _peer: NodeKey, params: object) -> list[list[bytes]]:
        async def read(height: int) -> tuple[bytes, bytes] | None:
            return await trio.to_thread.run_sync(self.storage.archive.certified_bytes, height)

        return await blocksync.answer(params, read)


def _now() -> steps.Now:
    return steps.Now(unix_ms=time.time_ns() // 1_000_000, monotonic_ms=time.monotonic_ns() // 1_000_000)


def _refused(transaction_id: Hash, refusal: Refusal) -> Submitted:
    return Submitted(
        id=transaction_id, status="refused", code=refusal.code, reason=refusal.reason, height=None, receipt=None
    )
