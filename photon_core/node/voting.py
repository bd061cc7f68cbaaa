"""What validators tell each other: an engine's messages, finality statements, contents of blocks in flight.

Theory of operation
-------------------
A frame that comes in waits in its sender's queue. One task takes what has gathered, in turns, has the engine say what
each message claims (`inspect`), and verifies all claims together, those that were seen before for nothing. A message
reaches core only when every claim in it holds; one that does not costs the sender its link. So votes share neither
task nor queue with transactions, and a flood of those delays none.

What goes out may be lost when a channel is full: engines send again what matters, and core does with statements.

Only a validator has this: a follower is told nothing here, and asks for certified blocks.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import assert_never

import trio
from attrs import define, field, frozen

from photon_core.api.chain import Certificate
from photon_core.api.consensus import Claim
from photon_core.api.errors import PeerProtocolError
from photon_core.api.finality import statement_message
from photon_core.api.ids import ConsensusKey, Hash, NodeKey
from photon_core.api.transport import Channel, LinkDown, LinkUp, SendResult, Standing
from photon_core.chain.genesis import Genesis
from photon_core.peers.errors import PeersError
from photon_core.peers.requests import Peers

from . import consensus_frames, contentsync, steps
from .core import NodeCore
from .gathering import HEIGHTS_AHEAD_MAX
from .inputs import Inputs, Urgency
from .message_queue import MessageQueue
from .recent import RecentBytes
from .signer.seen import Seen, serve_seen
from .verifier import Verifier

log = logging.getLogger(__name__)

TURN_FRAMES = 64
"""Verified together: a block's votes of many validators."""
FETCHES_PER_PEER = 4
"""Contents that one validator may ask for at once: an engine's window."""


@frozen
class _Read:
    """A frame, read: what core is to be told when the claims hold."""

    peer: NodeKey
    event: steps.MessageArrived | steps.StatementArrived
    claims: tuple[Claim, ...]


