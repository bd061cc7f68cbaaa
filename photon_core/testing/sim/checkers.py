"""What must hold in every run, judged apart from the code under test.

Theory of operation
-------------------
The checkers see what a god would see: every frame that any host puts on a wire, every block that any honest node
commits, writes or reports final, and what is on each disk at that moment. They remember across crashes. What they know
of the protocol is its seam and no more: claims, slots, rounds, certificates. They count, hash and verify by themselves;
`Violation` ends the run. A validator that lies (`Checkers.liars`) may say what it wants; what honest nodes make of it
is judged as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field

from photon_core.api.chain import Block, Certificate, FinalityStatement, Header, StatementSignature, ValidatorSet
from photon_core.api.consensus import Claim, Slot
from photon_core.api.finality import block_hash, statement_message
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.chain.keys import verify_message
from photon_core.node.signer import digest_of, engine_slot, statement_slot
from photon_core.node.steps import Publish

from .disk import Disk

FINALITY_SLOT: Final = -1
"""Third part of the slot under which a finality statement is filed here, with round 0: engines' parts are natural."""


class Violation(Exception):
    """Something happened that never may. The first word of the text says what rule was broken."""


class Signatures:
    """Verifies, each triple once."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes, bytes], bool] = {}

    def valid(self, claim: Claim) -> bool:
        triple = (claim.key, claim.message, claim.signature)
        if (known := self._known.get(triple)) is None:
            known = self._known[triple] = verify_message(*triple)
        return known


@define
class Checkers:
    validators: ValidatorSet
    chain_id: Hash
    genesis: Header
    signatures: Signatures = field(factory=Signatures)
    liars: frozenset[ConsensusKey] = frozenset()
    chain: dict[int, tuple[Hash, Header]] = field(factory=dict)
    """The one block of each height, as the first honest node had it that committed it."""
    where: dict[int, str] = field(factory=dict)
    contents: dict[Hash, tuple[bytes, ...]] = field(factory=dict)
    statements: dict[int, FinalityStatement] = field(factory=dict)
    """As first certified."""
    floors: dict[tuple[ConsensusKey, bytes], int] = field(factory=dict)
    """Messages that close all rounds below, as whoever signs them asked for."""
    finals: int = 0
    _said: dict[tuple[ConsensusKey, Slot], bytes] = field(factory=dict)
    _closed: dict[ConsensusKey, int] = field(factory=dict)
    _certified: dict[bytes, bool] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.chain[0] = (block_hash(self.genesis), self.genesis)

    # --- blocks --------------------------------------------------------------------------------------------------

    def committed(self, who: str, header: Header) -> None:
        """An honest node's engine committed it, or it came with a certificate: it is what this height is for ever."""
        height, name = header.height, block_hash(header)
        known = self.chain.setdefault(height, (name, header))
        self.where.setdefault(height, who)
        if known[0] != name:
            raise Violation(
                f"agreement: {who} has {_short(name)} at height {height}, and {self.where[height]} had "
                f"{_short(known[0])}"
            )
        if (parent := self.chain.get(height - 1)) is not None and parent[0] != header.parent:
            raise Violation(
                f"linkage: block {height} of {who} follows {_short(header.parent)}, and block {height - 1} is "
                f"{_short(parent[0])}, says {self.where.get(height - 1, 'genesis')}"
            )

    def written(self, who: str, block: Block) -> None:
        self.committed(who, block.header)
        known = self.contents.setdefault(block_hash(block.header), block.transactions)
        if known != block.transactions:
            raise Violation(f"content: {who} has other transactions in block {block.header.height} than others have")

    def certified(self, who: str, certificate: Certificate) -> None:
        """An honest node believes it."""
        statement = certificate.statement
        known = self.statements.setdefault(statement.height, statement)
        if known != statement:
            raise Violation(f"roots: {who} has another statement of height {statement.height}: {statement} and {known}")
        message = statement_message(statement)
        counted: dict[ConsensusKey, int] = {}
        for one in certificate.signatures:
            if self.signatures.valid(Claim(one.validator, message, one.signature)):
                counted[one.validator] = self.validators.power_of(one.validator)
        if 3 * sum(counted.values()) <= 2 * self.validators.total_power:
            raise Violation(
                f"certificate: that of height {statement.height} at {who} holds {sum(counted.values())} of "
                f"{self.validators.total_power}"
            )

    def published(self, who: str, before: int, height: int, effect: Publish, disk: Disk) -> None:
        """An honest node reports it final, after the block at `before`."""
        block, certificate = effect.block, effect.certificate
        self.written(who, block)
        self.certified(who, certificate)
        self.finals = max(self.finals, height)
        if height != before + 1:
            raise Violation(f"gap: {who} reports block {height} final after block {before}")
        if certificate.statement.block_hash != block_hash(block.header):
            raise Violation(f"certificate: {who} has block {height} final by another block's")
        if len(disk.certificates) < height:
            raise Violation(f"durability: {who} reports block {height} final before that is synced")

    # --- the wire ------------------------------------------------------------------------------------------------

    def said(self, who: str, own: ConsensusKey, claims: Sequence[Claim], disk: Disk) -> None:
        """A host, whose key is `own`, puts an engine's message on the wire, which holds these claims."""
        fresh = [c for c in claims if c.key not in self.liars and self._said.get((c.key, c.slot)) != c.message]
        for claim in fresh:
            if not self.signatures.valid(claim):
                raise Violation(f"signature: {who} sends a claim of {_short(claim.key)} in {claim.slot} that is none")
            if not claim.slot:
                continue  # core's, of a certificate inside: they were judged when they were sent
            self._say(who, claim)
            if claim.key == own:
                self._remembered(who, engine_slot(claim.slot), claim.message, disk)
        for claim in fresh:  # closed only now: what it promises it may prove with older votes
            floor = self.floors.get((claim.key, claim.message), 0)
            self._closed[claim.key] = max(floor, self._closed.get(claim.key, 0))

    def stated(self, who: str, statement: FinalityStatement, signature: StatementSignature, disk: Disk) -> None:
        """A host puts its signature under a finality statement on the wire."""
        key, message = signature.validator, statement_message(statement)
        slot = (statement.height, 0, FINALITY_SLOT)
        if key in self.liars or self._said.get((key, slot)) == message:
            return
        claim = Claim(key, message, signature.signature, slot)
        if not self.signatures.valid(claim):
            raise Violation(f"signature: {who} sends a statement of height {statement.height} that it did not sign")
        self._say(who, claim)
        self._remembered(who, statement_slot(statement.height), message, disk)
        if statement.height > len(disk.names) or disk.names[statement.height - 1] != statement.block_hash:
            raise Violation(f"durability: {who} states height {statement.height} before its block is synced")

    def _say(self, who: str, claim: Claim) -> None:
        known = self._said.setdefault((claim.key, claim.slot), claim.message)
        if known != claim.message:
            raise Violation(f"equivocation: {who} shows a second statement of {_short(claim.key)} in {claim.slot}")
        closed = self._closed.get(claim.key, 0)
        if claim.slot[-1] != FINALITY_SLOT and claim.slot[1] < closed:
            raise Violation(
                f"round: {who} shows {_short(claim.key)} in {claim.slot}, which had closed all rounds below {closed}"
            )

    def _remembered(self, who: str, slot: Slot, message: bytes, disk: Disk) -> None:
        """Its signer knew of it, durably, before it left."""
        if disk.ever_signed.get(slot) != digest_of(message):
            raise Violation(f"durability: {who} sends what it signed in {slot} before its signer's memory is synced")

    # --- the end -------------------------------------------------------------------------------------------------

    def ended(self, disks: dict[str, Disk], acknowledged: dict[bytes, int]) -> None:
        """After healing. `acknowledged`: transactions' bytes, and the height that a client was told of."""
        for who, disk in disks.items():
            for block, certificate in zip(disk.blocks, disk.certificates, strict=False):
                self.written(who, block)
                self.certified(who, certificate)
        for raw, height in acknowledged.items():
            if height not in self.chain or raw not in self.contents.get(self.chain[height][0], ()):
                raise Violation(f"lost: a transaction that was acknowledged in block {height} is not there")
        heights = sorted(self.chain)
        if heights != list(range(len(heights))):
            raise Violation(f"gap: committed were {heights}")


def _short(name: bytes) -> str:
    return name.hex()[:8]
