"""A node's disk: block log, state, tree and receipts, opened together and brought to the same height.

The log is the commit point. At start the state store is where its last flush left it; blocks after that are executed
again, out of the log, and each must give the roots that its certificate says. The newest block may have been
written and not certified before the end: it is handed to core, which goes on with it.

Blocking, but for `publish`, `finished` and `flushed`, which belong to the loop's thread as the state view does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import define, field, frozen

from photon_core.api import codec, fields
from photon_core.api.chain import Block, Certificate, FinalityStatement, Header
from photon_core.api.errors import CodecError, PhotonError
from photon_core.api.finality import block_hash
from photon_core.api.ids import Hash
from photon_core.api.market import Market
from photon_core.chain import blocks
from photon_core.chain.block_log import BlockLog
from photon_core.chain.files import write_atomically
from photon_core.chain.genesis import Genesis, Rule, chain_id, genesis_header
from photon_core.chain.state_store import BlockResult, StateStore
from photon_core.chain.state_tree import StateTree
from photon_core.chain.state_view import StateView
from photon_core.chain.transactions import Transaction, decode_transaction
from photon_core.exchange.events import EVENT, Event, Outcome, Receipt
from photon_core.exchange.genesis import initial_changes
from photon_core.exchange.machine import Exchange
from photon_core.exchange.market import MarketBroken

from . import steps
from .blocksync import CERTIFICATE_BYTES_MAX
from .executor import Changes, Executed, Executor
from .views import BlockDetail, BlockEvents

OUTCOME_BYTES_MAX = 64 * 2**20
"""Receipts of one block, read back from our own disk."""
FLUSH_KEYS = 20_000
"""So many changed keys are written before the next second is over: some ten MB of memory."""

HALTED_FILE = "halted.txt"


@frozen(kw_only=True)
class BlockOutcome:
    """What the store keeps of an executed block besides its state."""

    market_ms: int = fields.uint()
    begin_events: tuple[Event, ...] = fields.listof(EVENT, 1_000_000)
    receipts: tuple[Receipt, ...] = fields.listof(fields.record_form(Receipt), 10_000)


@define
class Storage:
    folder: Path
    genesis: Genesis
    log: BlockLog
    store: StateStore
    view: StateView
    tree: StateTree
    executor: Executor
    chain_id: Hash
    head: steps.Head
    notes: list[str] = field(factory=list)

    @classmethod
    def open(cls, folder: Path, genesis: Genesis, market_for: Callable[[Rule], Market]) -> Storage:
        """Opens or makes a chain's folder and replays what the state lacks. PhotonError when something does not fit."""
        identity = chain_id(genesis)
        log = BlockLog(folder / "blocks")
        try:
            _check_chain(log, genesis, folder)
            store = StateStore(folder / "state", identity)
        except BaseException:
            log.close()
            raise
        try:
            view = StateView(store)
            if store.height is None:
                _write_genesis(store, view, genesis)
            tree = StateTree.build(genesis.state_depth, view.scan())
            _check_state(log, store, tree, folder)
            exchange = Exchange(view, genesis=genesis, market_for=market_for)
            header = genesis_header(genesis)
            storage = cls(
                folder=folder,
                genesis=genesis,
                log=log,
                store=store,
                view=view,
                chain_id=identity,
                tree=tree,
                executor=Executor(exchange, view),
                head=steps.Head(header=header, block_hash=block_hash(header), certificate=None),
            )
            storage.notes += [log.note] if log.note else []
            storage._catch_up()
        except BaseException:
            store.close()
            log.close()
            raise
        return storage

    def close(self) -> None:
        self.store.close()
        self.log.close()

    def started(self) -> steps.Started:
        """Core's first input."""
        raw = self.log.read(self.head.height + 1)
        if raw is None:
            return steps.Started(head=self.head)
        block = blocks.decode_block(raw)
        return steps.Started(head=self.head, uncertified=((block, self._transactions(block)),))

    # --- replay --------------------------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        stored, certified = self.store.height or 0, self.log.certified_height
        for height in range(stored + 1, certified + 1):
            self._replay(self._read_block(height), self._certificate(height))
        if certified:
            header = self._read_block(certified).header
            self.head = steps.Head(
                header=header, block_hash=block_hash(header), certificate=self._certificate(certified)
            )
        self.flush()

    def _replay(self, block: Block, certificate: Certificate) -> None:
        transactions = self._transactions(block)
        try:
            executed = self.executor.execute(block.header, transactions)
        except MarketBroken as error:
            raise PhotonError(
                code="market-broken",
                what=f"block {block.header.height} cannot be executed: {error}",
                remedy="Use the version of the market plugin that this chain runs; `photon plugin list`.",
            ) from error
        own = FinalityStatement(
            chain_id=self.chain_id,
            height=block.header.height,
            block_hash=block_hash(block.header),
            state_root=self.tree.update(executed.changes),
            receipts_root=executed.receipts_root,
            next_validators_hash=block.header.validators_hash,
        )
        if own != certificate.statement:
            raise PhotonError(
                code="replay-differs",
                what=f"block {own.height}, executed again, does not give what its certificate says",
                expected=f"state root {certificate.statement.state_root.hex()}",
                found=own.state_root.hex(),
                remedy="Use the version of Photon and of the market plugin that this chain runs; `photon plugin list`.",
            )
        self._finish(executed)

    def _transactions(self, block: Block) -> tuple[Transaction, ...]:
        """Verified before they were written."""
        return tuple(decode_transaction(raw, self.chain_id) for raw in block.transactions)

    def _read_block(self, height: int) -> Block:
        raw = self.log.read(height)
        assert raw is not None, f"the block log said that it has {height}"
        return blocks.decode_block(raw)

    def _certificate(self, height: int) -> Certificate:
        return _certificate(self.log, height)

    # --- writing -------------------------------------------------------------------------------------------------

    def write_block(self, block: Block, certificate: Certificate | None) -> None:
        self.log.append(
            block.header.height,
            blocks.encode_block(block),
            None if certificate is None else codec.encode_record(certificate),
        )

    def write_certificate(self, certificate: Certificate) -> None:
        self.log.append_certificate(certificate.statement.height, codec.encode_record(certificate))

    def note_halt(self, reason: str) -> None:
        """Both sides of a contradiction, kept for people beside the blocks; the newest is enough."""
        write_atomically(self.folder / HALTED_FILE, f"{reason}\n".encode())

    def update_tree(self, changes: Changes) -> Hash:
        return self.tree.update(changes)

    def publish(self, effect: steps.Publish) -> None:
        header: Header = effect.block.header
        self.head = steps.Head(header=header, block_hash=effect.block_hash, certificate=effect.certificate)
        executed = Executed(
            height=header.height,
            market_ms=effect.market_ms,
            begin_events=effect.begin_events,
            receipts=effect.receipts,
            receipts_root=effect.certificate.statement.receipts_root,
            changes=effect.changes,
        )
        self._finish(executed)

    def _finish(self, executed: Executed) -> None:
        outcome = BlockOutcome(
            market_ms=executed.market_ms, begin_events=executed.begin_events, receipts=executed.receipts
        )
        self.view.finish(
            BlockResult(
                height=executed.height,
                changes=executed.changes,
                receipts=codec.encode_record(outcome),
                transactions=tuple(
                    (receipt.transaction_id, index)
                    for index, receipt in enumerate(executed.receipts)
                    if receipt.outcome is not Outcome.VOID
                ),
            )
        )

    def flush(self) -> None:
        """Everything finished, in one go, when no loop runs (at start and at the end)."""
        if finished := self.view.finished():
            self.store.put(finished)
            self.view.flushed(finished[-1].height)

    # --- reading -------------------------------------------------------------------------------------------------

    def certified_bytes(self, height: int) -> tuple[bytes, bytes] | None:
        block, certificate = self.log.read(height), self.log.read_certificate(height)
        return None if block is None or certificate is None else (block, certificate)

    def outcome_of(self, height: int) -> BlockOutcome | None:
        raw = self.view.receipts(height)
        return codec.decode_record(BlockOutcome, raw, OUTCOME_BYTES_MAX) if raw else None

    def outcome(self, transaction_id: Hash) -> tuple[int, Receipt] | None:
        """Where a transaction is and what it did."""
        place = self.view.find_transaction(transaction_id)
        if place is None:
            return None
        outcome = self.outcome_of(place.height)
        assert outcome is not None, "a block whose transactions are indexed has receipts"
        return place.height, outcome.receipts[place.index]

    def block_detail(self, height: int) -> BlockDetail | None:
        raw = self.log.read(height)
        if raw is None:
            return None
        block = blocks.decode_block(raw)
        certificate = self.log.read_certificate(height)
        return BlockDetail(
            header=block.header,
            block_hash=block_hash(block.header),
            transaction_ids=tuple(t.id for t in self._transactions(block)),
            certificate=None
            if certificate is None
            else codec.decode_record(Certificate, certificate, CERTIFICATE_BYTES_MAX),
        )

    def block_events(self, height: int) -> BlockEvents | None:
        raw, outcome = self.log.read(height), self.outcome_of(height)
        if raw is None or outcome is None:
            return None
        header = blocks.decode_block(raw).header
        return BlockEvents(
            height=height,
            block_hash=block_hash(header),
            time_ms=header.time_ms,
            market_ms=outcome.market_ms,
            events=all_events(outcome.begin_events, outcome.receipts),
        )


