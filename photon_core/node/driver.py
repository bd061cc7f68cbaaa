"""The driver of a node's core, on trio: it gives time, disk, threads and links, and decides nothing.

One task steps the core (`stepping`) and begins its effects here. What takes time is done by rooms of their own, each
with long-lived tasks, which put an input when they are done:

    disk         what is written            links    gossip and certified blocks
    signing      the signer                 voting   validators' messages and contents
    submissions  clients' transactions
"""

from __future__ import annotations

import logging
from typing import assert_never

import trio
from attrs import define, field

from photon_core.api.errors import LocalProtocolError
from photon_core.chain.genesis import Genesis
from photon_core.peers.requests import Peers

from . import steps
from .core import NodeCore
from .disk import Disk
from .evidence import EVIDENCE_FILE, EvidenceFile
from .feed import Feed
from .inputs import Inputs
from .links import Links
from .observers import Observers
from .recent import RecentBytes
from .signer import Signer
from .signing import Signing
from .standstill import Standstill
from .stepping import Stepping
from .storage import Storage
from .submissions import Submissions
from .verifier import Verifier
from .views import BlockEvents, all_events
from .voting import Voting

log = logging.getLogger(__name__)


@define
class Driver:
    """`signing` and `voting` only on a validator."""

    core: NodeCore
    genesis: Genesis
    storage: Storage
    peers: Peers
    signer: Signer | None
    observers: Observers
    feed: Feed
    verifier: Verifier = field(factory=Verifier)
    inputs: Inputs = field(factory=Inputs)
    disk: Disk = field(init=False)
    links: Links = field(init=False)
    submissions: Submissions = field(init=False)
    evidence: EvidenceFile = field(init=False)
    signing: Signing | None = None
    voting: Voting | None = None

    def __attrs_post_init__(self) -> None:
        core, verifier, inputs = self.core, self.verifier, self.inputs
        recent = RecentBytes(core.chain_id, core.mempool)
        self.disk = Disk(self.storage, inputs.put)
        self.links = Links(core, self.genesis, self.peers, self.storage.archive, verifier, inputs, recent)
        self.submissions = Submissions(core, self.storage.archive, self.feed, verifier, inputs, recent)
        self.evidence = EvidenceFile(self.storage.folder / EVIDENCE_FILE)
        if self.signer is not None:
            self.signing = Signing(self.signer, verifier, inputs.put)
            self.voting = Voting(core, self.genesis, self.peers, verifier, inputs, recent)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; the state is flushed at the end whatever happens."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.disk.run)
                nursery.start_soon(self.observers.run)
                await nursery.start(self.links.run)
                if self.signer is not None and self.signing is not None and self.voting is not None:
                    self.signer.raise_mark(self.storage.head.height)
                    nursery.start_soon(self.signing.run)
                    nursery.start_soon(self._tell_of_standstill, self.voting)
                    await nursery.start(self.voting.run)
                stepping = Stepping(self.core, self.inputs, self._begin, self.links.flush)
                stepping.step(self.storage.started())
                task_status.started()
                await stepping.run()
        finally:
            self.storage.flush()

    async def _tell_of_standstill(self, voting: Voting) -> None:
        core, powers = self.core, self.core.validators
        watch = Standstill(core.heartbeat_ms)
        while True:
            links = {link.peer for link in self.peers.transport.links()}
            others = sum(powers.power_of(key) for key, node in voting.nodes.items() if node in links)
            own = powers.power_of(core.own_key) if core.own_key is not None else 0
            now_ms = round(trio.current_time() * 1000)
            said = watch.look(core.head_height, others + own, powers.quorum_power, now_ms)
            if said:
                log.warning("%s", said)
            await trio.sleep(core.heartbeat_ms / 1000)

    def _begin(self, effect: steps.Effect) -> None:
        match effect:
            case steps.Answer():
                self.submissions.answer(effect)
            case steps.WriteBlock() | steps.WriteCertificate():
                self.disk.write(effect)
            case steps.UpdateTree():
                self.disk.update_tree(effect)
            case steps.PersistRecords() | steps.ForgetRecords():
                self.disk.persist(effect)
            case steps.Publish():
                self._publish(effect)
            case steps.GossipTransactions():
                self.links.tell_transactions(effect)
            case steps.GossipHead():
                self.links.tell_head(effect)
            case steps.FetchBlocks():
                self.links.fetch_blocks(effect)
            case steps.Halt():
                log.critical("this node takes no more blocks: %s", effect.reason)
                self.storage.note_halt(effect.reason)
            case steps.NoteEvidence():
                self.evidence.note(effect)
            case (
                steps.SignStatement()
                | steps.SignSlot()
                | steps.SendStatement()
                | steps.SendMessage()
                | steps.FetchContent()
            ):
                self._begin_voting(effect)
            case _:
                assert_never(effect)

    def _begin_voting(
        self,
        effect: steps.SignStatement | steps.SignSlot | steps.SendStatement | steps.SendMessage | steps.FetchContent,
    ) -> None:
        if self.signing is None or self.voting is None:
            raise LocalProtocolError(f"{type(effect).__name__}: a node without a consensus key cannot do that")
        match effect:
            case steps.SignStatement() | steps.SignSlot():
                self.signing.begin(effect)
            case steps.SendStatement():
                self.voting.send_statement(effect)
            case steps.SendMessage():
                self.voting.send_message(effect)
            case steps.FetchContent():
                self.voting.fetch_content(effect)
            case _:
                assert_never(effect)

    def _publish(self, effect: steps.Publish) -> None:
        self.disk.publish(effect)
        if self.signer is not None:
            self.signer.raise_mark(effect.block.header.height)
        block = BlockEvents(
            height=effect.block.header.height,
            block_hash=effect.block_hash,
            time_ms=effect.block.header.time_ms,
            market_ms=effect.market_ms,
            events=all_events(effect.begin_events, effect.receipts),
        )
        self.feed.publish(block, effect.receipts)
        self.observers.published(effect)
