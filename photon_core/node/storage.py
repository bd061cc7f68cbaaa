"""A node's disk: block log, state, tree and receipts, opened together and brought to the same height.

HOME/chain/blocks   every block and certificate: the commit point
HOME/chain/state    state, receipts and indexes, written in larger batches
HOME/chain/engine   on a validator: what its consensus engine must find again

At start the state store is where its last flush left it; blocks after that are executed again, out of the log, and each
must give the roots that its certificate says. The newest blocks may have been written and not certified before the end:
they are handed to core, which goes on with them.

Blocking, but for `publish`, which belongs to the loop's thread as the state view does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from attrs import define

from photon_core.api import codec
from photon_core.api.chain import Block, Certificate, FinalityStatement
from photon_core.api.errors import PhotonError
from photon_core.api.finality import block_hash
from photon_core.api.ids import Hash
from photon_core.api.market import Market
from photon_core.chain import blocks
from photon_core.chain.block_log import BlockLog
from photon_core.chain.files import write_atomically
from photon_core.chain.genesis import Genesis, Rule, chain_id, genesis_header
from photon_core.chain.state_store import StateStore
from photon_core.chain.state_tree import StateTree
from photon_core.chain.state_view import StateView
from photon_core.exchange.machine import Exchange
from photon_core.exchange.market import MarketBroken

from . import steps
from .archive import Archive
from .engine_log import EngineLog
from .executor import Changes, Executor
from .storage_checks import begin_state, check_chain, check_state

FLUSH_KEYS = 20_000
"""So many changed keys are written before the next second is over: some ten MB of memory."""

HALTED_FILE = "halted.txt"


@define
class Storage:
    folder: Path
    log: BlockLog
    store: StateStore
    view: StateView
    tree: StateTree
    executor: Executor
    archive: Archive
    chain_id: Hash
    head: steps.Head
    engine_log: EngineLog | None
    _open: ExitStack

    @classmethod
    def open(
        cls, folder: Path, genesis: Genesis, market_for: Callable[[Rule], Market], *, votes: bool = False
    ) -> Storage:
        """Opens or makes a chain's folder and replays what the state lacks. PhotonError when something does not fit.

        `votes`: with an engine's log.
        """
        identity = chain_id(genesis)
        with ExitStack() as stack:
            log = stack.enter_context(BlockLog(folder / "blocks"))
            check_chain(log, genesis, folder)
            store = StateStore(folder / "state", identity)
            stack.callback(store.close)
            view = StateView(store)
            archive = Archive(log, view, identity)
            if store.height is None:
                begin_state(view, genesis)
                store.put(view.finished())
                view.flushed(0)
            tree = StateTree.build(genesis.state_depth, view.scan())
            check_state(archive, store.height or 0, tree, folder)
            engine_log = EngineLog(folder / "engine") if votes else None
            if engine_log is not None:
                stack.callback(engine_log.close)
            exchange = Exchange(view, genesis=genesis, market_for=market_for)
            header = genesis_header(genesis)
            storage = cls(
                folder=folder,
                log=log,
                store=store,
                view=view,
                tree=tree,
                executor=Executor(exchange, view),
                archive=archive,
                chain_id=identity,
                head=steps.Head(header=header, block_hash=block_hash(header), certificate=None),
                engine_log=engine_log,
                open=stack,
            )
            storage._catch_up()
            storage._open = stack.pop_all()
        return storage

    def close(self) -> None:
        self._open.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a crash left torn, for people."""
        notes = (self.log.note, self.engine_log.note if self.engine_log is not None else "")
        return tuple(note for note in notes if note)

    def started(self) -> steps.Started:
        """Core's first input."""
        records, contents = ((), ()) if self.engine_log is None else self.engine_log.read(self.chain_id)
        return steps.Started(
            head=self.head, engine_records=records, contents=contents, uncertified=self.archive.uncertified()
        )

    # --- replay --------------------------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        stored, certified = self.store.height or 0, self.log.certified_height
        for height in range(stored + 1, certified + 1):
            self._replay(self.archive.block(height), self.archive.certificate(height))
        if certified:
            header = self.archive.block(certified).header
            self.head = steps.Head(
                header=header, block_hash=block_hash(header), certificate=self.archive.certificate(certified)
            )
        self.flush()

    def _replay(self, block: Block, certificate: Certificate) -> None:
        try:
            executed = self.executor.execute(block.header, self.archive.transactions(block))
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
        self.view.finish(block.header.height)

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
        header = effect.block.header
        self.head = steps.Head(header=header, block_hash=effect.block_hash, certificate=effect.certificate)
        self.view.finish(header.height)

    def flush(self) -> None:
        """Everything finished, in one go, when no loop runs (at start and at the end)."""
        if finished := self.view.finished():
            self.store.put(finished)
            self.view.flushed(finished[-1].height)
