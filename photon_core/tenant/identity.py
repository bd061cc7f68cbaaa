"""The keeper's node key: who it is on the transport. It has no account and no money.

    home/keeper/node.seed    32 bytes, made by whoever needs it first: `deploy` delegates to it, `serve` is it

Not encrypted: it lies beside the manifests that it may deliver, which are not either, and a keeper starts unattended.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from photon_core.api.errors import PhotonError
from photon_core.chain import keys
from photon_core.chain.files import FolderLock, sync_folder, write_atomically
from photon_core.chain.keys import SEED_BYTES, KeyPurpose, SigningKey

FOLDER = "keeper"


def keeper_key(home: Path) -> SigningKey:
    """Made if there is none. Two processes that make it at once end with the same."""
    folder = home / FOLDER
    path = folder / "node.seed"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mine = folder / f"node.seed.{os.getpid()}"
        write_atomically(mine, keys.generate(KeyPurpose.NODE).seed)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(mine)  # unlike a rename, this leaves the key of whoever was first
        mine.unlink()
        sync_folder(folder)
    seed = path.read_bytes()
    if len(seed) != SEED_BYTES:
        raise PhotonError(
            code="damaged-key",
            what="this is no node key",
            where=str(path),
            expected=f"{SEED_BYTES} bytes",
            found=f"{len(seed)} bytes",
            remedy="delete the file, then run `photon serve grant` for each owner",
        )
    return keys.from_seed(seed, KeyPurpose.NODE)


def is_kept(home: Path) -> bool:
    """Whether a keeper runs from this home."""
    try:
        FolderLock(home / FOLDER).release()
    except PhotonError:
        return True
    return False
