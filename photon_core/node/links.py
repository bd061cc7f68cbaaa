"""What a node hears from its peers and tells them, votes apart: transactions, heights, certified blocks.

Frames of gossip wait in a bounded queue of each peer; one task reads and verifies what has gathered, of each in turn, a
few hundred transactions at once. So a stranger that floods its own delays nobody's. What goes out is
gathered too, until the loop has nothing else to do (`flush`).
"""

from __future__ import annotations

import logging
from itertools import islice

import trio
from attrs import define, field

from photon_core.api.errors import PeerProtocolError
from photon_core.api.ids import NodeKey
from photon_core.api.transport import Channel, LinkDown, LinkUp, Standing
from photon_core.chain.genesis import Genesis
from photon_core.chain.transactions import Transaction
from photon_core.peers.errors import PeersError
from photon_core.peers.requests import Peers, no_strangers

from . import blocksync, gossip, steps
from .archive import Archive
from .core import NodeCore
from .inputs import Inputs, Urgency
from .message_queue import MessageQueue
from .recent import RecentBytes
from .verifier import Verifier

log = logging.getLogger(__name__)

FRAMES_PER_PEER_MAX = 256
BYTES_PER_PEER_MAX = 2**20
"""Of one peer's gossip that waits for verification: a second's transactions. The transport bounds how many peers may
send any, and how many of them nobody knows."""
TURN_TRANSACTIONS = 500
"""Verified together, in slices of the loop's time: some 25 ms, and what core then takes in one step."""
TURN_FRAMES = 256
"""Read without a rest: of frames with nothing new in them there may be no end."""
GATHERED_MAX = 1_000
"""Of transactions that wait to be told, before the loop rests: a frame or two."""
FETCH_TIMEOUT_S = 10.0


