"""Networks of real processes for tests: started by `photon up`, read from its network.json, killed member by member.

Tests look at a network as anybody could: through its node, as its tenant, by its commands. They wait for conditions,
never for time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import trio

from photon_core.api.transport import Transport, TransportContext
from photon_core.chain.keys import SigningKey
from photon_core.chain.keystore import Keystore
from photon_core.cli.up.blueprint import read_blueprint
from photon_core.cli.up.layout import NetworkFolder
from photon_core.cli.up.ledger import read_balances
from photon_core.exchange.records import DeploymentState
from photon_core.node.client import NodeClient, NodeUnreachable
from photon_core.peers.methods import Endpoint
from photon_core.plugins import PluginManager, choose
from photon_core.plugins.selection import DEFAULTS
from photon_core.tenant.client import Tenant, open_tenant

ROOT = Path(__file__).parents[2]
PHOTON = str(Path(sys.executable).parent / "photon")
READY_S = 60.0
STOP_S = 60.0
WAIT_S = 40.0
LOOK_EVERY_S = 0.1
QUICK = {"reconfirmation_period_ms": 6_000, "max_gap_ms": 1_000, "heartbeat_ms": 500}
"""A provider that is silent loses its leases after six seconds."""

T = TypeVar("T")


async def eventually(
    look: Callable[[], Awaitable[T]], wanted: Callable[[T], object] = bool, within_s: float = WAIT_S
) -> T:
    """What `look` returns once it is `wanted`; AssertionError with what it was last. A node may be away meanwhile."""
    found: object = "nothing"
    with trio.move_on_after(within_s):
        while True:
            with suppress(NodeUnreachable, httpx.TransportError):
                found = now = await look()
                if wanted(now):
                    return now
            await trio.sleep(LOOK_EVERY_S)
    raise AssertionError(f"not within {within_s} s; at last: {found}")


class Process:
    """A `photon …` with `--output json`. Its first line on stdout says that it is ready.

    `before` is a program that becomes it, as `nsenter` does.
    """

    def __init__(
        self, *arguments: str, environment: dict[str, str] | None = None, before: list[str] | None = None
    ) -> None:
        self.arguments = arguments
        self.said = ""
        self._ready = threading.Event()
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            [*(before or []), PHOTON, *arguments, "--output", "json"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.append(line)
                if line.startswith('{"'):  # an error has its brace on a line of its own
                    self._ready.set()
        self._ready.set()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def wait_ready(self) -> None:
        assert self._ready.wait(READY_S), f"photon {' '.join(self.arguments)} is not ready:\n{self.output}"
        assert self._process.poll() is None, f"photon {' '.join(self.arguments)} ended:\n{self.output}"

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Its exit code."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self._process.wait(STOP_S)
        self._reader.join(STOP_S)
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.wait()


class Network:
    """A `photon up --data FOLDER`, and members of it that were started again by their documented commands."""

    def __init__(self, folder: Path, parameters: dict[str, int] | None = None) -> None:
        self.folder = folder
        self._parameters = parameters or {}
        self._by_hand: dict[str, Process] = {}
        self.up: Process

    def start(self) -> Network:
        new = not (self.folder / "genesis.toml").exists()
        options = [f"--parameter={name}={value}" for name, value in self._parameters.items()] if new else []
        self.up = Process("up", "--data", str(self.folder), *options)
        self.up.wait_ready()
        return self

    @property
    def document(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((self.folder / "network.json").read_text())
        return body

    def members(self, role: str = "") -> list[str]:
        return [name for name, each in self.document["members"].items() if role in {"", each["role"]}]

    # --- killing -----------------------------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """Kill -9, whoever started it."""
        by_hand = self._by_hand.pop(name, None)
        if by_hand is not None:
            by_hand.close()
        else:
            kill(self.document["members"][name]["pid"])

    def start_again(self, name: str) -> None:
        """By the command in network.json, as a person would. Returns when it is ready."""
        _, *arguments = self.document["members"][name]["command"]
        process = self._by_hand[name] = Process(*arguments)
        process.wait_ready()

    def kill_everything(self) -> None:
        """`up`, its members and their workloads, as a machine that loses its power."""
        running = [each["pid"] for each in self.document["members"].values()]
        os.kill(self.up.pid, signal.SIGSTOP)  # so that it does not begin to clean up
        for pid in [*running, *workloads(self.folder)]:
            kill(pid)
        self.up.close()

    def stop(self) -> int:
        """Ctrl-C; its exit code."""
        code = self.up.stop()
        for process in self._by_hand.values():
            process.wait()
        return code

    def close(self) -> None:
        if not hasattr(self, "up"):
            return
        with suppress(Exception):
            self.stop()
        for process in [self.up, *self._by_hand.values()]:
            process.close()

    # --- using -------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def node(self) -> AsyncIterator[NodeClient]:
        async with NodeClient(self.document["node"]) as node:
            yield node

    @asynccontextmanager
    async def tenant(self) -> AsyncIterator[Tenant]:
        document = self.document
        home, key = Path(document["homes"]["tenant"]), self._tenant_key()
        async with (
            NodeClient(document["node"]) as node,
            open_tenant(node, key, home=home, make_transport=_transport) as tenant,
        ):
            yield tenant

    def _tenant_key(self) -> SigningKey:
        document = self.document
        passphrase = Path(document["passphrase_file"]).read_text().strip()
        return Keystore(Path(document["homes"]["tenant"]) / "keys").unlock(document["key"], passphrase)


def _transport(node_seed: bytes, chain_id: bytes) -> Transport:
    manager = PluginManager(choose(defaults=DEFAULTS))
    context = TransportContext(node_seed=node_seed, chain_id=chain_id, config=None)
    return manager.make("transport", manager.choice.one("transport").name, context)


async def endpoints_of(tenant: Tenant, deployment: int) -> tuple[Endpoint, ...]:
    """Once every group serves, as their providers say."""
    status = await eventually(
        partial(tenant.status, deployment), lambda status: all(g.standing == "serving" for g in status.groups)
    )
    return tuple(endpoint for group in status.groups if group.report for endpoint in group.report.endpoints)


async def get(endpoint: Endpoint, path: str = "/") -> httpx.Response:
    """As a visitor would, by the provider's ingress."""
    url = f"http://{endpoint.address}:{endpoint.external_port}{path}"
    async with httpx.AsyncClient(trust_env=False, timeout=15.0) as client:
        return await client.get(url, headers={"Host": endpoint.hostnames[0]})


