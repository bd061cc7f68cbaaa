"""Podman as the engine of the shared runtime. Blocking and thread-safe; decides nothing, see the protocol."""

from __future__ import annotations

import math
import os
import re
import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import evolve

from photon_core.api.runtime import RuntimeFailure, TerminalSize
from photon_runtime_containers.engine import (
    Container,
    ContainerSpec,
    ContainerState,
    EngineEvent,
    EngineInfo,
    Image,
    Limits,
    LimitsRefused,
    Listed,
    NoSuchContainer,
    PullProgress,
)
from photon_runtime_containers.references import full_reference
from photon_runtime_podman import bodies, refusals, streams
from photon_runtime_podman.follow import Stream
from photon_runtime_podman.groups import Group, same_memory
from photon_runtime_podman.hijack import Exec
from photon_runtime_podman.oom import out_of_memory
from photon_runtime_podman.rest import Refused, Rest, down, labels_filter, segment

PROBE = {"photon-probe": "podman"}
PROBE_S = 600
"""No probe takes as long."""
SOCKET = "/run/podman/podman.sock"
"""Of the unit podman.socket, where Podman's own tools look when root asks."""
SOCKET_VARIABLE = "CONTAINER_HOST"
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


class PodmanEngine:
    """An `Engine`. `socket` is the path of Podman's socket."""

    def __init__(self, socket: Path) -> None:
        self._rest = Rest(socket)
        self._asked: dict[str, Limits] = {}
        """By container, what was last asked of `update`. Podman before 5 has no other limits for one that does not run
        than those it was made with; and the kernel keeps whole pages, so this says what was meant.
        """
        self._ended: dict[str, int] = {}
        """By container, when the run before this one ended, as Podman says until this one ends."""
        self._ulimits: list[dict[str, Any]] | None = None
        self._probing = threading.Lock()

    @classmethod
    def at(cls, url: str) -> PodmanEngine:
        """At `unix:///…`; empty: where Podman's own tools would look. RuntimeFailure for what is no such socket."""
        named = url or os.environ.get(SOCKET_VARIABLE, "") or f"unix://{SOCKET}"
        path = named.removeprefix("unix://")
        if not path.startswith("/"):
            what = f"{named} is no socket of this machine, whose containers alone can be entered"
            raise RuntimeFailure(what, f"write it as unix://{SOCKET}")
        return cls(Path(path))

    @property
    def where(self) -> str:
        return f"unix://{self._rest.socket}"

    def info(self) -> EngineInfo:
        return bodies.info_of(_object(self._asking("GET", "/info")))

    def close(self) -> None:
        self._rest.close()

    # --- images -------------------------------------------------------------------------------------------------------

    def load(self, archive: bytes) -> None:
        try:
            self._rest.load(archive)
        except Refused as refused:
            raise refusals.otherwise(refused) from refused

    def image(self, name: str) -> Image | None:
        try:
            return bodies.image_of(_object(self._rest.ask("GET", f"/images/{segment(full_reference(name))}/json")))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise refusals.otherwise(refused) from refused

    def pull(self, name: str) -> streams.Items[PullProgress]:
        asked = {"reference": full_reference(name), "policy": "always"}
        try:
            source = Stream(self._rest.socket, "POST", "/images/pull", asked)
        except Refused as refused:
            raise refusals.of_pull(str(refused), name) from refused
        return streams.Items(source, streams.pulling(source, name))

    def limits_storage(self, image: str) -> bool:
        """Podman can on overlay over xfs with project quotas alone, and says so when it makes a container."""
        try:
            self._tried(image, {"storage_opts": {"size": str(2**24)}})
        except Refused as refused:
            if "storage-opt" in str(refused) or "quota" in str(refused):
                return False
            raise refusals.of_create(refused, image) from refused
        return True

    def _ulimits_with(self, image: str) -> list[dict[str, Any]]:
        """What every container is limited to: what Podman's configuration says, but no core files. Once one limit is
        given, Podman asks for its own most of the others, which the kernel may refuse; so all have to be.
        """
        with self._probing:
            if self._ulimits is None:
                usual = self._tried(image, {})["HostConfig"].get("Ulimits") or []
                self._ulimits = bodies.ulimits_body(usual)
            return self._ulimits

    def _tried(self, image: str, more: Mapping[str, Any]) -> dict[str, Any]:
        """Make a container that is never started, and look at it."""
        self._sweep()
        alike = {"command": ["true"], "netns": {"nsmode": "none"}, "labels": PROBE}
        body = {"name": f"photon-probe-{secrets.token_hex(6)}", "image": _reference(image), **alike, **more}
        container = str(_object(self._rest.ask("POST", "/containers/create", body=body))["Id"])
        try:
            return self._inspected(container)
        finally:
            self.remove(container)

    def _sweep(self) -> None:
        """What an agent left that was killed while it tried; others may be trying just now."""
        asked = {"all": "true", "filters": labels_filter(PROBE)}
        for one in self._asking("GET", "/containers/json", asked) or []:
            if time.time_ns() - bodies.time_ns(one["Created"]) > PROBE_S * 1_000_000_000:
                self.remove(one["Id"])

    # --- containers ---------------------------------------------------------------------------------------------------

    def create(self, spec: ContainerSpec) -> str:
        hostname = spec.hostname
        if spec.network_of:  # one name for both, as Docker has it
            hostname = str(self._inspected(spec.network_of)["Config"].get("Hostname") or "")
        try:
            body = bodies.create_body(spec, _reference(spec.image), hostname, self._ulimits_with(spec.image))
            return str(_object(self._rest.ask("POST", "/containers/create", body=body))["Id"])
        except Refused as refused:
            raise refusals.of_create(refused, spec.image) from refused

    def start(self, container: str) -> None:
        """Podman by itself would wake a dead sandbox to start what joins it, with a network that nobody wired."""
        before = self._inspected(container)
        mode = str(before["HostConfig"].get("NetworkMode") or "")
        joined = mode.removeprefix("container:") if mode.startswith("container:") else ""
        if joined and bodies.state_of(self._inspected(joined)["State"]["Status"]) is not ContainerState.RUNNING:
            raise RuntimeFailure(f"the sandbox {joined[:12]} whose network it joins does not run")
        try:
            self._rest.ask("POST", f"/containers/{segment(container)}/start")
        except Refused as refused:
            raise refusals.of_start(refused) from refused
        if bodies.state_of(before["State"]["Status"]) is ContainerState.EXITED:
            self._ended[container] = bodies.time_ns(before["State"]["FinishedAt"])
        if asked := self._asked.get(container):
            with suppress(LimitsRefused):  # `inspect` shows it, and who looks asks again
                self._change(container, asked)

    def stop(self, container: str, grace_s: float) -> None:
        grace = {"timeout": str(math.ceil(grace_s))}
        self._asking("POST", f"/containers/{segment(container)}/stop", grace, patience_s=grace_s)

    def remove(self, container: str) -> None:
        """What joined its network goes with it: Podman keeps no container whose sandbox is gone."""
        gone = {"force": "true", "volumes": "true", "timeout": "0", "depend": "true"}
        with suppress(NoSuchContainer):
            self._asking("DELETE", f"/containers/{segment(container)}", gone)
        self._asked.pop(container, None)
        self._ended.pop(container, None)

    def list(self, labels: Mapping[str, str]) -> tuple[Listed, ...]:
        asked = {"all": "true", "filters": labels_filter(labels)}
        return tuple(bodies.listed_of(one) for one in self._asking("GET", "/containers/json", asked) or [])

    def inspect(self, container: str) -> Container:
        told = self._inspected(container)
        try:
            seen = bodies.container_of(told)
        except (KeyError, TypeError, ValueError) as error:
            raise down(f"Podman described a container in another form: {error!r}") from error
        if seen.state is ContainerState.RUNNING:
            return self._as_the_kernel_has_it(seen, str(told["State"].get("CgroupPath") or ""))
        if seen.state is ContainerState.EXITED and seen.exit_code and not seen.out_of_memory:
            seen = evolve(seen, out_of_memory=out_of_memory(seen.id, seen.started_ns / 1e9))
        return evolve(seen, limits=self._asked.get(seen.id, seen.limits))

    def _as_the_kernel_has_it(self, seen: Container, path: str) -> Container:
        group = Group(path)
        limits = group.limits() if path else None
        for meant in (self._asked.get(seen.id), seen.limits):
            if limits and meant and same_memory(limits.memory_bytes, meant.memory_bytes):
                limits = evolve(limits, memory_bytes=meant.memory_bytes)
                break
        ran_out = seen.out_of_memory or (bool(path) and group.out_of_memory())
        return evolve(seen, limits=limits or seen.limits, out_of_memory=ran_out)

    def update(self, container: str, limits: Limits) -> None:
        """Of one that does not run: when it is started."""
        state = self._inspected(container)["State"]
        if bodies.state_of(state["Status"]) is ContainerState.RUNNING:
            if limits.memory_bytes and Group(str(state.get("CgroupPath") or "")).holds_more_than(limits.memory_bytes):
                what = f"it holds more than {limits.memory_bytes} bytes of memory"
                raise LimitsRefused(what, "it has to be started again")
            self._change(container, limits)
        self._asked[container] = limits

    def _change(self, container: str, limits: Limits) -> None:
        try:
            self._rest.ask("POST", f"/containers/{segment(container)}/update", body=bodies.change_body(limits))
        except Refused as refused:
            gone = refusals.of_container(refused)
            raise gone or LimitsRefused(f"Podman did not change its limits: {refused}") from refused

    # --- streams ------------------------------------------------------------------------------------------------------

    def logs(self, container: str, *, follow: bool, tail_lines: int | None, since_ns: int) -> streams.Items[bytes]:
        path = f"/containers/{segment(container)}/logs"
        asked = {"stdout": "true", "stderr": "true"}
        told = self._inspected(container)  # a log that is followed says whether there is one with its first line
        if since_ns:
            asked["since"] = bodies.time_text(bodies.cut_ns(told["State"], since_ns, self._ended.get(container, 0)))
        kept = 0
        try:
            if tail_lines is not None:
                kept = sum(map(len, streams.log_pieces(Stream(self._rest.socket, "GET", path, asked), None, 0)))
            if follow:
                asked["follow"] = "true"
            source = Stream(self._rest.socket, "GET", path, asked, eager=not follow)
        except Refused as refused:
            raise refusals.of_container(refused) or refusals.otherwise(refused) from refused
        if kept == 0:
            tail_lines = None
        return streams.Items(source, streams.log_pieces(source, tail_lines, kept))

    def exec(self, container: str, command: tuple[str, ...], terminal: TerminalSize | None) -> Exec:
        try:
            return Exec(self._rest, container, command, terminal)
        except Refused as refused:
            if "container state improper" in refused.cause:
                raise NoSuchContainer(str(refused)) from refused
            raise refusals.of_container(refused) or refusals.of_start(refused) from refused

    def events(self, labels: Mapping[str, str]) -> streams.Items[EngineEvent]:
        """From this second on: so that what happens before Podman has begun to look is told too."""
        asked = {"stream": "true", "since": str(int(time.time())), "filters": labels_filter(labels, type=["container"])}
        try:
            source = Stream(self._rest.socket, "GET", "/events", asked)
        except Refused as refused:
            raise refusals.otherwise(refused) from refused
        return streams.Items(source, streams.events(source))

    # --- asking -------------------------------------------------------------------------------------------------------

    def _asking(self, method: str, path: str, params: Mapping[str, str] | None = None, patience_s: float = 0) -> Any:
        try:
            return self._rest.ask(method, path, params, patience_s=patience_s)
        except Refused as refused:
            raise refusals.of_container(refused) or refusals.otherwise(refused) from refused

    def _inspected(self, container: str) -> dict[str, Any]:
        return _object(self._asking("GET", f"/containers/{segment(container)}/json"))


def _reference(image: str) -> str:
    """Of an image that the runtime has already asked for: by its id, or by its name."""
    return image.removeprefix("sha256:") if _ID.fullmatch(image) else full_reference(image)


def _object(told: Any) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise down(f"Podman answered {str(told)[:80]!r} where an object was asked for")
    return told