def _certificate(log: BlockLog, height: int) -> Certificate:
    raw = log.read_certificate(height)
    assert raw is not None, f"the block log said that it has a certificate for {height}"
    return codec.decode_record(Certificate, raw, CERTIFICATE_BYTES_MAX)


def _check_chain(log: BlockLog, genesis: Genesis, folder: Path) -> None:
    """The state store says itself whose it is; but it may have been removed, as its own errors advise."""
    raw = log.read(1)
    if raw is None:
        return
    expected, found = block_hash(genesis_header(genesis)), blocks.decode_block(raw).header.parent
    if found != expected:
        raise PhotonError(
            code="wrong-chain",
            where=str(folder),
            what="this folder holds the blocks of another chain",
            expected=f"a first block on genesis {expected.hex()}",
            found=f"one on {found.hex()}",
            remedy="Name another folder, or start with the genesis file that this one was made with.",
        )


def _check_state(log: BlockLog, store: StateStore, tree: StateTree, folder: Path) -> None:
    """What the store says of its height is what was certified; before anybody reads a record of it."""
    stored, certified = store.height or 0, log.certified_height
    if stored > certified:
        raise PhotonError(
            code="corrupt-folder",
            where=str(folder),
            what="the block log is shorter than the state made from it",
            expected=f"blocks up to {stored}",
            found=f"certified blocks up to {certified}",
            remedy=f"Put the lost files back into {folder / 'blocks'}, or move {folder} away and sync anew.",
        )
    if stored and tree.root != (expected := _certificate(log, stored).statement.state_root):
        raise PhotonError(
            code="corrupt-folder",
            where=str(folder / "state"),
            what=f"the state of block {stored} is damaged",
            expected=f"state root {expected.hex()}",
            found=tree.root.hex(),
            remedy=f"Remove {folder / 'state'} (not the blocks beside it) and start again: it is made anew.",
        )


def all_events(begin_events: tuple[Event, ...], receipts: tuple[Receipt, ...]) -> tuple[Event, ...]:
    """What happened in a block, in order."""
    return begin_events + tuple(event for receipt in receipts for event in receipt.events)


def _write_genesis(store: StateStore, view: StateView, genesis: Genesis) -> None:
    try:
        changes = initial_changes(genesis)
    except CodecError as error:
        raise PhotonError(
            code="bad-genesis",
            what="this genesis cannot be begun with",
            where=error.where,
            expected=error.expected,
            found=error.found,
            remedy="Use a version of Photon that knows it, or mend the file (that makes another chain).",
        ) from None
    view.apply(0, changes)
    view.finish(BlockResult(height=0, changes=changes))
    store.put(view.finished())
    view.flushed(0)
