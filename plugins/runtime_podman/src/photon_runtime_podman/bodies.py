"""Our records as Podman's JSON, and Podman's JSON as our records. Pure; what is not as expected raises ValueError."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
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
from photon_runtime_podman.groups import CPU_PERIOD_US

CPU_QUOTA_US_MIN = 1_000
"""The kernel takes no less."""
CLOCK_LAG_NS = 10_000_000
NOTED_LATE_NS = 50_000_000
NOT_YET = {"created", "configured", "initialized", "initialised", "unknown"}
RUNS = {"running", "paused", "stopping"}
EVENT_WORDS = {"died": "die", "remove": "destroy"}
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "arm": "armv7l"}
NEEDED_CONTROLLERS = ("cpu", "memory", "pids")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")

# --- what is asked ----------------------------------------------------------------------------------------------------


def create_body(spec: ContainerSpec, image: str, hostname: str, ulimits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`image` is a full name or an id, `ulimits` those of `ulimits_body`."""
    body: dict[str, Any] = {
        **ALIKE,
        "name": spec.name,
        "image": image,
        "labels": dict(spec.labels),
        "env": dict(spec.env),
        "netns": {"nsmode": "container", "value": spec.network_of} if spec.network_of else {"nsmode": "none"},
        "hostname": hostname,
        "mounts": [*map(_mount, spec.mounts), *(_temporary(path, size) for path, size in spec.temporary)],
        "resource_limits": limits_body(spec.limits),
        "r_limits": list(ulimits),
        "log_configuration": {"driver": "k8s-file", **({"size": spec.log_bytes} if spec.log_bytes else {})},
        "read_only_filesystem": spec.read_only,
        "cap_add": [f"CAP_{name}" for name in spec.capabilities],
    }
    if spec.entrypoint:
        body["entrypoint"] = list(spec.entrypoint)
    if spec.command:
        body["command"] = list(spec.command)
    if spec.storage_bytes:
        body["storage_opts"] = {"size": str(spec.storage_bytes)}
    return body


ALIKE: Mapping[str, Any] = {
    "cap_drop": ["ALL"],
    "no_new_privileges": True,  # `security_opt` is not read here, without a word
    "privileged": False,
    "pidns": {"nsmode": "private"},
    "ipcns": {"nsmode": "private"},
    "utsns": {"nsmode": "private"},
    "cgroupns": {"nsmode": "private"},
    "use_image_hosts": True,  # else /etc/hosts begins as the provider's own
    "httpproxy": False,  # else the environment has the proxies of Podman's own
    "env_host": False,
    "healthconfig": {"Test": ["NONE"]},
    "restart_policy": "no",
    "sdnotifyMode": "ignore",
    "systemd": "false",  # else a command called init gets more mounts
    "init": False,
    "remove": False,
    "stdin": False,
    "terminal": False,
}
"""What does not differ between containers: see ContainerSpec for what is said of all of them."""


