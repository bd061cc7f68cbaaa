"""A validator without scruples: it signs whatever serves confusion, and knows all that the others know.

It cannot forge others' signatures, but may show anything true to anybody, at any time, in any selection.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations

from attrs import define, field
from pbft_cluster import Cluster, Envelope
from pbft_forging import new_view, pre_prepare, view_change, vote
from pbft_node import GENESIS

from photon_consensus_pbft import messages
from photon_consensus_pbft.membership import Membership
from photon_consensus_pbft.messages import Message, PreparedProof, ViewChange, VotePhase
from photon_core.api.chain import Header
from photon_core.api.errors import PeerProtocolError

HEARD_MAX = 400


@define
class Liar:
    cluster: Cluster
    index: int
    chance: random.Random
    heard: list[Envelope] = field(factory=list)
    changes: dict[int, dict[int, ViewChange]] = field(factory=dict)
    """By view, and by validator."""

    @property
    def honest(self) -> list[int]:
        return [node.index for node in self.cluster.nodes if node.index != self.index]

    def listen(self, envelope: Envelope) -> None:
        self.heard.append(envelope)
        del self.heard[:-HEARD_MAX]
        message = envelope.message
        if isinstance(message, ViewChange):
            self.changes.setdefault(message.change.statement.view, {})[message.change.validator] = message

    def lie(self) -> None:
        ways: tuple[Callable[[], None], ...] = (self.propose, self.propose, self.vote, self.vote, self.leave, self.lead)
        self.chance.choice((*ways, self.repeat))()

    def tell(self, targets: list[int], message: Message) -> None:
        for target in targets:
            self.cluster.wire.append(Envelope(self.index, target, messages.encode(message)))

    def some(self) -> list[int]:
        return self.chance.sample(self.honest, self.chance.randint(1, len(self.honest)))

    def headers(self) -> list[Header]:
        known = {name: header for node in self.cluster.nodes for name, header in node.headers.items()}
        low = min(node.final.height for node in self.cluster.nodes)
        return [header for _, header in sorted(known.items()) if header.height >= low] or [GENESIS]

    def view(self) -> int:
        replicas = [node.replica for node in self.cluster.nodes if node.engine is not None]
        views = [replica.view for replica in replicas] or [0]
        return self.chance.choice(views)

    # --- lies --------------------------------------------------------------------------------------------------------

    def propose(self) -> None:
        """One block on any parent, or two for one height, to different validators."""
        parent, view = self.chance.choice(self.headers()), self.view()
        members = Membership(self.cluster.validators, self.cluster.config.tenure_blocks)
        if members.primary(view, parent.height + 1) != self.index:
            return
        targets = [self.honest] if self.chance.random() < 0.5 else [self.some(), self.some()]
        for some in targets:
            block = self.cluster.block_on(parent, self.index)
            self.tell(some, pre_prepare(block, self.index, view))

    def vote(self) -> None:
        header = self.chance.choice(self.headers())
        if header.height > 0:
            phase = self.chance.choice(list(VotePhase))
            self.tell(self.some(), vote(self.index, header, phase, self.view()))

    def leave(self) -> None:
        """A VIEW-CHANGE that forgets something, or shows what others have prepared."""
        proofs: dict[int, PreparedProof] = {}
        for node in self.cluster.nodes:
            if node.engine is not None and self.chance.random() < 0.5:
                proofs |= node.replica.proofs
        shown = [proof for _, proof in sorted(proofs.items()) if self.chance.random() < 0.6]
        view = self.view() + self.chance.randint(0, 1)
        final = self.chance.choice([0, *self.cluster.certificates])
        window = range(final + 1, final + self.cluster.config.window + 1)
        shown = [proof for proof in shown if proof.header.height in window and proof.view < view]
        message = view_change(
            self.index, view, *shown, final_height=final, certificate=self.cluster.certificates.get(final)
        )
        if view > 0:
            self.changes.setdefault(view, {})[self.index] = message
            self.tell(self.some(), message)

    def lead(self) -> None:
        """Different NEW-VIEWs to different validators, each of a quorum that suits."""
        for view, known in sorted(self.changes.items(), reverse=True):
            quorums = list(combinations(sorted(known), len(self.cluster.nodes) * 2 // 3 + 1))
            if not quorums:
                continue
            for _ in range(2):
                chosen = [known[i] for i in self.chance.choice(quorums)]
                try:
                    made = new_view(self.index, view, chosen)
                    self.cluster.make_engine(0).inspect(messages.encode(made))
                except (PeerProtocolError, ValueError):
                    continue
                self.tell(self.some(), made)
            return

    def repeat(self) -> None:
        if self.heard:
            envelope = self.chance.choice(self.heard)
            self.cluster.wire.append(Envelope(self.index, self.chance.choice(self.honest), envelope.data))
