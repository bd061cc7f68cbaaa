"""What a runtime with NETWORK_AGENT puts into a sandbox's network: rules, a route, and sight of what is refused.

A sandbox has only its loopback. Connections to what is granted are handed to one listener of the agent, which asks the
kernel where they were meant to go; every other one is refused by the kernel itself, at once, as if nobody listened
there. So a workload sees the truth already in `connect`, a flood of refused attempts never reaches the agent, and who
was refused what is read off the resets that the kernel answers with (ADR 31).

Runs in a process or thread that is inside the sandbox's network, with CAP_NET_ADMIN and CAP_NET_RAW there. Standard
library only: it is imported where a sandbox begins.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import struct
from collections.abc import Callable, Sequence

GATHER = "127.255.255.254"
"""Where the agent's listener is, inside each sandbox."""
PEERS = "127.64.0.0/10"
"""Where the names of peers live, GATHER not among them; the rest of 127.0.0.0/8 is the workload's own."""
TARGETS_MAX = 4096
"""Of one sandbox: a section's services and ports are fewer; each is a rule."""
RULE_TOOLS = (("nft", ("-f", "-")), ("iptables-restore", ()))
"""Programs that take `rules` on standard input, better ones first."""
NO_RULES = {
    "nft": "add table ip photon\ndelete table ip photon\n",
    "iptables-restore": "*nat\nCOMMIT\n*filter\nCOMMIT\n",
}
"""What takes them back."""

Target = tuple[str, int]
"""An IPv4 address, and a port."""

_ETH_P_IP = 0x0800
_SO_ATTACH_FILTER = 26
_SNAP_BYTES = 64
_TCP, _RST_ACK = 6, 0x14
# Classic BPF (linux/filter.h), from the IP header on: TCP, not a later fragment, RST and ACK, sequence number 0. So a
# closed port answers a first packet, and nothing else does (RFC 9293, section 3.10.7.1).
_FILTER = (
    (0x30, 0, 0, 9),  # A = protocol
    (0x15, 0, 9, _TCP),
    (0x28, 0, 0, 6),  # A = flags and fragment offset
    (0x45, 7, 0, 0x1FFF),
    (0xB1, 0, 0, 0),  # X = length of the IP header
    (0x50, 0, 0, 13),  # A = TCP flags
    (0x54, 0, 0, 0x3F),
    (0x15, 0, 3, _RST_ACK),
    (0x40, 0, 0, 4),  # A = sequence number
    (0x15, 0, 1, 0),
    (0x06, 0, 0, _SNAP_BYTES),
    (0x06, 0, 0, 0),
)

_NETLINK_ROUTE, _RTM_NEWROUTE, _NLM_F_REQUEST_ACK_CREATE_REPLACE = 0, 24, 0x505
_RT_TABLE_LOCAL, _RTPROT_BOOT, _RT_SCOPE_HOST, _RTN_LOCAL, _RTA_OIF = 255, 3, 254, 2, 4


def redirect(port: int, targets: Sequence[Target], path: str, run: Callable[[tuple[str, ...], str], str]) -> str:
    """What `Namespace.redirect` is to do, from inside. Why it could not, or nothing.

    `path` is searched for RULE_TOOLS. `run(command, rules)` starts a tool inside and says what it complained of.
    """
    why = "neither nft nor iptables-restore is installed"
    for name, arguments in RULE_TOOLS:
        program = shutil.which(name, path=path)
        if program is None:
            continue
        command = (program, *arguments)
        why = run(command, rules(name, port, targets))
        if not why:
            try:
                route_everything_to_loopback()  # not before the rules: it lets connections to anywhere begin
            except OSError as problem:
                why = f"no route: {problem}"
            else:
                return ""
        run(command, NO_RULES[name])  # iptables takes a table at a time, and the first may be in force
    return why


def rules(tool: str, port: int, targets: Sequence[Target]) -> str:
    """For `tool` of RULE_TOOLS: all of the sandbox's rules, which it puts in place of all former ones, atomically.

    ValueError for what is no address or port, or more than TARGETS_MAX of them.
    """
    if len(targets) > TARGETS_MAX:
        raise ValueError(f"{len(targets)} targets, at most {TARGETS_MAX}")
    checked = tuple(
        (socket.inet_ntoa(socket.inet_pton(socket.AF_INET, address)), _port(one)) for address, one in targets
    )
    return (_nft if tool == "nft" else _iptables)(_port(port), checked)


def _port(number: int) -> int:
    if not 0 < number < 65_536:
        raise ValueError(f"{number} is no port")
    return number


def _nft(port: int, targets: tuple[Target, ...]) -> str:
    granted = "".join(f"ip daddr {a} tcp dport {p} dnat to {GATHER}:{port}\n" for a, p in targets)
    return f"""add table ip photon
delete table ip photon
table ip photon {{
chain granted {{
type nat hook output priority -100
{granted}}}
chain refused {{
type filter hook output priority 0
meta l4proto != tcp return
tcp flags & (syn | ack | rst | fin) != syn return
ip daddr {PEERS} reject with tcp reset
ip daddr != 127.0.0.0/8 reject with tcp reset
}}
}}
"""


def _iptables(port: int, targets: tuple[Target, ...]) -> str:
    granted = "".join(
        f"-A OUTPUT -p tcp -d {a} --dport {p} -j DNAT --to-destination {GATHER}:{port}\n" for a, p in targets
    )
    refused = "-j REJECT --reject-with tcp-reset"
    return f"""*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
{granted}COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
-A OUTPUT -p tcp --syn -d {PEERS} {refused}
-A OUTPUT -p tcp --syn ! -d 127.0.0.0/8 {refused}
COMMIT
"""


def route_everything_to_loopback() -> None:
    """`ip route replace local default dev lo`: connections to anywhere begin, and meet the rules. OSError."""
    loopback = struct.pack("=HHI", 8, _RTA_OIF, socket.if_nametoindex("lo"))
    route = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, 0, 0, 0, _RT_TABLE_LOCAL, _RTPROT_BOOT, _RT_SCOPE_HOST, _RTN_LOCAL, 0
    )
    size = 16 + len(route) + len(loopback)
    header = struct.pack("=IHHII", size, _RTM_NEWROUTE, _NLM_F_REQUEST_ACK_CREATE_REPLACE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        netlink.send(header + route + loopback)
        code = -struct.unpack_from("=i", netlink.recv(4096), 16)[0]
        if code:
            raise OSError(code, os.strerror(code))


def refusals_socket() -> socket.socket:
    """A socket that receives a packet for each connection that was refused inside; `refused_target` reads it. OSError
    where the caller may not look.
    """
    seeing = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)  # deaf until it is bound: first the filter
    try:
        program = b"".join(struct.pack("=HBBI", *step) for step in _FILTER)
        held = ctypes.create_string_buffer(program)
        seeing.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(_FILTER), ctypes.addressof(held))
        )
        seeing.bind(("lo", _ETH_P_IP))
        seeing.setblocking(False)
    except BaseException:
        seeing.close()
        raise
    return seeing


def refused_target(packet: bytes) -> Target | None:
    """Where the connection was meant to go. None for what is no such packet."""
    header = (packet[0] & 0xF) * 4 if packet else 0
    if header < 20 or len(packet) < header + 20:
        return None
    return socket.inet_ntoa(packet[12:16]), int.from_bytes(packet[header : header + 2], "big")