def limits_body(limits: Limits) -> dict[str, Any]:
    """Of a creation: memory and processor without a limit are left out, since -1 is refused; left out, the processes
    would have Podman's own.
    """
    body: dict[str, Any] = {"pids": {"limit": limits.pids_max}}
    if limits.memory_bytes:
        body["memory"] = {"limit": limits.memory_bytes, "swap": limits.memory_bytes}
    if limits.cpu_milli:
        quota = max(limits.cpu_milli * CPU_PERIOD_US // 1000, CPU_QUOTA_US_MIN)
        body["cpu"] = {"quota": quota, "period": CPU_PERIOD_US}
    return body


def change_body(limits: Limits) -> dict[str, Any]:
    """Of a change: what is not limited is -1, since what is left out stays as it is."""
    unlimited = {
        "memory": {"limit": -1, "swap": -1},
        "cpu": {"quota": -1, "period": CPU_PERIOD_US},
    }
    return {**unlimited, **limits_body(limits), "pids": {"limit": limits.pids_max or -1}}


def _mount(mount: Any) -> dict[str, Any]:
    options = ["ro" if mount.read_only else "rw", "nosuid", "nodev", "rprivate", "bind"]
    return {"type": "bind", "source": mount.source, "destination": mount.target, "options": options}


def _temporary(path: str, size: int) -> dict[str, Any]:
    options = [f"size={size}", "mode=1777", "nosuid", "nodev", "exec", "notmpcopyup"]
    return {"type": "tmpfs", "destination": path, "options": options}


def ulimits_body(usual: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`usual` as `inspect` tells it."""
    kept = [
        {"type": str(one["Name"]).upper().removeprefix("RLIMIT_"), "soft": int(one["Soft"]), "hard": int(one["Hard"])}
        for one in usual
    ]
    return [*(one for one in kept if one["type"] != "CORE"), {"type": "CORE", "soft": 0, "hard": 0}]


# --- what is answered -------------------------------------------------------------------------------------------------


def container_of(told: Mapping[str, Any]) -> Container:
    """What `inspect` says, limits as the container was made."""
    state, host = told["State"], told["HostConfig"]
    now = state_of(state["Status"])
    ran = now is not ContainerState.CREATED
    return Container(
        id=told["Id"],
        name=told["Name"].lstrip("/"),
        labels=told["Config"].get("Labels") or {},
        state=now,
        pid=int(state.get("Pid") or 0) if now is ContainerState.RUNNING else 0,
        exit_code=int(state.get("ExitCode") or 0) if now is ContainerState.EXITED else 0,
        out_of_memory=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or ""),
        created_ns=time_ns(told["Created"]),
        started_ns=time_ns(state["StartedAt"]) if ran else 0,
        finished_ns=time_ns(state["FinishedAt"]) if now is ContainerState.EXITED else 0,
        limits=Limits(
            cpu_milli=int(host.get("CpuQuota") or 0) * 1000 // int(host.get("CpuPeriod") or CPU_PERIOD_US),
            memory_bytes=max(int(host.get("Memory") or 0), 0),
            pids_max=max(int(host.get("PidsLimit") or 0), 0),
        ),
    )


def listed_of(told: Mapping[str, Any]) -> Listed:
    return Listed(
        id=told["Id"], name=told["Names"][0], labels=told.get("Labels") or {}, state=state_of(str(told["State"]))
    )


def state_of(word: str) -> ContainerState:
    """`stopped` is dead too: Podman has not cleared up after it yet."""
    if word in NOT_YET:
        return ContainerState.CREATED
    return ContainerState.RUNNING if word in RUNS else ContainerState.EXITED


def event_of(told: Mapping[str, Any]) -> EngineEvent:
    """The labels are among the attributes, beside some of Podman's own."""
    actor, word = told["Actor"], str(told["Action"])
    return EngineEvent(
        container=str(actor["ID"]), what=EVENT_WORDS.get(word, word), labels=dict(actor.get("Attributes") or {})
    )


def image_of(told: Mapping[str, Any]) -> Image:
    config = told.get("Config") or {}
    entrypoint = config.get("Entrypoint") or []
    return Image(
        id=told["Id"],
        user=str(told.get("User") or config.get("User") or ""),
        entrypoint=tuple([entrypoint] if isinstance(entrypoint, str) else entrypoint),
        command=tuple(config.get("Cmd") or ()),
    )


def info_of(told: Mapping[str, Any]) -> EngineInfo:
    host = told["host"]
    security, controllers = host.get("security") or {}, host.get("cgroupControllers") or []
    warnings = [f"the kernel does not limit {name} for it" for name in NEEDED_CONTROLLERS if name not in controllers]
    if not security.get("seccompEnabled"):
        warnings.append("it has no seccomp: workloads may make every system call")
    return EngineInfo(
        name="Podman",
        version=str(told["version"]["Version"]),
        architecture=ARCHITECTURES.get(host["arch"], host["arch"]),
        cpu_count=int(host["cpus"]),
        memory_bytes=int(host["memTotal"]),
        folder=str(told["store"]["graphRoot"]),
        rootless=bool(security.get("rootless")),
        warnings=tuple(warnings),
    )


def cut_ns(state: Mapping[str, Any], since_ns: int, ended_ns: int) -> int:
    """After which time a log has what was written at `since_ns` or later, and if that is when a run began, all of it.

    Podman notes the start of a run after it, so that its first lines may be older; and an end with a clock that lags
    some milliseconds. Between two runs lie many more: the next one is made ready after the end of the last. That is
    `ended_ns`, if it is known; while a run goes on `state` has it too.
    """
    if time_ns(state["StartedAt"]) != since_ns:
        return since_ns - 1
    told_ns = time_ns(state["FinishedAt"])
    ends_ns = [end for end in (ended_ns, told_ns) if 0 < end < since_ns - CLOCK_LAG_NS]
    return max(ends_ns) + CLOCK_LAG_NS if ends_ns else since_ns - NOTED_LATE_NS


def time_ns(text: str) -> int:
    """Unix time; 0 for the year 1, which is Podman's never."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:60]!r} is no time")
    if text.startswith("0001-"):
        return 0
    whole = datetime.fromisoformat(found[1] + (found[3] if found[3] != "Z" else "+00:00"))
    return int(whole.timestamp()) * 1_000_000_000 + int((found[2] or "0").ljust(9, "0"))


def time_text(ns: int) -> str:
    """The same the other way: as seconds Podman would read it into a float, and lose the last digits."""
    whole = datetime.fromtimestamp(ns // 1_000_000_000, tz=UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{ns % 1_000_000_000:09d}Z"
