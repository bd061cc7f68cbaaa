"""What the shared runtime asks of an engine: one narrow, blocking interface, and the records that cross it.

Everything here blocks, and is called from worker threads, several at once: an engine is thread-safe. Every call but the
streams has a deadline of its own (`CALL_TIMEOUT_S`) and ends with EngineDown when the engine does not answer by then.

What an engine does not do: decide. It does not retry, does not remember, does not look at labels, keeps no names of its
own; and two engines that are asked the same leave the same behind. Where an engine's own words for a thing differ from
ours, the engine translates.

Errors. A call raises what it says below, or RuntimeFailure with a `what` for the tenant and a `remedy` for the operator
when the engine refused for another reason; never a library's own exception. EngineDown means that nothing is known of
what became of the call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Protocol, TypeVar

from attrs import frozen

from photon_core.api.runtime import ExecStream, RuntimeFailure, TerminalSize

T_co = TypeVar("T_co", covariant=True)

CALL_TIMEOUT_S = 60.0
"""For one answer. Making a container on a slow, busy disk may take many seconds; longer means a hanging engine."""
PIECE_BYTES_MAX = 64 * 1024
"""Of one piece of a log or of a command's output."""

# --- errors -----------------------------------------------------------------------------------------------------------


class EngineDown(RuntimeFailure):
    """There is no engine at its socket, it does not answer in time, or it went while it did."""


class LimitsRefused(RuntimeFailure):
    """The engine cannot change these limits while the container runs (as when more memory is in use already)."""


class NoSuchContainer(Exception):
    """It is gone. Removing a container that is gone is no error."""


class NameTaken(Exception):
    """Another container has this name."""


class CannotStart(Exception):
    """The image and the manifest are to blame, not the engine: no such command, wrong format, no such user or folder.

    `reason` is for the tenant: it names what could not be started. `exit_code` is 127 or 126, as a shell says it.
    """

    def __init__(self, reason: str, exit_code: int = 127) -> None:
        super().__init__(reason)
        self.reason, self.exit_code = reason, exit_code


class PullFailure(Exception):
    """No image came. `reason` is for the tenant, and names the image."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoSuchImage(PullFailure):
    """The registry has no such image, or the name is none."""


class PullDenied(PullFailure):
    """The registry wants credentials, or others."""


class RegistryUnreachable(PullFailure):
    """The registry does not answer, answers nonsense, or broke off: the one that may be different next time."""


# --- records ----------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class EngineInfo:
    """`name` and `version` are for people. `architecture` is the kernel's word: x86_64, aarch64.

    `folder` is where images and containers are kept, as the engine sees it; empty when it does not say. `warnings` are
    about what it cannot do here that a provider counts on (a limit that the kernel does not support, no seccomp).
    """

    name: str
    version: str
    architecture: str
    cpu_count: int
    memory_bytes: int
    folder: str = ""
    rootless: bool = False
    warnings: tuple[str, ...] = ()


@frozen(kw_only=True)
class Image:
    """`user` is as the image says it ("", "app", "1000:1000"). `id` stays the same as long as the contents do."""

    id: str
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


@frozen(kw_only=True)
class PullProgress:
    """What came so far of what is known to come; `total_bytes` 0: not known yet. `detail` is the engine's own word."""

    done_bytes: int = 0
    total_bytes: int = 0
    detail: str = ""


