"""The road of committed blocks, from their order to their publication. Pure.

Theory of operation
-------------------
Blocks are taken in order of height, each final in its place already: an engine committed it, or it came with a
certificate. Up to an engine's window of them is on the road at once, each a step or more ahead of the one behind:

    take ─► WriteBlock ─► execute ─► UpdateTree ─► own statement ─► certificate ─► WriteCertificate ─► Publish
            (synced)      (here)     (thread)      (signed, sent)   (a quorum's)   (synced)

The log is the commit point: what is written is executed, now or at the next start; what is not written never was. Each
station serves one block at a time, in order. State may be read while a block waits for its certificate, but a
transaction is reported committed only by Publish. Where a certificate contradicts what this node computed, or two
certified blocks do not fit, `Contradiction` says it, and the node takes no more blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol

from attrs import define, field

from photon_core.api.chain import Block, Certificate, FinalityStatement, Header, StatementSignature, ValidatorSet
from photon_core.api.errors import CodecError, LocalProtocolError
from photon_core.api.finality import block_hash
from photon_core.api.ids import Hash
from photon_core.chain import blocks
from photon_core.chain.transactions import Transaction
from photon_core.exchange.market import MarketBroken

from . import steps
from .executor import Executed, Executor


class Contradiction(Exception):
    """Going on would mean to believe two things that exclude each other."""


class Effects(Protocol):
    def __call__(self, *effects: steps.Effect) -> None: ...


@define
class BlockOnItsWay:
    block: Block
    transactions: tuple[Transaction, ...]
    block_hash: Hash
    certificate: Certificate | None
    written: bool = False
    certificate_written: bool = False
    executed: Executed | None = None
    statement: FinalityStatement | None = None
    own_signature: StatementSignature | None = None

    @property
    def height(self) -> int:
        return self.block.header.height


@define
class Pipeline:
    chain_id: Hash
    validators: ValidatorSet
    executor: Executor
    head: steps.Head
    signs: bool
    emit: Effects
    _blocks: deque[BlockOnItsWay] = field(factory=deque)
    _writing: bool = False
    _updating: bool = False
    _certifying: bool = False

    def __len__(self) -> int:
        return len(self._blocks)

    def __iter__(self) -> Iterator[BlockOnItsWay]:
        return iter(self._blocks)

    @property
    def tip(self) -> tuple[int, Hash]:
        """Height and hash of the newest block on the road, or of the head."""
        if self._blocks:
            return self._blocks[-1].height, self._blocks[-1].block_hash
        return self.head.height, self.head.block_hash

    @property
    def executed_height(self) -> int:
        return max((one.height for one in self._blocks if one.executed is not None), default=self.head.height)

    def at(self, height: int) -> BlockOnItsWay | None:
        index = height - self.head.height - 1
        return self._blocks[index] if 0 <= index < len(self._blocks) else None

    def header_of(self, name: Hash) -> Header | None:
        """Of the head, or of a block on its way."""
        if name == self.head.block_hash:
            return self.head.header
        return next((one.block.header for one in self._blocks if one.block_hash == name), None)

    # --- in ------------------------------------------------------------------------------------------------------

    def take(self, block: Block, transactions: tuple[Transaction, ...], certificate: Certificate | None) -> None:
        """The block after the tip, ordered or certified. Contradiction when it does not fit."""
        self._append(block, transactions, certificate)
        self._write_next()

    def resume(self, block: Block, transactions: tuple[Transaction, ...]) -> None:
        """As `take`, of a block that was in the log at start."""
        one = self._append(block, transactions, None)
        one.written = True
        self._execute(one)

    def _append(
        self, block: Block, transactions: tuple[Transaction, ...], certificate: Certificate | None
    ) -> BlockOnItsWay:
        height, name = self.tip
        parent = self._blocks[-1].block.header if self._blocks else self.head.header
        one = BlockOnItsWay(block, transactions, block_hash(block.header), certificate)
        try:
            blocks.check_header(block.header, parent, self.validators)
        except CodecError as error:
            raise Contradiction(
                f"block {one.height} ({one.block_hash.hex()}) cannot follow this node's block {height} "
                f"({name.hex()}), and both are certified: {error}"
            ) from None
        self._blocks.append(one)
        return one

    def certify(self, certificate: Certificate) -> None:
        """A quorum's, verified. Of no use for a block that is not here or has one."""
        one = self.at(certificate.statement.height)
        if one is None or one.certificate is not None:
            return
        one.certificate = certificate
        self._compare(one)
        self._certify_next()

    # --- stations ------------------------------------------------------------------------------------------------

    def block_written(self, height: int) -> tuple[Transaction, ...]:
        """Executes it. The transactions that waiting ones are to be compared with."""
        one = self._expect(height)
        self._writing = False
        one.written = True
        self._execute(one)
        self._write_next()
        return one.transactions

    def tree_updated(self, height: int, state_root: Hash) -> FinalityStatement:
        one = self._expect(height)
        self._updating = False
        assert one.executed is not None
        one.statement = FinalityStatement(
            chain_id=self.chain_id,
            height=height,
            block_hash=one.block_hash,
            state_root=state_root,
            receipts_root=one.executed.receipts_root,
            next_validators_hash=one.block.header.validators_hash,
        )
        self._compare(one)
        if self.signs and one.certificate is None:
            self.emit(steps.SignStatement(statement=one.statement))
        self._update_next()
        self._certify_next()
        return one.statement

    def certificate_written(self, height: int) -> None:
        self._expect(height).certificate_written = True
        self._certifying = False
        self._certify_next()

    def next_final(self) -> BlockOnItsWay | None:
        """Takes the first block off the road, once it is through; the head moves to it."""
        if not self._blocks:
            return None
        one = self._blocks[0]
        if one.statement is None or not one.certificate_written:
            return None
        self._blocks.popleft()
        self.head = steps.Head(header=one.block.header, block_hash=one.block_hash, certificate=one.certificate)
        self._certify_next()
        return one

    def _expect(self, height: int) -> BlockOnItsWay:
        one = self.at(height)
        if one is None:
            raise LocalProtocolError(f"height {height} is not on its way; the head is {self.head.height}")
        return one

    def _write_next(self) -> None:
        one = next((one for one in self._blocks if not one.written), None)
        if self._writing or one is None:
            return
        self._writing = True
        if one is self._blocks[0] and one.certificate is not None:  # certificates are written in order
            one.certificate_written = True
        self.emit(steps.WriteBlock(block=one.block, certificate=one.certificate if one.certificate_written else None))

    def _execute(self, one: BlockOnItsWay) -> None:
        try:
            one.executed = self.executor.execute(one.block.header, one.transactions)
        except MarketBroken as error:  # skipping it would fork the chain from every node whose rule behaved
            raise Contradiction(f"block {one.height} cannot be executed: {error}") from error
        self._update_next()

    def _update_next(self) -> None:
        one = next((one for one in self._blocks if one.executed is not None and one.statement is None), None)
        if self._updating or one is None:
            return
        assert one.executed is not None
        self._updating = True
        self.emit(steps.UpdateTree(height=one.height, changes=one.executed.changes))

    def _certify_next(self) -> None:
        one = next((one for one in self._blocks if not one.certificate_written), None)
        if self._certifying or one is None or one.certificate is None or one.statement is None:
            return
        self._certifying = True
        self.emit(steps.WriteCertificate(certificate=one.certificate))

    def _compare(self, one: BlockOnItsWay) -> None:
        if one.certificate is None or one.statement is None or one.certificate.statement == one.statement:
            return
        certified, own = one.certificate.statement, one.statement
        differing = [
            f"{name} {getattr(certified, name).hex()} (certified) and {getattr(own, name).hex()} (computed here)"
            for name in ("block_hash", "state_root", "receipts_root", "next_validators_hash")
            if getattr(certified, name) != getattr(own, name)
        ]
        raise Contradiction(
            f"block {own.height}: this node computes something else than a quorum has signed: {'; '.join(differing)}"
        )