@define
class Voting:
    core: NodeCore
    genesis: Genesis
    peers: Peers
    verifier: Verifier
    inputs: Inputs
    recent: RecentBytes
    seen: Seen = field(init=False)
    dropped: Counter[str] = field(factory=Counter)
    """Why messages never reached core."""
    _queue: MessageQueue = field(factory=MessageQueue)
    _asking: set[tuple[ConsensusKey, Hash]] = field(factory=set)
    """Contents that are waited for: one answer of each validator for each block."""
    _nodes: dict[ConsensusKey, NodeKey] = field(init=False)
    """Of the other validators."""
    _nursery: trio.Nursery = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.seen = Seen(self.core.validators)
        self._nodes = {v.key: v.node_key for v in self.genesis.validators if v.key != self.core.own_key}
        self.peers.on_frame(Channel.CONSENSUS, self._frame_arrived)
        self.peers.on_link(self._link_changed)
        self.peers.serve(
            contentsync.METHOD,
            self._serve_content,
            allow=_validators_only,
            max_params_bytes=contentsync.PARAMS_BYTES_MAX,
            concurrency_per_peer=FETCHES_PER_PEER,
        )
        serve_seen(self.peers, self.seen, self._newest_certificate)

    @property
    def nodes(self) -> dict[ConsensusKey, NodeKey]:
        """Of the other validators."""
        return dict(self._nodes)

    @property
    def counters(self) -> Counter[str]:
        """What was lost on the way in or out, and why."""
        return self.dropped + Counter({"queue-full": self._queue.lost})

    def _newest_certificate(self) -> Certificate | None:
        head = self.core.head
        return None if head is None else head.certificate

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            while True:
                await trio.lowlevel.checkpoint()  # of frames that come to nothing there may be no end
                await self.inputs.room(Urgency.CONSENSUS)
                await self._take(await self._queue.take(TURN_FRAMES))

    # --- out -----------------------------------------------------------------------------------------------------

    def send_message(self, effect: steps.SendMessage) -> None:
        self._send(consensus_frames.message_frame(effect.message), effect.to)

    def send_statement(self, effect: steps.SendStatement) -> None:
        self.seen.note_statement(effect.statement, effect.signature)
        self._send(consensus_frames.statement_frame(effect.statement, effect.signature), effect.to)

    def _send(self, frame: bytes, to: ConsensusKey | None) -> None:
        nodes = self._nodes.values() if to is None else [self._nodes[to]] if to in self._nodes else ()
        for node in nodes:
            if self.peers.transport.send(node, Channel.CONSENSUS, frame) is SendResult.FULL:
                self.dropped["channel-full"] += 1

    # --- in ------------------------------------------------------------------------------------------------------

    def _frame_arrived(self, peer: NodeKey, frame: bytes) -> None:
        if self.genesis.validator_by_node_key(peer) is not None:
            self._queue.put(peer, frame)

    def _link_changed(self, event: LinkUp | LinkDown) -> None:
        if isinstance(event, LinkDown):
            self._queue.forget(event.peer)

    async def _take(self, frames: Sequence[tuple[NodeKey, bytes]]) -> None:
        turn: list[_Read] = []
        for peer, frame in frames:
            try:
                read = self._read(peer, frame)
            except PeerProtocolError as error:
                self._breach(peer, "malformed", error)
            else:
                turn += [read] if read is not None else []
        holds = iter(await self.verifier.claims([claim for read in turn for claim in read.claims]))
        for read in turn:
            if all(tuple(islice(holds, len(read.claims)))):
                self._note(read)
                self.inputs.put(read.event, Urgency.CONSENSUS)
            else:
                self._breach(read.peer, "bad-signature", PeerProtocolError("consensus: a signature that is none"))

    def _read(self, peer: NodeKey, frame: bytes) -> _Read | None:
        """None for what is of no use, before anything is verified."""
        sender = self.genesis.validator_by_node_key(peer)
        assert sender is not None, "others' frames are not kept"
        message = consensus_frames.decode_frame(frame)
        if isinstance(message, consensus_frames.SignedStatement):
            return self._read_statement(peer, sender, message)
        try:
            claims = self.core.engine.inspect(message)
        except PeerProtocolError:
            raise
        except Exception:  # a plugin's fault, which a peer can reach, must not be the end of this node
            log.exception("the engine cannot inspect a message of %d bytes from %s", len(message), peer.hex()[:16])
            self.dropped["inspect-failed"] += 1
            return None
        return _Read(peer, steps.MessageArrived(sender=sender, message=message), claims)

    def _read_statement(
        self, peer: NodeKey, sender: ConsensusKey, signed: consensus_frames.SignedStatement
    ) -> _Read | None:
        statement, signature = signed.statement, signed.signature
        if signature.validator != sender:
            raise PeerProtocolError("consensus: a statement of another validator than the link's")
        if statement.chain_id != self.core.chain_id:
            raise PeerProtocolError("consensus: a statement of another chain")
        head = self.core.head_height
        if not head < statement.height <= head + HEIGHTS_AHEAD_MAX:
            self.dropped["old-statement" if statement.height <= head else "far-statement"] += 1
            return None
        claim = Claim(sender, statement_message(statement), signature.signature)
        return _Read(peer, steps.StatementArrived(statement=statement, signature=signature), (claim,))

    def _note(self, read: _Read) -> None:
        """For validators that start anew and ask what was seen of them."""
        match read.event:
            case steps.MessageArrived(message=message):
                self.seen.note(message, read.claims)
            case steps.StatementArrived(statement=statement, signature=signature):
                self.seen.note_statement(statement, signature)
            case _:
                assert_never(read.event)

    def _breach(self, peer: NodeKey, why: str, error: PeerProtocolError) -> None:
        self.dropped[why] += 1
        self._queue.forget(peer)
        self.peers.drop(peer, error)

    # --- contents ------------------------------------------------------------------------------------------------

    def fetch_content(self, effect: steps.FetchContent) -> None:
        """Nothing comes at once of a validator that has not answered the same question yet: core asks the next."""
        question = (effect.validator, effect.block_hash)
        if question in self._asking:
            self.inputs.put(steps.ContentArrived(block_hash=effect.block_hash, transactions=None))
        else:
            self._asking.add(question)
            self._nursery.start_soon(self._fetch_content, effect)

    async def _fetch_content(self, effect: steps.FetchContent) -> None:
        node, transactions = self._nodes[effect.validator], None
        try:
            plain = await self.peers.call(
                node,
                contentsync.METHOD,
                contentsync.params(effect),
                timeout_s=contentsync.TIMEOUT_S,
                max_reply_bytes=contentsync.ANSWER_BYTES_MAX,
            )
            transactions = await contentsync.check(plain, effect, self.recent, self.verifier)
        except PeerProtocolError as error:
            self._breach(node, "wrong-content", error)
        except PeersError as error:
            log.debug("content of %s from %s: %s", effect.block_hash.hex()[:16], node.hex()[:16], error)
        self._asking.discard((effect.validator, effect.block_hash))
        self.inputs.put(steps.ContentArrived(block_hash=effect.block_hash, transactions=transactions))

    async def _serve_content(self, _peer: NodeKey, params: object) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        return contentsync.answer(params, self.core.content)


def _validators_only(_peer: NodeKey, standing: Standing) -> bool:
    return standing is Standing.VALIDATOR