@frozen(kw_only=True)
class Limits:
    """What changes in a running container. 0: none. `memory_bytes` bounds memory and swap together."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    pids_max: int = 0


@frozen(kw_only=True)
class Mount:
    """One file or folder of this machine at `target` inside."""

    source: str
    target: str
    read_only: bool = True


@frozen(kw_only=True)
class ContainerSpec:
    """All that a container is made of. Whatever is not here is the same for all of them:

    - all capabilities dropped but `capabilities` (as in CAP_NET_RAW, without the CAP_), no-new-privileges, not
      privileged, the engine's default seccomp profile, its default masked paths, no devices;
    - own PID, IPC (private), UTS and cgroup namespaces; no published port, no engine network of any kind;
    - restart policy `no`, no health check (the image's is switched off), no init process, never removed by the engine;
    - no terminal, no open stdin; stdout and stderr kept in files of at most `log_bytes` together, the oldest go first;
    - swap not beyond memory; no core files; its own user and group namespaces as the engine is configured.

    `network_of` None: a network namespace with loopback alone; otherwise the id of the container whose it joins, that
    of the moment in which this one is started. Then it has no hostname of its own either.

    `entrypoint` and `command` empty: the image's. A given `entrypoint` makes the image's command void. `env` adds to
    the image's and wins. User, working folder and stop signal are the image's.

    `storage_bytes` bounds the writable layer, and is 0 where `Engine.limits_storage` said that it cannot be.
    `temporary` are (path, bytes) of folders in memory, writable by everybody, without devices or set-user-id.
    """

    name: str
    image: str
    labels: tuple[tuple[str, str], ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    network_of: str | None = None
    hostname: str = ""
    mounts: tuple[Mount, ...] = ()
    temporary: tuple[tuple[str, int], ...] = ()
    limits: Limits = Limits()
    storage_bytes: int = 0
    log_bytes: int = 0
    read_only: bool = False
    capabilities: tuple[str, ...] = ()


class ContainerState(Enum):
    CREATED = "created"
    """Never started, or could not be."""
    RUNNING = "running"
    """Also when paused by hand, and while it is being stopped."""
    EXITED = "exited"
    """Also when the engine calls it dead, or is removing it."""


@frozen(kw_only=True)
class Container:
    """Times are Unix time in ns, 0 for never, and of the run that `state` is about.

    `pid` is that of its first process, as this machine counts, 0 when it does not run. `out_of_memory`: the kernel
    killed something in it for want of memory during this run. `error` is why it could not be started.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    state: ContainerState
    pid: int = 0
    exit_code: int = 0
    out_of_memory: bool = False
    error: str = ""
    created_ns: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    limits: Limits = Limits()


@frozen(kw_only=True)
class Listed:
    """What a list says without a question for each."""

    id: str
    name: str
    labels: Mapping[str, str]
    state: ContainerState


@frozen(kw_only=True)
class EngineEvent:
    """Something happened to a container: `what` is start, die, oom, destroy, or another of the engine's words."""

    container: str
    what: str
    labels: Mapping[str, str]


# --- what an engine is ------------------------------------------------------------------------------------------------


class Stream(Protocol[T_co]):
    """A blocking iterator that ends when there is no more, or raises.

    `close` is idempotent, may be called by another thread at any time, and returns at once; a thread that waits in
    `__next__` then gets StopIteration within milliseconds.
    """

    def __iter__(self) -> Iterator[T_co]: ...

    def __next__(self) -> T_co: ...

    def close(self) -> None: ...


class EngineExec(Protocol):
    """A command in a container. One thread may `write` while another `read`s; `close` may come from a third, and wakes
    both. RuntimeFailure when the connection broke; a command that ended or closed its input raises nothing.
    """

    def write(self, data: bytes) -> None:
        """Blocks while the command does not read. Dropped when it has ended."""
        ...

    def end_input(self) -> None:
        """Without a terminal: the command reads the end of its input. With one: the caller has written Ctrl-D, and
        nothing else happens.
        """
        ...

    def resize(self, size: TerminalSize) -> None: ...

    def read(self) -> tuple[ExecStream, bytes] | None:
        """The next piece of at most PIECE_BYTES_MAX; None at the end. With a terminal all is STDOUT."""
        ...

    def pid(self) -> int:
        """Of the command's first process, as this machine counts; 0 when it has ended, or is not known yet."""
        ...

    def exit_code(self) -> int:
        """After the end of the output; waits a moment for the engine to know. EngineDown when it does not."""
        ...

    def close(self) -> None:
        """The connection alone: the command may live on. Idempotent."""
        ...


class Images(Protocol):
    def load(self, archive: bytes) -> None:
        """Take the images of a `docker save` archive."""
        ...

    def image(self, name: str) -> Image | None:
        """None when the engine does not have it; nobody is asked for it. `name` is as the manifest has it: without a
        registry Docker's, without a tag `latest`. NoSuchImage when it is no name of an image at all.
        """
        ...

    def pull(self, name: str) -> Stream[PullProgress]:
        """Fetch it, with the credentials that the engine's configuration has for its registry. Ends when the image is
        here. The caller times it. Raises PullFailure. Closing it gives up.
        """
        ...


class Containers(Protocol):
    def create(self, spec: ContainerSpec) -> str:
        """Its id; not yet started. Raises NameTaken; NoSuchImage when the image is not here; CannotStart when the
        manifest or image cannot be made a container (no command at all); NoSuchContainer for `network_of`.
        """
        ...

    def start(self, container: str) -> None:
        """Also one that ran before; nothing when it runs. Raises CannotStart, NoSuchContainer."""
        ...

    def stop(self, container: str, grace_s: float) -> None:
        """The image's stop signal, and SIGKILL `grace_s` later; returns when it is dead. Nothing when it does not run.
        Raises NoSuchContainer.
        """
        ...

    def remove(self, container: str) -> None:
        """Kill it, and remove it with its log and its anonymous volumes. Idempotent."""
        ...

    def list(self, labels: Mapping[str, str]) -> tuple[Listed, ...]:
        """All containers with all of these labels, in any state."""
        ...

    def inspect(self, container: str) -> Container:
        """Raises NoSuchContainer."""
        ...

    def update(self, container: str, limits: Limits) -> None:
        """Change them now. Raises LimitsRefused, NoSuchContainer."""
        ...


class Streams(Protocol):
    def logs(self, container: str, *, follow: bool, tail_lines: int | None, since_ns: int) -> Stream[bytes]:
        """Both streams together, without frames, as they were written. `tail_lines` None: all; `since_ns` 0: all, else
        what was written at or after that time. Ends with the run when it is followed. Raises NoSuchContainer.
        """
        ...

    def exec(self, container: str, command: tuple[str, ...], terminal: TerminalSize | None) -> EngineExec:
        """Start it: as the container's user, in its folder, with its environment; three pipes without `terminal`, else
        a terminal that has this size. Raises CannotStart when there is no such command, or one that cannot be executed;
        NoSuchContainer when the container is gone or does not run.
        """
        ...

    def events(self, labels: Mapping[str, str]) -> Stream[EngineEvent]:
        """What happens from now on to containers with these labels; it is subscribed when this returns. Ends when the
        engine goes, or when it is closed.
        """
        ...


class Engine(Images, Containers, Streams, Protocol):
    @property
    def where(self) -> str:
        """The socket, for people: unix:///var/run/docker.sock."""
        ...

    def info(self) -> EngineInfo:
        """EngineDown, with a remedy that names the socket, when there is none."""
        ...

    def limits_storage(self, image: str) -> bool:
        """Whether a container's writable layer can be bounded here: found by trying, with an image that is here."""
        ...

    def close(self) -> None:
        """Drop idle connections. Streams that are open are their callers' to close."""
        ...
