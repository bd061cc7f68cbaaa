"""The runtime's home: what has to be on this machine's disk beside what the engine keeps.

HOME/                         0700
lock                          held by the agent that uses this home
labels.key                    0600, see `labels`
resolv.conf                   mounted into every workload: there is no name server in a sandbox
instances/<16 hex digits of the instance's id>/
  record.json                 how often it was started, and why it could not be: what no engine says
  hosts                       mounted over /etc/hosts, rewritten in place
  exec/                       which commands run beside it: a killed agent's are ended by the next

The way to what is mounted must be open to the engine alone, which is root; a container sees the file, not the way.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers.processes import Process

INSTANCES, RECORD, HOSTS, RESOLV, EXECS = "instances", "record.json", "hosts", "resolv.conf", "exec"
HOSTS_HEAD = "127.0.0.1 localhost\n::1 localhost\n"
RESOLV_TEXT = "# Photon: the names of this deployment's services are in /etc/hosts; there is no name server.\n"


@frozen(kw_only=True)
class Record:
    """`starts` of instances of this `spec_digest`. `fault`: why the last start failed, at `since_ms`."""

    instance: str
    spec_digest: str = ""
    starts: int = 0
    fault: str = ""
    since_ms: int = 0

    @property
    def restarts(self) -> int:
        return max(0, self.starts - 1)


class Home:
    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def prepare(self) -> None:
        (self.path / INSTANCES).mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def only_one(self) -> Iterator[None]:
        """Raises RuntimeFailure when another agent uses it."""
        self.prepare()
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                what = f"another agent already runs workloads in {self.path}"
                raise RuntimeFailure(what, "stop it, or give this one its own home") from None
            write_in_place(self.resolv, RESOLV_TEXT)
            yield

    @property
    def resolv(self) -> Path:
        return self.path / RESOLV

    def folder(self, instance: InstanceId) -> Folder:
        name = hashlib.blake2b(str(instance).encode(), digest_size=8).hexdigest()
        return Folder(self.path / INSTANCES / name, instance)

    def folders(self) -> list[Folder]:
        """In a fixed order; one whose record is missing or torn was being made or removed, and goes."""
        found = []
        for path in sorted((self.path / INSTANCES).iterdir()):
            instance = _instance_of(read_json(path / RECORD))
            if instance is None:
                shutil.rmtree(path, ignore_errors=True)
            else:
                found.append(Folder(path, instance))
        return found


class Folder:
    """One instance's."""

    def __init__(self, path: Path, instance: InstanceId) -> None:
        self.path, self.instance = path, instance

    @property
    def hosts(self) -> Path:
        return self.path / HOSTS

    def prepare(self) -> None:
        if not (self.path / RECORD).exists():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.write(Record(instance=str(self.instance)))
        if not self.hosts.exists():
            self.write_hosts(())

    def record(self) -> Record:
        said = read_json(self.path / RECORD) or {}
        try:
            return Record(**said)
        except TypeError:  # missing, torn, or another version's
            return Record(instance=str(self.instance))

    def write(self, record: Record) -> None:
        if self.path.exists():  # it does not come back when its lease was removed meanwhile
            write_file(self.path / RECORD, json.dumps(asdict(record)).encode())

    def write_hosts(self, hosts: tuple[tuple[str, str], ...]) -> None:
        write_in_place(self.hosts, HOSTS_HEAD + "".join(f"{address} {name}\n" for name, address in hosts))

    def note_exec(self, process: Process) -> None:
        (self.path / EXECS).mkdir(exist_ok=True)
        (self.path / EXECS / f"{process.pid}-{process.started}").touch()

    def forget_exec(self, process: Process) -> None:
        (self.path / EXECS / f"{process.pid}-{process.started}").unlink(missing_ok=True)

    def execs(self) -> list[Process]:
        found = []
        with contextlib.suppress(FileNotFoundError):
            for path in (self.path / EXECS).iterdir():
                pid, _, started = path.name.partition("-")
                if pid.isdecimal() and started.isdecimal():
                    found.append(Process(int(pid), int(started)))
        return found

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def _instance_of(said: dict[str, Any] | None) -> InstanceId | None:
    try:
        lease, service, ordinal = str((said or {})["instance"]).rsplit("/", 2)
        return InstanceId(LeaseId.parse(lease), service, int(ordinal))
    except (KeyError, ValueError):
        return None


def read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_file(path: Path, contents: bytes, *, synced: bool = False) -> None:
    """All of it or nothing; with `synced` also when the machine loses power. For this user's eyes."""
    part = path.with_name(path.name + ".part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(contents)
        if synced:
            file.flush()
            os.fsync(fd)
    part.replace(path)


def write_in_place(path: Path, text: str) -> None:
    """What is mounted is the file, not its name, so it stays the same one. Shorter contents are cut after."""
    if path.exists() and path.read_text() == text:
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    with os.fdopen(fd, "w") as file:
        os.fchmod(fd, 0o644)
        file.write(text)
        file.truncate()
