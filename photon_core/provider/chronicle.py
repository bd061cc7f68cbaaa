"""The newest events of each lease, on disk: what happened is asked when it is over, also by the next agent.

    events/17-0-1.cbor      one file for each lease: its newest events, and the sight that they were told up to

Leases that are over keep theirs until there are LEASES_KEPT_MAX others: the oldest file goes first. A disk that takes
nothing loses events, and nothing else: they are told from memory, and each change tries again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import trio
from attrs import define, evolve, frozen

from photon_core.api import codec, fields
from photon_core.api.errors import CodecError
from photon_core.api.ids import LeaseId
from photon_core.chain.files import write_atomically
from photon_core.peers.methods import LEASE_EVENTS_MAX, LeaseEvent

from .happenings import NEVER, Sight, happened

log = logging.getLogger(__name__)

LEASES_KEPT_MAX = 1024
FILE_BYTES_MAX = 4 * 2**20
SAVE_EVERY_S = 1.0
FOLDER_MODE = 0o700


@frozen(kw_only=True)
class Kept:
    """`sequence`: of the newest event that ever was."""

    sequence: int = fields.uint(default=0)
    sight: Sight = fields.record(Sight, NEVER)
    events: tuple[LeaseEvent, ...] = fields.listof(fields.record_form(LeaseEvent), LEASE_EVENTS_MAX, 0, ())

    def told(self, sight: Sight, now_ms: int) -> Kept:
        events, kept = happened(self.sight, sight, now_ms)
        numbered = [evolve(event, sequence=self.sequence + 1 + at) for at, event in enumerate(events)]
        return Kept(
            sequence=self.sequence + len(numbered),
            sight=kept,
            events=(*self.events, *numbered)[-LEASE_EVENTS_MAX:],
        )


@define
class _Live:
    """A lease's, in memory while it is active. `over`: it is no more, and goes once it is on disk."""

    kept: Kept
    unsaved: bool = False
    over: bool = False


class Chronicle:
    """`record` after each look; `run` reads and writes. Two of them must not share a folder."""

    def __init__(self, folder: Path, now_ms: Callable[[], int]) -> None:
        self._folder, self._now_ms = folder, now_ms
        self._live: dict[LeaseId, _Live] = {}
        self._on_disk: set[str] = set()
        self._wanted: set[LeaseId] = set()
        self._news, self._work = trio.Event(), trio.Event()

    # --- telling ------------------------------------------------------------------------------------------------------

    def record(self, seen: Mapping[LeaseId, Sight]) -> None:
        """Never waits, and never raises: it is called in the middle of the agent's look."""
        try:
            for lease, sight in seen.items():
                if lease in self._live or lease.label not in self._on_disk:
                    self._tell(lease, sight)
                else:
                    self._want(lease)  # what an earlier agent told comes first, with the next look
            for lease, live in self._live.items():
                if lease not in seen and not live.over:
                    self._tell(lease, Sight(instances=()))
                    live.over = True
                    self._work.set()
        except Exception:
            log.exception("what happened could not be told")

    def _tell(self, lease: LeaseId, sight: Sight) -> None:
        live = self._live.setdefault(lease, _Live(Kept()))
        live.over = False
        told = live.kept.told(sight, self._now_ms())
        if told.sequence != live.kept.sequence:
            live.unsaved = True
            self._work.set()
            self._news.set()
            self._news = trio.Event()
        live.kept = told

    def _want(self, lease: LeaseId) -> None:
        self._wanted.add(lease)
        self._work.set()

    # --- asking -------------------------------------------------------------------------------------------------------

    async def events(self, lease: LeaseId, after: int = 0) -> tuple[LeaseEvent, ...]:
        """Those with a higher sequence, in order."""
        live = self._live.get(lease)
        kept = live.kept if live else await trio.to_thread.run_sync(self._read, lease)
        return tuple(event for event in kept.events if event.sequence > after)

    async def wait_news(self, lease: LeaseId, after: int, within_s: float) -> None:
        """Until the lease has such an event, or not."""
        with trio.move_on_after(within_s):
            while not await self.events(lease, after):
                await self._news.wait()

    # --- the disk -----------------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._on_disk = await trio.to_thread.run_sync(self._names)
        task_status.started()
        while True:
            await self._work.wait()
            self._work = trio.Event()
            for lease in tuple(self._wanted):
                kept = await trio.to_thread.run_sync(self._read, lease)
                self._live.setdefault(lease, _Live(kept))
                self._wanted.discard(lease)
            await self._save()
            await trio.sleep(SAVE_EVERY_S)

    async def _save(self) -> None:
        for lease, live in tuple(self._live.items()):
            if live.unsaved:
                live.unsaved = False
                try:
                    await trio.to_thread.run_sync(self._write, lease, live.kept)
                except OSError as error:
                    live.unsaved = True
                    log.warning("what happened to lease %s is not on disk: %s", lease, error.strerror or error)
                else:
                    self._on_disk.add(lease.label)
            if live.over and not live.unsaved:
                del self._live[lease]

    def _write(self, lease: LeaseId, kept: Kept) -> None:
        self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        write_atomically(self._folder / f"{lease.label}.cbor", codec.encode_record(kept), 0o600)
        files = list(self._folder.glob("*.cbor"))
        if len(files) > LEASES_KEPT_MAX:
            min(files, key=lambda path: path.stat().st_mtime_ns).unlink(missing_ok=True)

    def _read(self, lease: LeaseId) -> Kept:
        path = self._folder / f"{lease.label}.cbor"
        try:
            return codec.decode_record(Kept, path.read_bytes(), FILE_BYTES_MAX)
        except FileNotFoundError:
            return Kept()
        except (OSError, CodecError) as error:
            log.warning("what happened to lease %s cannot be read and begins anew: %s", lease, error)
            return Kept()

    def _names(self) -> set[str]:
        return {path.stem for path in self._folder.glob("*.cbor")}
