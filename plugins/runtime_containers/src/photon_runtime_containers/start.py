"""What has to be so before the runtime can be used: found out by trying, once, at start."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import trio
from attrs import frozen

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.runtime import RuntimeFailure
from photon_runtime_containers import netns, pause
from photon_runtime_containers.calls import Calls
from photon_runtime_containers.engine import CALL_TIMEOUT_S, CannotStart, ContainerSpec, NoSuchContainer, PullFailure
from photon_runtime_containers.holdings import Holdings
from photon_runtime_containers.labels import Identity, Owner, Role
from photon_runtime_containers.processes import Process

log = logging.getLogger(__name__)

PROBE = Identity(instance=InstanceId(LeaseId(0, 0, 0), "probe", 0), role=Role.PROBE)
BECOMES_S = 2.0
"""runc needs some milliseconds, on a busy machine more."""
REMEDY = (
    "run the agent as root, on the machine of the engine and in its PID namespace (in a container: --pid host "
    "--cap-add SYS_ADMIN --cap-add SYS_PTRACE)"
)


@frozen(kw_only=True)
class Machine:
    """What was found out."""

    sandbox_image: str
    cpu_count: int
    limits_storage: bool


async def prepare(calls: Calls, owner: Owner, ground: Ground) -> Machine:
    """RuntimeFailure, with what to do, when no sandbox can be made here or nobody may enter one."""
    info = await calls.ask(calls.engine.info)
    if info.rootless:
        what = f"{info.name} at {calls.engine.where} runs without root: its limits are not sure to hold"
        raise RuntimeFailure(what, "use an engine that runs as root")
    for warning in info.warnings:
        log.warning("%s: %s", info.name, warning)
    image = pause.image_name(info.architecture)
    if await calls.ask(lambda: calls.engine.image(image)) is None:
        archive = pause.archive(info.architecture)
        await calls.do(lambda: calls.engine.load(archive))
    for holding in (await Holdings(calls, owner).look()).values():
        for held in holding.surplus:
            await calls.do(partial(calls.engine.remove, held.id))
    await _try_sandbox(calls, owner, image, ground)
    limits_storage = await calls.do(lambda: calls.engine.limits_storage(image))
    if not limits_storage:
        log.warning("%s cannot limit what a workload writes to disk here (its README says what can)", info.name)
    log.info("%s %s at %s", info.name, info.version, calls.engine.where)
    return Machine(sandbox_image=image, cpu_count=info.cpu_count, limits_storage=limits_storage)


async def _try_sandbox(calls: Calls, owner: Owner, image: str, ground: Ground) -> None:
    """Makes one, enters its network, and removes it."""
    name = owner.name(PROBE)
    spec = ContainerSpec(name=name, image=image, labels=tuple(owner.labels(name, PROBE).items()), read_only=True)
    container = ""
    try:
        container = await calls.do(lambda: calls.engine.create(spec))
        await calls.do(lambda: calls.engine.start(container))
        seen = await calls.ask(lambda: calls.engine.inspect(container))
        await ground.enter(seen.pid)
    except (CannotStart, NoSuchContainer, PullFailure) as problem:
        what = f"{calls.engine.where} cannot start a sandbox: {problem}"
        raise RuntimeFailure(what, "see the engine's log") from None
    finally:
        if container:
            await calls.do(lambda: calls.engine.remove(container), CALL_TIMEOUT_S)


async def _enter(pid: int) -> None:
    process = Process.of(pid) if pid else None
    with trio.move_on_after(BECOMES_S):  # an engine says that it runs a moment before runc has become the program
        while process is not None and process.alive and not _is_sandbox(pid):  # noqa: ASYNC110 - exec has no event
            await trio.sleep(0.01)
    if process is None or not _is_sandbox(pid):
        raise RuntimeFailure("the engine's containers are in another PID namespace than this agent", REMEDY)
    try:
        (await netns.within(process, netns.fresh_socket)).close()
    except OSError as problem:
        raise RuntimeFailure(f"this agent may not enter its sandboxes' networks: {problem.strerror}", REMEDY) from None


def _is_sandbox(pid: int) -> bool:
    """The same number may be another process here."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] == pause.PROGRAM.encode()
    except OSError:
        return False


async def _open_ports(process: Process) -> None:
    await netns.within(process, netns.allow_low_ports)


@frozen(kw_only=True)
class Ground:
    """What is done to this machine beside the engine: a test without an engine stands on another.

    `enter` tries a sandbox whose first process is this pid, `open_ports` prepares one, `same_network` compares the pids
    of a sandbox and of a workload.
    """

    enter: Callable[[int], Awaitable[None]] = _enter
    open_ports: Callable[[Process], Awaitable[None]] = _open_ports
    same_network: Callable[[int, int], bool] = netns.same_network


def disk_bytes(folder: str, otherwise: Path) -> int:
    """Of the disk where the engine keeps containers, if that is a folder here too."""
    disk = os.statvfs(folder if folder and Path(folder).is_dir() else otherwise)
    return disk.f_blocks * disk.f_frsize
