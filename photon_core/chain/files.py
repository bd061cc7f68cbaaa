"""Files and folders: written so that a crash leaves the old file or the new one, and used by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

from photon_core.api.errors import PhotonError


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """`path` holds `data` and is on disk when this returns. OSError leaves what was there before."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes names in `folder` (new, renamed, removed files) survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FolderLock:
    """One process per folder. The kernel lets go of it when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder if need be; PhotonError when another process has it."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PhotonError(
                code="bad-folder",
                what=f"cannot be used: {error.strerror}",
                where=str(folder),
                remedy="Name a folder that you may write to.",
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise PhotonError(
                code="folder-in-use",
                what="another process uses this folder",
                where=str(folder),
                found=f"process {owner}" if owner else "",
                remedy="Stop that process first, or name another folder: two would destroy each other's data.",
            ) from None
        with contextlib.suppress(OSError):  # for people only; on a full disk the lock holds without it
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
