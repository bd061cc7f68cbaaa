"""A sandbox's folder: its layout, and what it says about who lives there.

HOME/sandboxes/<16 hex digits of the instance's id>/    0700
identity.json   whose it is; written by the agent before anything else
sandbox.json    which process is its helper: pid and start time; written by the helper's parent
workload.json   what became of the workload; written by the helper
control         the helper's socket
hosts           bound to /etc/hosts inside, rewritten in place
work/ tmp/      the workload's own: its current directory, /tmp
log/            its output, in segments
root/           where the helper builds the file tree, in its own mount namespace: always empty out here
helper.err      what the helper said when it could not go on
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from photon_core.api.ids import Hash, InstanceId, LeaseId
from photon_core.api.runtime import InstanceState
from photon_runtime_process.helper.plan import (
    HOSTS_FILE,
    LOG_DIR,
    ROOT_DIR,
    STATE_FILE,
    TMP_DIR,
    WORK_DIR,
    WORKLOAD_FILE,
    start_time,
    write_json,
)
from photon_runtime_process.helper.workload import Life

SANDBOXES, IDENTITY_FILE, CONTROL = "sandboxes", "identity.json", "control"
STATES = frozenset(state.value for state in InstanceState)
HOSTS_HEAD = "127.0.0.1 localhost\n::1 localhost\n"


@frozen(kw_only=True)
class Owner:
    """The labels of everything that one agent makes."""

    chain_id: Hash
    agent: str


@frozen
class Helper:
    """A process, named for ever: a pid comes back, a pid with its start time does not."""

    pid: int
    start_time: int

    @property
    def alive(self) -> bool:
        return start_time(self.pid) == self.start_time != 0


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, home: Path, instance: InstanceId) -> Folder:
        return cls(home / SANDBOXES / hashlib.blake2b(str(instance).encode(), digest_size=8).hexdigest())

    @classmethod
    def all_in(cls, home: Path) -> Iterator[Folder]:
        """In a fixed order, also those that are half made."""
        with contextlib.suppress(FileNotFoundError):
            yield from (cls(path) for path in sorted((home / SANDBOXES).iterdir()))

    @property
    def log(self) -> Path:
        return self.path / LOG_DIR

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    # --- what it says ------------------------------------------------------------------------------------------------

    def identity(self, owner: Owner) -> InstanceId | None:
        """None when the folder is half made, or another agent's."""
        said = self._read(IDENTITY_FILE)
        if not said or (said["chain_id"], said["agent"]) != (owner.chain_id.hex(), owner.agent):
            return None
        return InstanceId(LeaseId.parse(said["lease"]), said["service"], said["ordinal"])

    def helper(self) -> Helper | None:
        """The living helper, if there is one."""
        said = self._read(STATE_FILE)
        helper = Helper(said["pid"], said["start_time"]) if said else None
        return helper if helper and helper.alive else None

    def life(self) -> Life:
        """As new where it says nothing, or nothing that we understand: see `legible`."""
        return self._life() or Life(state="sandbox")

    @property
    def legible(self) -> bool:
        """False when a helper of another version wrote words that are not ours: nobody can say what it runs."""
        return self._life() is not None or self._read(WORKLOAD_FILE) is None

    def _life(self) -> Life | None:
        said = self._read(WORKLOAD_FILE)
        if said is None or said.get("state") not in STATES:
            return None
        try:
            return Life(**said)
        except TypeError:
            return None

    def _read(self, name: str) -> dict[str, Any] | None:
        """Missing and torn are the same (a machine that lost power may leave an empty file): start anew."""
        try:
            value = json.loads((self.path / name).read_bytes())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    # --- making and unmaking -----------------------------------------------------------------------------------------

    def prepare(self, instance: InstanceId, owner: Owner, uid: int, gid: int) -> None:
        """Everything but the helper. What an earlier sandbox of this name left is removed, except for its log."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for child in self.path.iterdir():
            if child.name != LOG_DIR:
                _remove(child)
        for name, mode in ((ROOT_DIR, 0o755), (LOG_DIR, 0o700), (WORK_DIR, 0o700), (TMP_DIR, 0o1777)):
            directory = self.path / name
            directory.mkdir(exist_ok=True)
            directory.chmod(mode)
            if name in {WORK_DIR, TMP_DIR} and os.geteuid() == 0:
                os.chown(directory, uid, gid)
        self.write_hosts(())
        with self.opened() as fd:
            write_json(
                fd,
                IDENTITY_FILE,
                {
                    "chain_id": owner.chain_id.hex(),
                    "agent": owner.agent,
                    "lease": str(instance.lease),
                    "service": instance.service,
                    "ordinal": instance.ordinal,
                },
            )

    def write_hosts(self, hosts: tuple[tuple[str, str], ...]) -> None:
        """In place: what is bound into the sandbox is this file, not its name. Shorter contents are cut after."""
        text = HOSTS_HEAD + "".join(f"{address} {name}\n" for name, address in hosts)
        path = self.path / HOSTS_FILE
        if path.exists() and path.read_text() == text:
            return
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        with os.fdopen(fd, "w") as file:
            os.fchmod(fd, 0o644)
            file.write(text)
            file.truncate()

    def empty_work(self) -> None:
        """A workload that is made anew finds nothing of the one before. The folders stay: they are bound inside."""
        for name in (WORK_DIR, TMP_DIR):
            for child in (self.path / name).iterdir():
                _remove(child)

    def remove(self) -> None:
        """Only after its helper is dead."""
        _remove(self.path)


def _remove(path: Path) -> None:
    """Also folders that their owner, a workload under our own uid, made unreadable."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return

    def unlock(function: Any, name: str, problem: Any) -> None:  # noqa: ARG001 - shutil's signature
        parent = Path(name).parent
        for locked in (parent, Path(name)):
            if locked.is_dir() and not locked.is_symlink():
                locked.chmod(0o700)
        if Path(name).is_dir() and not Path(name).is_symlink():
            shutil.rmtree(name)
        else:
            Path(name).unlink(missing_ok=True)

    shutil.rmtree(path, onerror=unlock)
