"""An engine in memory: containers that never did anything, and whatever trouble a test orders."""

# ruff: noqa: ARG002 - the protocol says what a call is given, the fake needs little of it

from __future__ import annotations

import itertools
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from attrs import evolve

from photon_core.api.runtime import RuntimeFailure, TerminalSize
from photon_runtime_containers.engine import (
    Container,
    ContainerSpec,
    ContainerState,
    EngineDown,
    EngineEvent,
    EngineExec,
    EngineInfo,
    Image,
    Limits,
    Listed,
    NameTaken,
    NoSuchContainer,
    PullProgress,
)

T = TypeVar("T")

PID = os.getpid()
"""Of every process in it: one that is there, in a network namespace that is there."""


class FakeStream(Generic[T]):
    """Gives what is put into it; an exception is raised, None is the end."""

    def __init__(self, *items: T) -> None:
        self._items: queue.Queue[T | Exception | None] = queue.Queue()
        self.closed = threading.Event()
        for item in items:
            self._items.put(item)

    def put(self, item: T | Exception | None) -> None:
        self._items.put(item)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        item = self._items.get()
        if self.closed.is_set() or item is None:
            raise StopIteration
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self.closed.set()
        self._items.put(None)


class FakeEngine:
    """An `Engine`. `trouble[call]` is called first, with the call's arguments, and may raise or wait."""

    where = "unix:///fake.sock"

    def __init__(self) -> None:
        self.images: dict[str, Image] = {"here:1": Image(id="sha256:1")}
        self.containers: dict[str, Container] = {}
        self.specs: dict[str, ContainerSpec] = {}
        self.pulls: dict[str, FakeStream[PullProgress]] = {}
        self.calls: list[str] = []
        self.trouble: dict[str, Callable[..., None]] = {}
        self.down = False
        self.stream: FakeStream[EngineEvent] = FakeStream()
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)

    def _called(self, name: str, *arguments: Any) -> None:
        self.calls.append(name)
        if self.down:
            raise EngineDown("the fake is down", "lift it up")
        if name in self.trouble:
            self.trouble[name](*arguments)

    def info(self) -> EngineInfo:
        self._called("info")
        return EngineInfo(name="Fake", version="1", architecture="x86_64", cpu_count=4, memory_bytes=2**33)

    def limits_storage(self, image: str) -> bool:
        return False

    def close(self) -> None:
        pass

    def load(self, archive: bytes) -> None:
        self._called("load", archive)

    def image(self, name: str) -> Image | None:
        self._called("image", name)
        return Image(id="sha256:0") if name.startswith("photon.internal/") else self.images.get(name)

    def pull(self, name: str) -> FakeStream[PullProgress]:
        self._called("pull", name)
        self.pulls[name] = FakeStream()
        return self.pulls[name]

    def create(self, spec: ContainerSpec) -> str:
        self._called("create", spec)
        with self._lock:
            if any(one.name == spec.name for one in self.containers.values()):
                raise NameTaken(spec.name)
            id_ = f"c{next(self._numbers)}"
            self.specs[id_] = spec
            self.containers[id_] = Container(
                id=id_,
                name=spec.name,
                labels=dict(spec.labels),
                state=ContainerState.CREATED,
                created_ns=time.time_ns(),
                limits=spec.limits,
            )
        return id_

    def change(self, id_: str, **changes: Any) -> None:
        with self._lock:
            if id_ not in self.containers:
                raise NoSuchContainer(id_)
            self.containers[id_] = evolve(self.containers[id_], **changes)

    def start(self, container: str) -> None:
        spec = self.specs[container]
        self._called("start", spec)
        if spec.network_of and spec.network_of not in self.containers:
            raise NoSuchContainer(spec.network_of)
        now_ns = time.time_ns()
        self.change(container, state=ContainerState.RUNNING, pid=PID, started_ns=now_ns, exit_code=0)

    def end(self, container: str, code: int, **more: Any) -> None:
        changes = {"state": ContainerState.EXITED, "pid": 0, "exit_code": code, "finished_ns": time.time_ns(), **more}
        self.change(container, **changes)

    def stop(self, container: str, grace_s: float) -> None:
        self._called("stop", container)
        self.end(container, 143)

    def remove(self, container: str) -> None:
        self._called("remove", container)
        with self._lock:
            self.containers.pop(container, None)

    def list(self, labels: Mapping[str, str]) -> tuple[Listed, ...]:
        self._called("list")
        with self._lock:
            return tuple(
                Listed(id=one.id, name=one.name, labels=one.labels, state=one.state)
                for one in self.containers.values()
                if labels.items() <= one.labels.items()
            )

    def inspect(self, container: str) -> Container:
        self._called("inspect", container)
        with self._lock:
            if container not in self.containers:
                raise NoSuchContainer(container)
            return self.containers[container]

    def update(self, container: str, limits: Limits) -> None:
        self._called("update", container, limits)
        self.change(container, limits=limits)

    def logs(self, container: str, *, follow: bool, tail_lines: int | None, since_ns: int) -> FakeStream[bytes]:
        self._called("logs", container)
        stream = FakeStream(b"said\n")
        stream.put(None)
        return stream

    def exec(self, container: str, command: tuple[str, ...], terminal: TerminalSize | None) -> EngineExec:
        raise RuntimeFailure("the fake runs nothing")

    def events(self, labels: Mapping[str, str]) -> FakeStream[EngineEvent]:
        self._called("events")
        self.stream = FakeStream()
        return self.stream
