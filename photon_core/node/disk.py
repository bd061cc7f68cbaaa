"""What a node's core writes, in threads and in order: blocks and certificates, the tree, an engine's log, the state.

Each file has a worker of its own, so that a vote's records do not wait for a block, and every batch is one hop to a
thread. State goes out in larger batches, every second or when much has gathered.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define, field

from photon_core.api.errors import LocalProtocolError

from . import steps
from .storage import FLUSH_KEYS, Storage
from .worker import Worker

FLUSH_EVERY_S = 1.0
INLINE_CHANGES_MAX = 128
"""So few changes of the tree (a millisecond or two) are not worth a thread, which costs a quarter of one itself."""

_LogWrite = steps.WriteBlock | steps.WriteCertificate
_EngineWrite = steps.PersistRecords | steps.ForgetRecords


@define
class Disk:
    storage: Storage
    done: Callable[[steps.Input], None]
    _log: Worker[_LogWrite] = field(init=False)
    _tree: Worker[steps.UpdateTree] = field(init=False)
    _engine: Worker[_EngineWrite] = field(init=False)
    _flush_now: trio.Event = field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self._log = Worker(self._write_log)
        self._tree = Worker(self._update_tree)
        self._engine = Worker(self._write_engine)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for worker in (self._log, self._tree, self._engine):
                nursery.start_soon(worker.run)
            nursery.start_soon(self._flush_often)

    # --- effects: none of them waits -----------------------------------------------------------------------------

    def write(self, effect: _LogWrite) -> None:
        self._log.put(effect)

    def update_tree(self, effect: steps.UpdateTree) -> None:
        self._tree.put(effect)

    def persist(self, effect: _EngineWrite) -> None:
        if self.storage.engine_log is None:
            raise LocalProtocolError(f"{type(effect).__name__}: only a validator's engine has something to persist")
        self._engine.put(effect)

    def publish(self, effect: steps.Publish) -> None:
        self.storage.publish(effect)
        if self.storage.view.unflushed_keys > FLUSH_KEYS:
            self._flush_now.set()

    # --- workers -------------------------------------------------------------------------------------------------

    async def _write_log(self, batch: list[_LogWrite]) -> None:
        await trio.to_thread.run_sync(self._write_log_in_thread, batch)
        for effect in batch:
            match effect:
                case steps.WriteBlock(block=block):
                    self.done(steps.BlockWritten(height=block.header.height))
                case steps.WriteCertificate(certificate=certificate):
                    self.done(steps.CertificateWritten(height=certificate.statement.height))

    def _write_log_in_thread(self, batch: list[_LogWrite]) -> None:
        for effect in batch:
            match effect:
                case steps.WriteBlock(block=block, certificate=certificate):
                    self.storage.write_block(block, certificate)
                case steps.WriteCertificate(certificate=certificate):
                    self.storage.write_certificate(certificate)

    async def _update_tree(self, batch: list[steps.UpdateTree]) -> None:
        for effect in batch:
            if len(effect.changes) <= INLINE_CHANGES_MAX:
                root = self.storage.update_tree(effect.changes)
            else:
                root = await trio.to_thread.run_sync(self.storage.update_tree, effect.changes)
            self.done(steps.TreeUpdated(height=effect.height, state_root=root))

    async def _write_engine(self, batch: list[_EngineWrite]) -> None:
        """All records with one sync; what may be forgotten comes after, for forgetting late does no harm."""
        log = self.storage.engine_log
        assert log is not None
        persists = [effect for effect in batch if isinstance(effect, steps.PersistRecords)]
        below = max((effect.below_height for effect in batch if isinstance(effect, steps.ForgetRecords)), default=0)
        if persists:
            await trio.to_thread.run_sync(log.persist, persists)
        for effect in persists:
            self.done(steps.RecordsPersisted(token=effect.token))
        if below:
            await trio.to_thread.run_sync(log.forget, below)

    async def _flush_often(self) -> None:
        view = self.storage.view
        while True:
            with trio.move_on_after(FLUSH_EVERY_S):
                await self._flush_now.wait()
            self._flush_now = trio.Event()
            if finished := view.finished():
                await trio.to_thread.run_sync(self.storage.store.put, finished)
                view.flushed(finished[-1].height)
