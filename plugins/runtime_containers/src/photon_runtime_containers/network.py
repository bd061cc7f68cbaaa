"""A sandbox's network, seen from the agent: sockets made inside and used outside, and the redirect.

The redirect sends every TCP connection that is made inside, and that no listener inside takes, to one listener of the
agent. Where neither nft nor iptables works there is none, and such a connection fails by itself. Rules are written as a
whole each time, which both tools do atomically.
"""

from __future__ import annotations

import logging
import shutil
import socket
import subprocess
from functools import partial

import trio

from photon_core.api.ids import InstanceId
from photon_runtime_containers import netns
from photon_runtime_containers.processes import Process

log = logging.getLogger(__name__)

BACKLOG = 128
GATHER = "127.255.255.254"
PEERS = "127.64.0.0/10"
"""Where the names of peers live; the rest of 127.0.0.0/8 is the workload's own."""
TAKEN_MAX = 1024
"""Listeners of one agent in one sandbox, over its life: each is a rule."""
TOOL_S = 10.0
TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Target = tuple[str, int]


class SandboxNamespace:
    """A `Namespace`. Its sockets do not block. Two are equal as long as the sandbox's first process is the same one."""

    def __init__(self, instance: InstanceId, process: Process) -> None:
        self.instance, self.process = instance, process
        self._changing = trio.Lock()
        self._port = 0
        self._taken: dict[Target, None] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SandboxNamespace) and self.process == other.process

    def __hash__(self) -> int:
        return hash(self.process)

    async def listener(self, address: str, port: int) -> socket.socket:
        fresh = await netns.within(self.process, netns.fresh_socket)
        try:
            fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            fresh.bind((address, port))
            fresh.listen(BACKLOG)
            fresh.setblocking(False)
            await self._leave(address, fresh.getsockname()[1])
        except BaseException:
            fresh.close()
            raise
        return fresh

    async def connect(self, address: str, port: int) -> socket.socket:
        fresh = await netns.within(self.process, netns.fresh_socket)
        with trio.socket.from_stdlib_socket(fresh) as connecting:
            await connecting.connect((address, port))
            return socket.socket(fileno=connecting.detach())

    async def redirect(self, port: int) -> bool:
        async with self._changing:
            self._port = port
            why = await self._write()
            if why:
                self._port = 0
                log.info("no redirect in the sandbox of %s: %s", self.instance, why)
            return not why

    async def _leave(self, address: str, port: int) -> None:
        """The agent listens there itself: such a connection is not redirected."""
        async with self._changing:
            target = (socket.inet_ntoa(socket.inet_aton(address)), port)
            if target in self._taken:
                return
            if len(self._taken) >= TAKEN_MAX:
                raise OSError(f"more than {TAKEN_MAX} listeners in the sandbox of {self.instance}")
            self._taken[target] = None
            why = await self._write() if self._port else ""
            if why:
                del self._taken[target]
                raise OSError(f"the redirect could not be changed: {why}")

    async def _write(self) -> str:
        return await netns.within(self.process, partial(_set_rules, self._port, tuple(self._taken)))


def _set_rules(port: int, taken: tuple[Target, ...]) -> str:
    """Inside. Why it could not be done, or nothing."""
    why = "neither nft nor iptables-restore is installed"
    for tool, arguments, rules in (("nft", ("-f", "-"), nft_rules), ("iptables-restore", (), iptables_rules)):
        path = shutil.which(tool, path=TOOL_PATH)
        if path:
            why = _run_tool((path, *arguments), rules(port, taken))
            if not why:
                break
    if why:
        return why
    try:
        netns.route_everything_to_loopback()
    except OSError as problem:
        return f"no route: {problem}"
    return ""


def _run_tool(argv: tuple[str, ...], rules: str) -> str:
    """A child of this thread begins in this thread's network."""
    try:
        done = subprocess.run(
            argv, input=rules.encode(), capture_output=True, env={"PATH": TOOL_PATH}, timeout=TOOL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return f"{argv[0]}: {problem}"
    said = (done.stderr + done.stdout).decode(errors="replace").strip()[:500]
    return "" if done.returncode == 0 else f"{argv[0]}: {said or done.returncode}"


def nft_rules(port: int, taken: tuple[Target, ...]) -> str:
    to = f"dnat to {GATHER}:{port}"
    lines = [
        "type nat hook output priority -100",
        "meta l4proto != tcp return",
        *(f"ip daddr {address} tcp dport {granted} return" for address, granted in taken),
        f"ip daddr {GATHER} return",
        f"ip daddr {PEERS} {to}",
        "ip daddr 127.0.0.0/8 return",
        to,
    ]
    chain = "".join(f"    {line}\n" for line in lines)
    # Deleting what is not there is an error, so it is added first: in one transaction, nobody sees the moment between.
    return f"add table ip photon\ndelete table ip photon\ntable ip photon {{\n  chain output {{\n{chain}  }}\n}}\n"


def iptables_rules(port: int, taken: tuple[Target, ...]) -> str:
    to = f"-j DNAT --to-destination {GATHER}:{port}"
    lines = [
        "*nat",
        *(f":{chain} ACCEPT" for chain in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")),
        *(f"-A OUTPUT -p tcp -d {address} --dport {granted} -j RETURN" for address, granted in taken),
        f"-A OUTPUT -p tcp -d {GATHER} -j RETURN",
        f"-A OUTPUT -p tcp -d {PEERS} {to}",
        f"-A OUTPUT -p tcp ! -d 127.0.0.0/8 {to}",
        "COMMIT",
    ]
    return "".join(f"{line}\n" for line in lines)
