"""Docker as an `Engine`.

The library `docker` speaks for everything that is one question and one answer; what streams goes by `wire`. The API's
version is the one that the engine names, and nothing here asks which one that is: what an engine cannot do it refuses,
and that is looked at where it happens.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import docker
import docker.auth
import docker.errors
import requests
import urllib3

from photon_core.api.runtime import RuntimeFailure, TerminalSize
from photon_runtime_containers.engine import (
    CALL_TIMEOUT_S,
    CannotStart,
    Container,
    ContainerSpec,
    EngineEvent,
    EngineInfo,
    Image,
    Limits,
    LimitsRefused,
    Listed,
    NameTaken,
    NoSuchContainer,
    NoSuchImage,
)
from photon_runtime_containers.references import full_reference
from photon_runtime_docker import translate
from photon_runtime_docker.errors import BAD_REQUEST, CONFLICT, NOT_THERE, message_of, shortened, start_refused
from photon_runtime_docker.exec import DockerExec, gone
from photon_runtime_docker.pull import PullStream
from photon_runtime_docker.wire import Answer, LineStream, LogStream, Pieces, down, request, send

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
CONNECTIONS_MAX = 32
STORAGE_TRIED_BYTES = 2**30
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class DockerEngine:
    """An `Engine`."""

    def __init__(self, path: str) -> None:
        """`path` of its socket. Nobody is asked before the first call."""
        self._path = path
        self._lock = threading.Lock()
        self._client: docker.APIClient | None = None

    @classmethod
    def at(cls, socket: str) -> DockerEngine:
        """RuntimeFailure for an engine that is not on this machine: its networks could not be entered."""
        url = socket or os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET
        if not url.startswith("unix://"):
            what = f"the Docker engine at {url} is not on this machine, or not at a socket of it"
            raise RuntimeFailure(what, f"set `socket` of [plugin.runtime_docker] to its socket, as in {DEFAULT_SOCKET}")
        return cls(url.removeprefix("unix://"))

    @property
    def where(self) -> str:
        return f"unix://{self._path}"

    def _api(self) -> docker.APIClient:
        with self._lock:
            if self._client is None:
                self._client = docker.APIClient(
                    base_url=self.where,
                    version=self._version(),
                    timeout=CALL_TIMEOUT_S,
                    max_pool_size=CONNECTIONS_MAX,
                )
            return self._client

    def _version(self) -> str:
        """The engine's own, which is what the library would take; it leaves a connection open when nobody answers."""
        answer = request(self._path, "GET", "/version", {})
        try:
            return str(json.loads(answer.body())["ApiVersion"])
        except (ValueError, KeyError, TypeError):
            raise down(self._path, "what answers there is not Docker") from None

    @contextmanager
    def _asking(self) -> Iterator[docker.APIClient]:
        """Its errors are ours inside; docker's APIError comes out for whoever knows more about the question."""
        try:
            yield self._api()
        except docker.errors.APIError:
            raise
        except (*_BROKEN, docker.errors.DockerException) as problem:
            self.close()  # who answers next may be a newer one; calls under way go on
            raise down(self._path, _innermost(problem)) from None
        except ValueError as problem:  # an answer that is no JSON
            raise down(self._path, f"answers nonsense: {problem}") from None

    @contextmanager
    def _about(self, container: str) -> Iterator[docker.APIClient]:
        try:
            with self._asking() as api:
                yield api
        except docker.errors.NotFound:
            raise NoSuchContainer(container) from None
        except docker.errors.APIError as refusal:
            raise refused(refusal) from None

    def _stream(self, method: str, path: str, params: Mapping[str, str], **more: Any) -> Answer:
        with self._asking() as api:
            version = api.api_version
        return request(self._path, method, f"/v{version}{path}", params, **more)

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def info(self) -> EngineInfo:
        try:
            with self._asking() as api:
                return translate.info_of(api.info())
        except docker.errors.APIError as refusal:
            raise refused(refusal) from None

    def limits_storage(self, image: str) -> bool:
        config = translate.config_of(
            ContainerSpec(name="", image=image, labels=(), storage_bytes=STORAGE_TRIED_BYTES, read_only=True)
        )
        try:
            with self._asking() as api:
                made = api.create_container_from_config(config)["Id"]
        except docker.errors.APIError:
            return False
        self.remove(made)
        return True

    # --- images ------------------------------------------------------------------------------------------------------

    def load(self, archive: bytes) -> None:
        try:
            with self._asking() as api:
                for said in api.load_image(archive):
                    if "error" in said:
                        raise RuntimeFailure(f"the engine took no image: {said['error']}", "see the engine's log")
        except docker.errors.APIError as refusal:
            raise refused(refusal) from None

    def image(self, name: str) -> Image | None:
        try:
            with self._asking() as api:
                return translate.image_of(api.inspect_image(full_reference(name)))
        except docker.errors.NotFound:
            return None
        except docker.errors.APIError as refusal:
            raise refused(refusal) from None

    def pull(self, name: str) -> PullStream:
        repository, at, version = full_reference(name).rpartition("@")
        if not at:
            repository, _, version = full_reference(name).rpartition(":")
        with self._asking() as api:
            registry, _ = docker.auth.resolve_repository_name(repository)
            credentials: bytes | None = None
            with suppress(docker.errors.DockerException):  # a helper that is not installed is no reason not to try
                credentials = docker.auth.get_config_header(api, registry)
            target = f"/v{api.api_version}/images/create"
        headers = {"X-Registry-Auth": credentials.decode()} if credentials else {}
        params = {"fromImage": repository, "tag": version}
        connection = send(self._path, "POST", target, params, headers=headers)
        connection.settimeout(None)
        return PullStream(name, Pieces(connection))

    # --- containers --------------------------------------------------------------------------------------------------

    def create(self, spec: ContainerSpec) -> str:
        config = translate.config_of(spec)
        config["Image"] = full_reference(spec.image)
        try:
            with self._asking() as api:
                return str(api.create_container_from_config(config, spec.name)["Id"])
        except docker.errors.APIError as refusal:
            message = str(refusal.explanation or "")
            if refusal.status_code == CONFLICT and "is already in use" in message:
                raise NameTaken(spec.name) from None
            if isinstance(refusal, docker.errors.ImageNotFound):
                raise NoSuchImage(f"{spec.image}: it is not here any more") from None
            if refusal.status_code == NOT_THERE:
                raise NoSuchContainer(spec.network_of or message) from None
            if "no command specified" in message.lower():
                raise CannotStart("neither the manifest nor the image says what to run") from None
            raise refused(refusal) from None

    def start(self, container: str) -> None:
        try:
            with self._asking() as api:
                api.start(container)
        except docker.errors.APIError as refusal:
            message = str(refusal.explanation or "")
            if refusal.status_code == NOT_THERE and "no such container" in message.lower():
                raise NoSuchContainer(container) from None
            raise start_refused(message) from None

    def stop(self, container: str, grace_s: float) -> None:
        with self._about(container) as api:
            api.stop(container, timeout=max(0, round(grace_s)))

    def remove(self, container: str) -> None:
        try:
            with self._about(container) as api:
                api.remove_container(container, v=True, force=True)
        except NoSuchContainer:
            return
        except RuntimeFailure as failure:
            if "already in progress" not in failure.what:
                raise

    def list(self, labels: Mapping[str, str]) -> tuple[Listed, ...]:
        wanted = [f"{key}={value}" for key, value in labels.items()]
        try:
            with self._asking() as api:
                return tuple(map(translate.listed_of, api.containers(all=True, filters={"label": wanted})))
        except docker.errors.APIError as refusal:
            raise refused(refusal) from None

    def inspect(self, container: str) -> Container:
        with self._about(container) as api:
            return translate.container_of(api.inspect_container(container))

    def update(self, container: str, limits: Limits) -> None:
        """Not by the library's own call, which knows neither fractions of cores nor processes."""
        with self._about(container) as api:
            answer = api.post(
                api._url("/containers/{0}/update", container),  # noqa: SLF001 - it has no public way to add a field
                json=translate.limits_to(limits),
                timeout=CALL_TIMEOUT_S,
            )
        if answer.status_code == NOT_THERE:
            raise NoSuchContainer(container)
        if answer.status_code >= BAD_REQUEST:
            raise LimitsRefused(f"the limits cannot be changed: {message_of(answer.content)}")

    # --- streams -----------------------------------------------------------------------------------------------------

    def logs(self, container: str, *, follow: bool, tail_lines: int | None, since_ns: int) -> LogStream:
        params = {"stdout": "1", "stderr": "1", "follow": str(int(follow))}
        params["tail"] = "all" if tail_lines is None else str(max(0, tail_lines))
        if since_ns:
            params["since"] = f"{since_ns // 10**9}.{since_ns % 10**9:09d}"
        answer = self._stream("GET", f"/containers/{container}/logs", params)
        if answer.status == NOT_THERE:
            answer.connection.close()
            raise NoSuchContainer(container)
        if answer.status >= BAD_REQUEST:
            raise RuntimeFailure(f"the engine gives no log: {message_of(answer.body())}", "see the engine's log")
        return LogStream(Pieces(answer.connection, answer.early))

    def exec(self, container: str, command: tuple[str, ...], terminal: TerminalSize | None) -> DockerExec:
        with self._about(container) as api:
            made = str(api.exec_create(container, list(command), stdin=True, tty=terminal is not None)["Id"])
        body: dict[str, Any] = {"Detach": False, "Tty": terminal is not None}
        if terminal is not None:
            body["ConsoleSize"] = [terminal.rows, terminal.columns]  # an engine that does not know it passes over it
        answer = self._stream("POST", f"/exec/{made}/start", {}, body=body, upgrade=True)
        if answer.status >= BAD_REQUEST:
            raise start_refused(message_of(answer.body()))

        def inspect() -> dict[str, Any]:
            try:
                with self._about(made) as api:
                    return dict(api.exec_inspect(made))
            except NoSuchContainer:
                raise gone() from None

        def resize(size: TerminalSize) -> None:
            try:
                with self._about(made) as api:
                    api.exec_resize(made, height=size.rows, width=size.columns)
            except (NoSuchContainer, RuntimeFailure):
                if inspect().get("Running"):
                    raise

        pieces = Pieces(answer.connection, answer.early)
        command_of = DockerExec(pieces, inspect, resize, terminal=terminal is not None)
        try:
            command_of.wait_until_started()
            if terminal is not None:
                resize(terminal)
        except BaseException:
            command_of.close()
            raise
        return command_of

    def events(self, labels: Mapping[str, str]) -> LineStream[EngineEvent]:
        filters = {"type": ["container"], "label": [f"{key}={value}" for key, value in labels.items()]}
        answer = self._stream("GET", "/events", {"filters": json.dumps(filters)})
        if answer.status >= BAD_REQUEST:
            raise RuntimeFailure(f"the engine gives no events: {message_of(answer.body())}", "see the engine's log")
        return LineStream(Pieces(answer.connection, answer.early), translate.event_of)


def refused(refusal: docker.errors.APIError) -> RuntimeFailure:
    what = shortened(str(refusal.explanation or refusal))
    return RuntimeFailure(f"the engine refused: {what}", "see the engine's log")


def _innermost(problem: BaseException) -> str:
    """The operating system's words, out of the wrappings of three libraries."""
    while (inner := problem.__cause__ or problem.__context__) is not None:
        problem = inner
    return str(problem) or type(problem).__name__
