"""Kind `runtime`: what runs a workload's instances on a provider's machines.

The agent is level-triggered: it computes what ought to run, calls `apply`, looks with `observe`, and does so again at
start, on every event and every few seconds. So `apply` must be idempotent, and nothing may be known only to the agent's
memory: an instance is found again by its labels after the agent, the engine or the machine was killed.

One sandbox per instance is made when the manifest comes and holds the network namespace; the workload joins it when it
is wired and what it depends on is ready, and may restart in it any number of times. Instances are the same as long as
`spec_digest` is: image, command, args, env and mounts; resources and names change in place.

Networks are a capability. `NETWORK_AGENT`: the runtime is also a `SandboxNetworks` and hands the agent sockets inside a
sandbox, and the agent is the network. `NETWORK_SELF`: an engine across machines that polices itself (not yet
specified). A runtime without either gets no order whose services connect to each other.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import AsyncIterator
from enum import Enum
from pathlib import Path
from typing import Protocol

import trio
from attrs import frozen

from .ids import Hash, InstanceId, LeaseId
from .plugin import PluginRecord
from .resources import Resources

NETWORK_AGENT = "network-agent"
NETWORK_SELF = "network-self"
IMAGES_OPTIONAL = "images-optional"
"""Capability: runs `command` and `args` on the host's files, no image is pulled; a service without either gets no
bid.
"""

EXEC_PIECE_BYTES_MAX = 32 * 1024
"""Of one piece of output: eight of them fit in the largest frame of a link, so that none has to be cut again."""


@frozen(kw_only=True)
class InstanceSpec:
    """What one instance is made of. `env` is (key, value) pairs, `hosts` (name, IPv4 address) pairs of its peers."""

    id: InstanceId
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    resources: Resources
    hosts: tuple[tuple[str, str], ...] = ()
    manifest_version: Hash

    @property
    def spec_digest(self) -> str:
        """Changes exactly when the instance has to be made anew."""
        parts = (self.image, self.command, self.args, self.env)
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


@frozen(kw_only=True)
class Desired:
    """All that ought to exist of one lease: a sandbox per instance, all at once, and of the instances those that may
    run by now.
    """

    lease: LeaseId
    sandboxes: tuple[tuple[InstanceId, Resources], ...]
    instances: tuple[InstanceSpec, ...] = ()


class InstanceState(Enum):
    SANDBOX = "sandbox"
    """Only the sandbox exists."""
    PREPARING = "preparing"
    """The image is being pulled or unpacked."""
    RUNNING = "running"
    EXITED = "exited"
    FAILED = "failed"
    """It could not be started at all; `reason` says why."""


@frozen(kw_only=True)
class Observed:
    """`restarts` counts starts after the first by this runtime; `since_ms` is Unix time of the last change of state."""

    id: InstanceId
    state: InstanceState
    spec_digest: str = ""
    exit_code: int | None = None
    reason: str = ""
    since_ms: int = 0
    restarts: int = 0


@frozen(kw_only=True)
class TerminalSize:
    """In characters, each at least 1 and at most 65535 (what `TIOCSWINSZ` can say)."""

    columns: int
    rows: int


class ExecStream(Enum):
    STDOUT = "stdout"
    STDERR = "stderr"


@frozen
class ExecOutput:
    """A piece of what the command wrote: at least one byte, at most EXEC_PIECE_BYTES_MAX."""

    stream: ExecStream
    data: bytes


class ExecSession(Protocol):
    """One command beside a workload, from its start to its end. Whoever opened it calls `aclose`, whatever happens.

    One task may write while another reads; neither method is called twice at once. Nothing is kept for a slow reader
    but a bounded buffer: when that is full the command waits in its own write, as it would before a pipe. Every method
    but `aclose` raises RuntimeFailure when the engine went, the instance was removed or the session was closed
    meanwhile; a command that merely ended or closed its input raises nothing.
    """

    async def write(self, data: bytes) -> None:
        """Give the command input; waits while it does not read. Dropped when it has ended or closed its input."""
        ...

    async def end_input(self) -> None:
        """No more input: the command reads the end of its file (on a terminal, as after Ctrl-D). Idempotent."""
        ...

    async def resize(self, size: TerminalSize) -> None:
        """Give the terminal another size; the command is told with SIGWINCH. Nothing without a terminal."""
        ...

    async def read(self) -> ExecOutput | None:
        """The next piece of output, in the order written for each stream; None at the end, and from then on. With a
        terminal everything is STDOUT, as on a screen.
        """
        ...

    async def exit_code(self) -> int:
        """Waits for the command's end; to be asked after the output's. 128 + n when signal n ended it, as shells say
        it; 127 when there is no such command, 126 when it cannot be executed.
        """
        ...

    async def aclose(self) -> None:
        """Kills the command, and what it started if that is still in its session, unless it has ended. Idempotent."""
        ...


class Runtime(Protocol):
    """Raises RuntimeFailure when the engine does not answer or refuses; never leaves half an instance behind."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Owns the runtime's tasks. `started()` once it can be used, after adopting what already runs."""
        ...

    async def capacity(self) -> Resources:
        """All that this runtime can give to workloads, used or not."""
        ...

    async def apply(self, desired: Desired) -> None:
        """Make it so for one lease: missing sandboxes and instances are made, changed ones replaced, exited ones
        started again, those no longer desired removed. Idempotent; returns when done or given up (see `observe`).
        """
        ...

    async def remove(self, lease: LeaseId) -> None:
        """Nothing of the lease is left: instances, sandboxes, files, logs. Idempotent."""
        ...

    async def observe(self) -> tuple[Observed, ...]:
        """Every sandbox and instance of this chain and agent, ordered by id, also of leases that the caller forgot."""
        ...

    def logs(self, instance: InstanceId, *, follow: bool, tail_lines: int) -> AsyncIterator[bytes]:
        """Chunks of combined output, oldest first, of the last `tail_lines` lines; goes on while `follow`."""
        ...

    async def exec(
        self, instance: InstanceId, command: tuple[str, ...], *, terminal: TerminalSize | None
    ) -> ExecSession:
        """Start a command beside the workload of a running instance: as its user, in its file system and folder, with
        its environment and limits, and with nothing that it may not do itself. With `terminal` its input and output
        are a terminal, the controlling one of a session of its own, that has this size when `exec` returns; without,
        three pipes.

        Several may run at once. None outlives the connection to whoever asked, nor the instance. The instance stays
        what it is: a command is not the workload, and its end is no event.

        A command that does not exist is no error of the runtime: the session has one line about it on STDERR (STDOUT
        with a terminal) and exit code 127, as a shell would; 126 for what cannot be executed. RuntimeFailure when
        there is no such instance, when it does not run, or when too many commands run beside it already.
        """
        ...

    def events(self) -> AsyncIterator[InstanceId]:
        """Yields the id of an instance whenever something may have happened to it. May repeat, may be lost."""
        ...


