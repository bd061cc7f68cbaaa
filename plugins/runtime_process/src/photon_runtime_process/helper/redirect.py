"""Every TCP connection that is made inside, and that nobody inside takes, goes to one listener of the agent.

Where nft or iptables exists this adds the report of refused targets, and nothing else: without it such a connection
fails by itself. Rules are written as a whole each time, which both tools do atomically.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct

from photon_runtime_process.helper import drop, linux
from photon_runtime_process.helper.workload import DEFAULT_PATH

GATHER = "127.255.255.254"
PEERS = "127.64.0.0/10"
"""Where the names of peers live; the rest of 127.0.0.0/8 is the workload's own."""
TAKEN_MAX = 1024
"""Listeners of one agent in one sandbox, over its life: each is a rule."""

NETLINK_ROUTE, RTM_NEWROUTE, NLM_F_REQUEST_ACK_CREATE_REPLACE = 0, 24, 0x505
RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, RTA_OIF = 255, 3, 254, 2, 4

Target = tuple[str, int]


class Redirect:
    def __init__(self) -> None:
        self._port = 0
        self._taken: dict[Target, None] = {}

    def to(self, port: int) -> str:
        """Why not, or nothing."""
        self._port = port
        why = self._write()
        if why:
            self._port = 0
            return why
        try:
            route_everything_to_loopback()
        except OSError as problem:
            return f"no route: {problem}"
        return ""

    def leave(self, address: str, port: int) -> str:
        """The agent listens there itself."""
        if len(self._taken) >= TAKEN_MAX and (address, port) not in self._taken:
            return f"more than {TAKEN_MAX} listeners"
        self._taken[socket.inet_ntoa(socket.inet_aton(address)), port] = None
        return self._write() if self._port else ""

    def _write(self) -> str:
        why = "neither nft nor iptables-restore is installed"
        for tool, arguments, rules in (("nft", ("-f", "-"), nft_rules), ("iptables-restore", (), iptables_rules)):
            path = shutil.which(tool, path=DEFAULT_PATH)
            if path:
                why = run_tool((path, *arguments), rules(self._port, tuple(self._taken)))
                if not why:
                    break
        return why


def nft_rules(port: int, taken: tuple[Target, ...]) -> str:
    to = f"dnat to {GATHER}:{port}"
    left = "".join(f"ip daddr {a} tcp dport {p} return\n" for a, p in taken)
    return f"""add table ip photon
delete table ip photon
table ip photon {{
chain output {{
type nat hook output priority -100
meta l4proto != tcp return
{left}ip daddr {GATHER} return
ip daddr {PEERS} {to}
ip daddr 127.0.0.0/8 return
{to}
}}
}}
"""


def iptables_rules(port: int, taken: tuple[Target, ...]) -> str:
    left = "".join(f"-A OUTPUT -p tcp -d {a} --dport {p} -j RETURN\n" for a, p in taken)
    to = f"-j DNAT --to-destination {GATHER}:{port}"
    return f"""*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
{left}-A OUTPUT -p tcp -d {GATHER} -j RETURN
-A OUTPUT -p tcp -d {PEERS} {to}
-A OUTPUT -p tcp ! -d 127.0.0.0/8 {to}
COMMIT
"""


def run_tool(argv: tuple[str, ...], rules: str) -> str:
    """What it complained of, or nothing. It waits: the tools take some milliseconds."""
    stdin, output = os.memfd_create("rules"), os.memfd_create("output")
    try:
        os.write(stdin, rules.encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        pid = os.fork()
        if pid == 0:
            _become_tool(argv, stdin, output)
        _, status = os.waitpid(pid, 0)
        said = os.pread(output, 500, 0).decode(errors="replace").strip()
        return "" if status == 0 else f"{argv[0]}: {said or status}"
    finally:
        os.close(stdin)
        os.close(output)


def _become_tool(argv: tuple[str, ...], stdin: int, output: int) -> None:
    """In the child: never returns."""
    try:
        for source, target in ((stdin, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        linux.close_all_but(0, 1, 2)
        drop.become_network_tool()
        env = {"PATH": DEFAULT_PATH, "XTABLES_LOCKFILE": "/run/xtables.lock"}
        os.execve(argv[0], argv, env)  # noqa: S606 - that is what this function is for
    except OSError as problem:
        os.write(2, str(problem).encode())
    finally:
        os._exit(127)


def route_everything_to_loopback() -> None:
    """`ip route replace local default dev lo`: the kernel then lets connections to anywhere begin, for the rules."""
    loopback = struct.pack("=HHI", 8, RTA_OIF, socket.if_nametoindex("lo"))
    route = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, 0)
    size = 16 + len(route) + len(loopback)
    header = struct.pack("=IHHII", size, RTM_NEWROUTE, NLM_F_REQUEST_ACK_CREATE_REPLACE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        netlink.send(header + route + loopback)
        code = -struct.unpack_from("=i", netlink.recv(4096), 16)[0]
        if code:
            raise OSError(code, os.strerror(code))