@define
class Links:
    core: NodeCore
    genesis: Genesis
    peers: Peers
    archive: Archive
    verifier: Verifier
    inputs: Inputs
    recent: RecentBytes
    _queue: MessageQueue = field(init=False)
    _to_tell: dict[NodeKey | None, list[Transaction]] = field(factory=dict)
    """By the peer that told them."""
    _nursery: trio.Nursery = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._queue = MessageQueue(frames_max=FRAMES_PER_PEER_MAX, bytes_max=BYTES_PER_PEER_MAX)
        self.peers.on_frame(Channel.GOSSIP, self._frame_arrived)
        self.peers.on_link(self._link_changed)
        self.peers.serve(blocksync.METHOD, self._serve_blocks, allow=no_strangers, concurrency_per_peer=2)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await self._read_frames()

    def _link_changed(self, event: LinkUp | LinkDown) -> None:
        match event:
            case LinkUp() if event.link.standing is not Standing.STRANGER:
                peer = event.link.peer
                validator = self.genesis.validator_by_node_key(peer)
                self.inputs.put(steps.PeerAppeared(peer=peer, validator=validator), Urgency.PEERS)
            case LinkDown():
                self.inputs.put(steps.PeerVanished(peer=event.peer), Urgency.PEERS)
            case _:
                pass

    # --- out -----------------------------------------------------------------------------------------------------

    def tell_transactions(self, effect: steps.GossipTransactions) -> None:
        if effect.only is not None:
            frames = gossip.transaction_frames(effect.transactions)
            gossip.tell(self.peers.transport, self._open_to([effect.only]), frames)
            return
        self._to_tell.setdefault(effect.besides, []).extend(effect.transactions)
        if sum(map(len, self._to_tell.values())) >= GATHERED_MAX:
            self.flush()

    def flush(self) -> None:
        """Tells what has gathered: to validators if any is linked, else to all peers, but not to who told it."""
        if not self._to_tell:
            return
        peers = self._open_to(None)
        validators = [peer for peer in peers if self.genesis.validator_by_node_key(peer) is not None]
        for besides, transactions in self._to_tell.items():
            to = [peer for peer in validators or peers if peer != besides]
            gossip.tell(self.peers.transport, to, gossip.transaction_frames(transactions))
        self._to_tell.clear()

    def tell_head(self, effect: steps.GossipHead) -> None:
        to = self._open_to(None if effect.only is None else [effect.only])
        if effect.followers:
            to = [peer for peer in to if self.genesis.validator_by_node_key(peer) is None]
        gossip.tell(self.peers.transport, to, [gossip.head_frame(effect.height)])

    def _open_to(self, only: list[NodeKey] | None) -> list[NodeKey]:
        return [
            link.peer
            for link in self.peers.transport.links()
            if (only is None or link.peer in only) and Channel.GOSSIP in link.standing.channels
        ]

    # --- gossip that comes in ------------------------------------------------------------------------------------

    def _frame_arrived(self, peer: NodeKey, frame: bytes) -> None:
        """The newest is dropped when too much waits: a sender's transactions are of no use without those before."""
        if self._queue.has_room(peer, frame):
            self._queue.put(peer, frame)
        else:
            log.debug("gossip of %s dropped: %d bytes wait", peer.hex()[:16], self._queue.size_of(peer))

    async def _read_frames(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()  # of frames with nothing new in them there may be no end
            await self.inputs.room(Urgency.TRANSACTIONS)
            await self._take_transactions(await self._next_turn())

    async def _next_turn(self) -> list[tuple[NodeKey, tuple[Transaction, ...]]]:
        """By peer, what is new of as many frames as make a turn. Of heights the newest of each peer go on: a flood of
        them costs core no more than one. Waits for the first frame.
        """
        turn: list[tuple[NodeKey, tuple[Transaction, ...]]] = []
        heights: dict[NodeKey, int] = {}
        count = frames = 0
        while not frames or (self._queue and count < TURN_TRANSACTIONS and frames < TURN_FRAMES):
            [(peer, frame)] = await self._queue.take(1)
            frames += 1
            try:
                match gossip.decode_frame(frame):
                    case gossip.HeadMessage(height):
                        heights[peer] = height
                    case gossip.TransactionsMessage(raw):
                        fresh = self.recent.unknown(raw)
                        if fresh:
                            turn.append((peer, gossip.decode_transactions(fresh, self.core.chain_id)))
                            count += len(fresh)
            except PeerProtocolError as error:
                self._breach(peer, error)
        for peer, height in heights.items():
            if self.inputs.has_room(Urgency.PEERS):  # the next block's height follows soon
                self.inputs.put(steps.PeerHead(peer=peer, height=height), Urgency.PEERS)
        return turn

    async def _take_transactions(self, turn: list[tuple[NodeKey, tuple[Transaction, ...]]]) -> None:
        """One verification for all; what is good of one peer's is one input."""
        good = iter(await self.verifier.transactions([t for _, transactions in turn for t in transactions]))
        by_peer: dict[NodeKey, list[Transaction]] = {}
        for peer, transactions in turn:
            if all(tuple(islice(good, len(transactions)))):
                by_peer.setdefault(peer, []).extend(transactions)
            else:
                self._breach(peer, PeerProtocolError("gossip: a transaction with a bad signature"))
        for peer, good_ones in by_peer.items():
            self.recent.add(good_ones)
            event = steps.TransactionsArrived(transactions=tuple(good_ones), source=peer)
            self.inputs.put(event, Urgency.TRANSACTIONS)

    def _breach(self, peer: NodeKey, error: PeerProtocolError) -> None:
        self._queue.forget(peer)
        self.peers.drop(peer, error)

    # --- certified blocks ----------------------------------------------------------------------------------------

    def fetch_blocks(self, effect: steps.FetchBlocks) -> None:
        """Core has one under way at a time."""
        self._nursery.start_soon(self._fetch_blocks, effect)

    async def _fetch_blocks(self, effect: steps.FetchBlocks) -> None:
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
            self.peers.drop(effect.peer, error)
        except PeersError as error:
            log.info("blocks from %s: %s", effect.peer.hex()[:16], error)
        self.inputs.put(steps.BlocksArrived(peer=effect.peer, blocks=blocks, fetched=True), Urgency.PEERS)

    async def _serve_blocks(self, _peer: NodeKey, params: object) -> list[list[bytes]]:
        async def read(height: int) -> tuple[bytes, bytes] | None:
            return await trio.to_thread.run_sync(self.archive.certified_bytes, height)

        return await blocksync.answer(params, read)
