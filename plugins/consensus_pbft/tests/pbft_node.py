"""One engine and what core is to it: disk, signer, timers, contents. No IO."""

from __future__ import annotations

from collections import Counter, deque
from hashlib import blake2b
from typing import Any

from attrs import define, field

from photon_consensus_pbft.engine import PbftEngine
from photon_core.api import consensus as api
from photon_core.api.chain import Certificate, Header, Proposal
from photon_core.api.finality import block_hash
from photon_core.api.ids import ConsensusKey, Hash

CHAIN_ID = b"\x33" * 32
AHEAD_MAX_MS = 500
EFFECTS_MAX = 64

GENESIS = Header(
    height=0, time_ms=0, parent=CHAIN_ID, transactions_root=bytes(32), validators_hash=bytes(32), proposer=bytes(32)
)


def sign(key: ConsensusKey, statement: bytes) -> bytes:
    """A keyed hash proves as much here as a signature, and costs less."""
    return blake2b(statement, key=key).digest()


def key_of(index: int) -> ConsensusKey:
    return bytes([index + 1]) * 32


@define
class Node:
    """`disk` and `signed` outlive a crash; `unsynced` does not."""

    index: int
    cluster: Any
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
        if (handle := getattr(self, f"_do_{type(effect).__name__}", None)) is not None:
            handle(effect)

    def _do_Persist(self, effect: api.Persist) -> None:  # noqa: N802
        assert effect.token not in self.unsynced
        assert effect.token not in self.synced
        self.unsynced[effect.token] = effect
        self.answers.append(api.Persisted(token=effect.token))

    def _do_SendNow(self, effect: api.SendNow) -> None:  # noqa: N802
        self.cluster.post(self.index, effect.message, effect.to)

    def _do_SendAfter(self, effect: api.SendAfter) -> None:  # noqa: N802
        if effect.token in self.synced:
            self.cluster.post(self.index, effect.message, effect.to)
        else:
            assert effect.token in self.unsynced, "a message waits for nothing"
            self.waiting.setdefault(effect.token, []).append(effect)

    def _do_Sign(self, effect: api.Sign) -> None:  # noqa: N802
        self.answers.append(self._sign(effect))

    def _do_Fetch(self, effect: api.Fetch) -> None:  # noqa: N802
        self.headers[effect.block_hash] = effect.header
        self.cluster.fetches.add((self.index, effect.block_hash))

    def _do_Validate(self, effect: api.Validate) -> None:  # noqa: N802
        self.headers[effect.block_hash] = effect.header
        self.answers.append(api.Validated(block_hash=effect.block_hash, reason=self._problem(effect)))

    def _do_SetTimer(self, effect: api.SetTimer) -> None:  # noqa: N802
        assert effect.after_ms > 0
        self.timers[effect.name] = self.cluster.now_ms + effect.after_ms

    def _do_CancelTimer(self, effect: api.CancelTimer) -> None:  # noqa: N802
        self.timers.pop(effect.name, None)

    def _do_Evidence(self, effect: api.Evidence) -> None:  # noqa: N802
        assert effect.first.slot == effect.second.slot
        assert effect.first.key == effect.second.key
        assert effect.first.message != effect.second.message
        for claim in (effect.first, effect.second):
            assert sign(claim.key, claim.message) == claim.signature, "evidence that proves nothing"
        self.cluster.evidence.append(effect)

    def _do_Forget(self, effect: api.Forget) -> None:  # noqa: N802
        self.disk = [(height, record) for height, record in self.disk if height >= effect.below_height]

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

    def _do_BuildProposal(self, effect: api.BuildProposal) -> None:  # noqa: N802
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

    def _do_Commit(self, effect: api.Commit) -> None:  # noqa: N802
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
