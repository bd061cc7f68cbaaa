"""A network over several machines, by documented commands: validators and a node on this one, a provider in each other.

Addresses are those of the cable between them, so that cutting it cuts a provider off.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tomllib
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from harness import PHOTON, ROOT, Process
from machines import Machines

from photon_core.api.transport import Transport, TransportContext
from photon_core.chain.keystore import Keystore
from photon_core.node.client import NodeClient
from photon_core.plugins import PluginManager, choose
from photon_core.plugins.selection import DEFAULTS
from photon_core.tenant.client import Tenant, open_tenant

VALIDATORS = 4
COMMAND_S = 120.0
PASSPHRASE = "a passphrase for tests"
PARAMETERS = {"reconfirmation_period_ms": 10_000, "max_gap_ms": 1_000, "heartbeat_ms": 500, "bidding_window_ms": 1_000}


def free_ports(address: str, count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((address, 0))
        return [each.getsockname()[1] for each in sockets]


class WideNetwork:
    """`providers`: by name, (machine, runtime). They are started by `start_provider`."""

    def __init__(self, folder: Path, machines: Machines, providers: dict[str, tuple[str, str]]) -> None:
        self.folder, self.machines, self.providers = folder, machines, providers
        self._processes: dict[str, Process] = {}
        folder.mkdir(mode=0o700)
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text(PASSPHRASE + "\n")
        self.passphrase.chmod(0o600)
        host = machines.host_address
        ports = free_ports(host, 2 * VALIDATORS + 2)
        self.node_url = f"http://{host}:{ports[0]}"
        self._make_chain(host, ports)

    # --- commands --------------------------------------------------------------------------------------------------

    def photon(self, *arguments: str, home: str = "", code: int = 0) -> dict[str, Any]:
        """One command's document."""
        options = ["--home", str(self.folder / home)] if home else []
        done = subprocess.run(
            [PHOTON, *arguments, *options, "--output", "json"],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, f"photon {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip().startswith("{") else {"text": done.stdout}

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PHOTON_")}
        return {
            **kept,
            "PHOTON_HOME": str(self.folder / "nowhere"),
            "PHOTON_PASSPHRASE_FILE": str(self.passphrase),
            "PHOTON_NODE": self.node_url,
        }

    def _address(self, home: str, key: str) -> str:
        return str(self.photon("key", "show", key, home=home)["address"])

    # --- making it -------------------------------------------------------------------------------------------------

    def _make_chain(self, host: str, ports: list[int]) -> None:
        cheap = ("--key-cost", "interactive")
        cards = []
        for number in range(VALIDATORS):
            api, listen = ports[2 + 2 * number : 4 + 2 * number]
            home = f"validator-{number + 1}"
            where = ("--api", f"{host}:{api}", "--listen", f"/ip4/{host}/tcp/{listen}")
            self.photon("validator", "init", *cheap, *where, home=home)
            cards.append(f"--validator={self.folder / home / 'card.toml'}")
        self.photon("key", "create", "tenant", "--cost", "interactive", home="tenant")
        money = [f"--account={self._address('tenant', 'tenant')}=1000000"]
        for name in self.providers:
            self._make_provider(name, *cheap)
            money.append(f"--account={self._address(name, 'payee')}=1000")
            money.append(f"--account={self._address(name, 'operator')}=100000")
        genesis = str(self.folder / "genesis.toml")
        parameters = [f"--parameter={name}={value}" for name, value in PARAMETERS.items()]
        self.photon("genesis", "create", genesis, "--name", "wide", "--development", *parameters, *cards, *money)
        for number in range(VALIDATORS):
            self.photon("validator", "join", genesis, home=f"validator-{number + 1}")
        peers = str(self.folder / "genesis.peers.toml")
        where = ("--api", f"{host}:{ports[0]}", "--listen", f"/ip4/{host}/tcp/{ports[1]}", "--peers", peers)
        self.photon("node", "init", *cheap, "--genesis", genesis, *where, home="node")

    def _make_provider(self, name: str, *cheap: str) -> None:
        machine, runtime = self.providers[name]
        address = self.machines.address(machine)
        self.photon(
            *("provider", "init", *cheap, "--plugin", f"runtime_{runtime}", "--plugin", "pricing_scale"),
            *("--node", self.node_url, "--listen", f"/ip4/{address}/tcp/4390", "--ingress", f"{address}:8080"),
            *("--attribute", f"machine={machine}"),
            home=name,
        )

    # --- running it ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        for number in range(VALIDATORS):
            self._start(f"validator-{number + 1}", "validator", "start")
        self._start("node", "node", "start")
        for name in self.providers:
            self.photon("provider", "register", home=name)

    def start_provider(self, name: str) -> Process:
        """In its machine, with its engine's address in the environment."""
        machine, runtime = self.providers[name]
        variable = {"docker": "DOCKER_HOST", "podman": "CONTAINER_HOST"}[runtime]
        before = [*self.machines.inside(machine), "env", f"{variable}={self.machines.socket(machine, runtime)}"]
        return self._start(name, "provider", "start", before=before)

    def _start(self, name: str, *verb: str, before: list[str] | None = None) -> Process:
        arguments = (*verb, "--home", str(self.folder / name))
        process = Process(*arguments, environment=self._environment, before=before)
        self._processes[name] = process
        process.wait_ready()
        return process

    def kill(self, name: str) -> None:
        """-9."""
        self._processes.pop(name).close()

    def close(self) -> None:
        for process in self._processes.values():
            with suppress(Exception):
                process.close()

    # --- using it --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def tenant(self) -> AsyncIterator[Tenant]:
        home = self.folder / "tenant"
        key = Keystore(home / "keys").unlock("tenant", PASSPHRASE)
        async with (
            NodeClient(self.node_url) as node,
            open_tenant(node, key, home=home, make_transport=_transport) as tenant,
        ):
            yield tenant

    def config(self, name: str) -> dict[str, Any]:
        return tomllib.loads((self.folder / name / "config.toml").read_text())


def _transport(node_seed: bytes, chain_id: bytes) -> Transport:
    manager = PluginManager(choose(defaults=DEFAULTS))
    context = TransportContext(node_seed=node_seed, chain_id=chain_id, config=None)
    return manager.make("transport", manager.choice.one("transport").name, context)
