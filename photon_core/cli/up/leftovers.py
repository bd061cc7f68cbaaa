"""What a killed `photon up` left behind, found and removed by the next.

Its members die with it, so what can be left is: its folder, if it was a temporary one; workloads, if an agent was
killed too; and a member that somebody started by hand. Whether a run lives is told by the lock in its folder, which the
kernel lets go of when the process ends. So nothing is ever taken from a run that lives, and no list of runs can be
wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import trio

from photon_core.api.errors import PhotonError
from photon_core.api.runtime import RuntimeFailure
from photon_core.chain.files import FolderLock
from photon_core.chain.genesis import chain_id, load_genesis
from photon_core.cli.up.children import process_name
from photon_core.cli.up.layout import Member, NetworkFolder, Role
from photon_core.node.config import read_config
from photon_core.plugins import PluginManager, choose
from photon_core.plugins.files import plugin_settings
from photon_core.provider.config import load_config
from photon_core.provider.sweep import remove_workloads

PREFIX = "photon-up-"
KILLED_WITHIN_S = 10.0


def temporary_folder() -> Path:
    """A new one, 0700."""
    return Path(tempfile.mkdtemp(prefix=PREFIX))


def abandoned() -> Iterator[tuple[NetworkFolder, FolderLock]]:
    """Temporary folders of this user whose `up` is dead, locked for the caller."""
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*")):
        try:
            if path.is_symlink() or path.stat().st_uid != os.geteuid() or not (path / "lock").exists():
                continue
            lock = FolderLock(path)
        except (PhotonError, OSError):  # it lives, or has just gone
            continue
        yield NetworkFolder(path), lock


async def remove_abandoned() -> list[str]:
    """Says what it did, a line for each folder."""
    said = []
    for folder, lock in abandoned():
        try:
            await end_all(folder)
            await trio.to_thread.run_sync(shutil.rmtree, folder.path)
            said.append(f"removed what a killed run left in {folder.path}")
        except (PhotonError, OSError) as error:
            said.append(f"could not remove what a killed run left in {folder.path}: {error}")
        finally:
            lock.release()
    return said


async def end_all(folder: NetworkFolder) -> None:
    """Nothing of this network runs any more: no member, whoever started it, and no workload. PhotonError when a runtime
    could not see to that, as when its engine is not there.
    """
    failures: list[RuntimeFailure] = []

    async def end_workloads_or_tell(home: Path) -> None:
        try:
            await end_workloads(folder, home)
        except* RuntimeFailure as group:  # of the nursery that the runtime ran in
            failures.extend(_leaves(group))

    async with trio.open_nursery() as nursery:
        for member in folder.members:
            for pid in _processes(folder, member):
                nursery.start_soon(_end, pid)
    if folder.genesis.exists():
        async with trio.open_nursery() as nursery:
            for member in folder.members:
                if member.role is Role.PROVIDER:
                    nursery.start_soon(end_workloads_or_tell, folder.home(member))
    if failures:
        raise PhotonError(code="runtime", what=failures[0].what, remedy=failures[0].remedy)


def _leaves(group: BaseExceptionGroup[RuntimeFailure]) -> Iterator[RuntimeFailure]:
    for one in group.exceptions:
        yield from _leaves(one) if isinstance(one, BaseExceptionGroup) else (one,)


async def end_workloads(folder: NetworkFolder, home: Path) -> None:
    """Through the runtime that this provider used, as its agent would."""
    config = load_config(home)
    if not config.folder.exists():
        return
    settings = plugin_settings(read_config(home), str(home))
    plugins = PluginManager(choose(config=settings.plugins), tables=settings.plugin)
    await remove_workloads(config, plugins, chain_id(load_genesis(folder.genesis)))


def _processes(folder: NetworkFolder, member: Member) -> list[int]:
    """Those that run as this member: forked by an `up` that was killed meanwhile, or started by its command."""
    forked = _forked(folder, member)
    verb, home = folder.command(member, "")[0], str(folder.home(member))
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            arguments = _read(entry / "cmdline").split("\0")
            by_hand = verb in arguments and ("--home", home) in pairwise(arguments)
            if by_hand or (entry.name == forked and _read(entry / "comm").strip() == process_name(member.name)):
                found.append(int(entry.name))
    return found


def _forked(folder: NetworkFolder, member: Member) -> str:
    """The process id that a killed `up` wrote down; empty after an orderly end."""
    try:
        return str(json.loads(folder.network_file.read_text())["members"][member.name]["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has just ended
        return ""


async def _end(pid: int) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(pidfd, number)
            with trio.move_on_after(KILLED_WITHIN_S):
                await trio.lowlevel.wait_readable(pidfd)
                return
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)