class Namespace(Protocol):
    """The network of one sandbox, seen from the agent. Loopback only: nothing comes in or goes out but by these."""

    async def listener(self, address: str, port: int) -> socket.socket:
        """A listening TCP socket inside (`port` 0: any free); accepted connections are the workload's own."""
        ...

    async def connect(self, address: str, port: int) -> socket.socket:
        """A connected TCP socket to something that listens inside. OSError as `connect(2)` would."""
        ...

    async def redirect(self, port: int) -> bool:
        """Send every TCP connection that is made inside, and that no listener inside takes, to 127.255.255.254:`port`,
        its original destination kept for SO_ORIGINAL_DST. False where the kernel or its tools cannot.
        """
        ...


class SandboxNetworks(Protocol):
    """What a runtime with the capability NETWORK_AGENT is besides."""

    async def namespace(self, instance: InstanceId) -> Namespace:
        """KeyError when there is no such sandbox. Two answers are equal exactly while the sandbox is the same one."""
        ...


class RuntimeFailure(Exception):
    """The engine could not do it. `remedy` is what the operator can do; `what` may be shown to the tenant."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


@frozen(kw_only=True)
class RuntimeContext:
    """`home` is a folder that is this runtime's alone and survives restarts; `agent` names this agent on labels, so
    that two agents on one engine never touch each other's instances. `offer` caps `capacity` when set.
    """

    home: Path
    chain_id: Hash
    agent: str
    config: object
    offer: Resources | None = None


RuntimeProvider = PluginRecord[RuntimeContext, Runtime]
