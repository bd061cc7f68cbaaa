"""Between our records and Docker's JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from photon_runtime_containers.engine import (
    Container,
    ContainerSpec,
    ContainerState,
    EngineEvent,
    EngineInfo,
    Image,
    Limits,
    Listed,
)

LOG_FILES = 3
"""Output is in so many files; a full one drops the oldest, so this much of it may be missing at any time: a third."""
NANO_PER_MILLI = 10**6
STATES = {"created": ContainerState.CREATED, "exited": ContainerState.EXITED, "dead": ContainerState.EXITED}
NEVER = "0001-01-01"
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(Z|[+-]\d\d:\d\d)")


def info_of(said: Mapping[str, Any]) -> EngineInfo:
    options = [str(option) for option in said.get("SecurityOptions") or ()]
    warnings = [
        f"the kernel cannot limit {what}: workloads may use more than they pay for"
        for key, what in (("MemoryLimit", "memory"), ("CpuCfsQuota", "cores"), ("PidsLimit", "processes"))
        if said.get(key) is False
    ]
    if said.get("SwapLimit") is False:
        warnings.append("the kernel cannot limit swap: boot it with swapaccount=1, or use no swap")
    if not any("seccomp" in option for option in options):
        warnings.append("the engine filters no system calls (no seccomp)")
    return EngineInfo(
        name="Docker",
        version=str(said.get("ServerVersion", "")),
        architecture=str(said.get("Architecture", "")),
        cpu_count=int(said.get("NCPU", 0)),
        memory_bytes=int(said.get("MemTotal", 0)),
        folder=str(said.get("DockerRootDir", "")),
        rootless=any("rootless" in option for option in options),
        warnings=tuple(warnings),
    )


def image_of(said: Mapping[str, Any]) -> Image:
    config = said.get("Config") or {}
    return Image(
        id=str(said["Id"]),
        user=str(config.get("User") or ""),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
    )


def config_of(spec: ContainerSpec) -> dict[str, Any]:
    """What `POST /containers/create` takes. Everything that is not said here is Docker's default."""
    config: dict[str, Any] = {
        "Image": spec.image,
        "Labels": dict(spec.labels),
        "Env": [f"{key}={value}" for key, value in spec.env],
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(spec),
    }
    if spec.entrypoint:
        config["Entrypoint"] = list(spec.entrypoint)
    if spec.command:
        config["Cmd"] = list(spec.command)
    if spec.hostname and spec.network_of is None:
        config["Hostname"] = spec.hostname
    return config


def _host_config(spec: ContainerSpec) -> dict[str, Any]:
    host: dict[str, Any] = {
        "NetworkMode": "none" if spec.network_of is None else f"container:{spec.network_of}",
        "CapDrop": ["ALL"],
        "CapAdd": list(spec.capabilities),
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "IpcMode": "private",
        "ReadonlyRootfs": spec.read_only,
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "PublishAllPorts": False,
        "Init": False,
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "Mounts": [
            {"Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}
            for mount in spec.mounts
        ],
        "Tmpfs": {path: f"rw,nosuid,nodev,mode=1777,size={size}" for path, size in spec.temporary},
        **limits_to(spec.limits),
    }
    if spec.log_bytes:
        per_file = max(1, spec.log_bytes // LOG_FILES)
        host["LogConfig"] = {"Type": "json-file", "Config": {"max-size": str(per_file), "max-file": str(LOG_FILES)}}
    else:
        host["LogConfig"] = {"Type": "none", "Config": {}}
    if spec.storage_bytes:
        host["StorageOpt"] = {"size": str(spec.storage_bytes)}
    return host


def limits_to(limits: Limits) -> dict[str, Any]:
    """As both creation and update take them. Memory and swap together are what memory alone may be: no swap."""
    swap = limits.memory_bytes or -1
    return {
        "NanoCpus": limits.cpu_milli * NANO_PER_MILLI,
        "Memory": limits.memory_bytes,
        "MemorySwap": swap if limits.memory_bytes else 0,
        "PidsLimit": limits.pids_max or -1,
    }


def listed_of(said: Mapping[str, Any]) -> Listed:
    names = said.get("Names") or [""]
    return Listed(
        id=str(said["Id"]),
        name=str(names[0]).removeprefix("/"),
        labels={str(key): str(value) for key, value in (said.get("Labels") or {}).items()},
        state=_state(str(said.get("State", ""))),
    )


def _state(word: str) -> ContainerState:
    """Running, paused, restarting and removing all have, or may have, a process."""
    return STATES.get(word, ContainerState.RUNNING)


def container_of(said: Mapping[str, Any]) -> Container:
    state, host = said["State"], said.get("HostConfig") or {}
    pids = int(host.get("PidsLimit") or 0)
    running = bool(state.get("Running"))
    return Container(
        id=str(said["Id"]),
        name=str(said["Name"]).removeprefix("/"),
        labels={str(key): str(value) for key, value in (said.get("Config", {}).get("Labels") or {}).items()},
        state=ContainerState.RUNNING if running else _state(str(state.get("Status", ""))),
        pid=int(state.get("Pid") or 0) if running else 0,
        exit_code=int(state.get("ExitCode") or 0),
        out_of_memory=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or ""),
        created_ns=nanoseconds(str(said.get("Created", ""))),
        started_ns=nanoseconds(str(state.get("StartedAt", ""))),
        finished_ns=nanoseconds(str(state.get("FinishedAt", ""))),
        limits=Limits(
            cpu_milli=int(host.get("NanoCpus") or 0) // NANO_PER_MILLI,
            memory_bytes=int(host.get("Memory") or 0),
            pids_max=max(0, pids),
        ),
    )


def nanoseconds(said: str) -> int:
    """Unix time of an RFC 3339 time with up to nine digits; 0 for Docker's word for never, and for nonsense."""
    match = _TIME.fullmatch(said)
    if match is None or said.startswith(NEVER):
        return 0
    whole, fraction, zone = match.groups()
    seconds = int(datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).timestamp())
    return seconds * 10**9 + int((fraction or "").ljust(9, "0"))


def event_of(said: dict[str, Any]) -> EngineEvent | None:
    actor = said.get("Actor") or {}
    if said.get("Type") != "container" or not actor.get("ID"):
        return None
    labels = {str(key): str(value) for key, value in (actor.get("Attributes") or {}).items()}
    return EngineEvent(container=str(actor["ID"]), what=str(said.get("Action", "")).partition(":")[0], labels=labels)