async def all_money_is_there(network: Network, tenant: Tenant, deployments: list[int]) -> None:
    """Closes them, and compares what everybody has then with what genesis made: to the uptn."""
    blueprint = read_blueprint(NetworkFolder(network.folder))
    for deployment in deployments:
        await tenant.close(deployment)
    closed = DeploymentState.CLOSED
    for deployment in deployments:
        await eventually(partial(tenant.detail, deployment), lambda detail: detail.deployment.state is closed)
    for deployment in deployments:
        (await read_balances(tenant.node, blueprint)).require_everything(await tenant.money(deployment))


# --- what is left ----------------------------------------------------------------------------------------------------


def kill(pid: int) -> None:
    """Returns when it is dead."""
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            deadline = time.monotonic() + STOP_S
            while _alive(pid) and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            os.close(pidfd)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_of(folder: Path) -> Iterator[tuple[int, str]]:
    """Living processes that have to do with this folder: by their command line, or a file or folder that they hold."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and _alive(int(entry.name)):
            command = _read(entry / "cmdline")
            if str(folder) in command or str(folder) in _links(entry):
                yield int(entry.name), command or _read(entry / "comm")


def workloads(folder: Path) -> list[int]:
    """The helpers of the sandboxes of `runtime_process`: with one of them dies everything inside."""
    files = sorted(folder.glob("provider-*/provider/runtime/sandboxes/*/sandbox.json"))
    pids = [json.loads(file.read_text())["pid"] for file in files]
    return [pid for pid in pids if _alive(pid)]


def mounts_of(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line]


def _read(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _links(entry: Path) -> str:
    found = []
    with suppress(OSError):
        for link in [entry / "cwd", *(entry / "fd").iterdir()]:
            with suppress(OSError):
                found.append(str(link.readlink()))
    return "\n".join(found)
