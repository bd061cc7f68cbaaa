"""A new store for a key whose store is lost, damaged or old: for the operator's command, which names the risk.

What the old store can still be read to know, the new one knows too. The old folder is set aside, never deleted; so is
an engine's log that no start could read. A lost one is begun anew.
"""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

from attrs import evolve, frozen

from photon_core.api.consensus import IN_FLIGHT_MAX
from photon_core.api.errors import CodecError, PhotonError
from photon_core.api.ids import ConsensusKey, Hash
from photon_core.node.engine_log import EngineLog

from .memory import LogMemory, SignedSlot, Standing, decode_memory
from .store import IDENTITY_FILE, SIGNER_FOLDER, has_joined, read_identity, write_store

ENGINE_FOLDER = "chain/engine"
"""Below a validator's home."""
_NEW_FOLDER = "signer.new"
"""What a crash leaves of a recovery: of no use, and removed by the next one."""


@frozen(kw_only=True)
class Recovered:
    """`replaced` None: there was no store. `slots_kept`: what the old one still knew above its mark."""

    replaced: Path | None
    slots_kept: int
    abstains_until: int


@frozen(kw_only=True)
class _Kept:
    standing: Standing
    slots: tuple[SignedSlot, ...] = ()
    chain_id: bytes = b""


def recover_store(home: Path, key: ConsensusKey, *, abstains_until: int) -> Recovered:
    """A store in `home` for `key` that signs nothing up to this height. No process may run from `home`.

    Signatures that it does not know are no news up to two windows more, or the start-up rule would take the operator's
    decision back. PhotonError when another process has the folder, or the disk fails.
    """
    folder, new = home / SIGNER_FOLDER, home / _NEW_FOLDER
    kept = _readable(folder, key)
    standing = evolve(kept.standing, abstains_until=abstains_until, doubts_until=abstains_until + 2 * IN_FLIGHT_MAX)
    shutil.rmtree(new, ignore_errors=True)
    write_store(new, standing, kept.slots, kept.chain_id)
    replaced = _set_aside(folder)
    new.rename(folder)
    return Recovered(replaced=replaced, slots_kept=len(kept.slots), abstains_until=abstains_until)


def renew_engine_log(home: Path, chain_id: Hash) -> Path | None:
    """Where the engine's log is now, if it cannot be read; the next start begins with an empty one, as it does where
    there is none. After `recover_store`, since only the new store's silence makes up for it; PhotonError as there.

    A whole one stays. It has what the engine promised for the heights right after those that the store is silent at.
    """
    folder = home / ENGINE_FOLDER
    aside = _set_aside(folder) if folder.exists() and not _can_be_read(folder, chain_id) else None
    if has_joined(home / SIGNER_FOLDER):  # else its first start begins it
        log = EngineLog(folder)
        try:
            if not log.is_begun:
                log.begin()
        finally:
            log.close()
    return aside


def _can_be_read(folder: Path, chain_id: Hash) -> bool:
    try:
        log = EngineLog(folder)
        try:
            log.read(chain_id)
        finally:
            log.close()
    except PhotonError as error:
        if error.code != "corrupt-folder":
            raise
        return False
    return True


def _readable(folder: Path, key: ConsensusKey) -> _Kept:
    nothing = _Kept(standing=Standing(key=key))
    if not (folder / IDENTITY_FILE).exists():
        return nothing
    try:
        memory = LogMemory(folder)
    except PhotonError as error:
        if error.code != "corrupt-folder":
            raise
        return nothing
    try:
        signed, standing = decode_memory(memory.read_all(), key)
        chain_id = read_identity(folder).chain_id
    except (PhotonError, CodecError):
        return nothing
    finally:
        memory.close()
    slots = [SignedSlot(slot=slot, digest=found, round_floor=standing.round_floor) for slot, found in signed.items()]
    return _Kept(standing=standing, slots=tuple(slots), chain_id=chain_id)


def _set_aside(folder: Path) -> Path | None:
    if not folder.exists():
        return None
    aside = next(
        path for number in count(1) if not (path := folder.with_name(f"{folder.name}.replaced-{number}")).exists()
    )
    folder.rename(aside)
    return aside
