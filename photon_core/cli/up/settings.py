"""The members' ports and configuration: made anew at each start, since a port may have been taken meanwhile.

A port is reserved by a socket that is bound and does not listen: the system then gives the port to nobody who asks for
any free one, and the member, which binds with SO_REUSEADDR as all our servers do, can still listen on it. So no two
networks of one machine ever meet, and all members can start at the same time.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import tomli_w
from attrs import asdict, frozen

from photon_core.api.resources import Resources
from photon_core.chain.files import write_atomically
from photon_core.cli.up.layout import Member, NetworkFolder, Role
from photon_core.node.config import CONFIG_FILE, NodeSettings
from photon_core.provider.config import ProviderSettings

LOOPBACK = "127.0.0.1"
PRICING_PLUGIN = "pricing_scale"
_PORTS_OF = {
    Role.VALIDATOR: ("api", "listen"),
    Role.NODE: ("api", "listen"),
    Role.PROVIDER: ("listen", "ingress"),
    Role.KEEPER: (),
}


@frozen(kw_only=True)
class Ports:
    """By `<member>.<use>`. They stay reserved until `reservation` is closed."""

    by_name: dict[str, int]
    reservation: ExitStack

    def of(self, member: Member, use: str) -> int:
        return self.by_name[f"{member.name}.{use}"]


def reserve_ports(file: Path, members: Sequence[Member]) -> Ports:
    """The ports of `file`, each replaced if it is taken; kept in `file` again."""
    before = _kept(file)
    names = [f"{member.name}.{use}" for member in members for use in _PORTS_OF[member.role]]
    with ExitStack() as stack:
        ports = {name: _reserve(before.get(name, 0), stack) for name in names}
        write_atomically(file, json.dumps(ports, indent=2).encode())
        return Ports(by_name=ports, reservation=stack.pop_all())


def _kept(file: Path) -> dict[str, Any]:
    try:
        body = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _reserve(wanted: object, stack: ExitStack) -> int:
    for port in (wanted if isinstance(wanted, int) else 0, 0):
        reserving = socket.socket()
        reserving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            reserving.bind((LOOPBACK, port))
        except (OSError, OverflowError):
            reserving.close()
            continue
        stack.enter_context(reserving)
        found: int = reserving.getsockname()[1]
        return found
    raise OSError("no port of the loopback interface is free")


# --- configuration ----------------------------------------------------------------------------------------------------


def write_configs(
    folder: NetworkFolder,
    members: Sequence[Member],
    ports: Ports,
    plugins: tuple[str, ...],
    node_keys: Mapping[str, str],
    providers: Mapping[str, str],
) -> None:
    """Every member's `config.toml`. `node_keys` in hex and `providers`' addresses are by member's name."""
    validators = [member for member in members if member.role is Role.VALIDATOR]
    share = _machine_share(sum(member.role is Role.PROVIDER for member in members))
    for member in members:
        match member.role:
            case Role.VALIDATOR | Role.NODE:
                node = NodeSettings(
                    api=f"{LOOPBACK}:{ports.of(member, 'api')}",
                    listen=(_address(ports.of(member, "listen")),),
                    peers=tuple(
                        f"{node_keys[validator.name]}@{_address(ports.of(validator, 'listen'))}"
                        for validator in validators
                        if validator != member
                    ),
                )
                _write(folder, member, plugins, {"node": asdict(node)})
            case Role.PROVIDER:
                settings = _provider(member, ports, providers[member.name], share, node_url(ports, members))
                tables: dict[str, Any] = {"provider": asdict(settings)}
                if PRICING_PLUGIN in plugins:
                    tables["plugin"] = {PRICING_PLUGIN: dict(member.prices)}
                _write(folder, member, plugins, tables)
            case Role.KEEPER:
                _write(folder, member, plugins, {})


def node_url(ports: Ports, members: Sequence[Member]) -> str:
    """Of the full node: what everybody but the validators asks, so that any validator may die unnoticed."""
    node = next(member for member in members if member.role is Role.NODE)
    return f"http://{LOOPBACK}:{ports.of(node, 'api')}"


def _provider(member: Member, ports: Ports, provider: str, share: Resources, node: str) -> ProviderSettings:
    return ProviderSettings(
        provider=provider,
        node=node,
        listen=(_address(ports.of(member, "listen")),),
        attributes=dict(member.attributes),
        offer_cpu_milli=share.cpu_milli,
        offer_memory_bytes=share.memory_bytes,
        offer_storage_bytes=share.storage_bytes,
        ingress_address=LOOPBACK,
        ingress_http_port=ports.of(member, "ingress"),
    )


def _machine_share(providers: int) -> Resources:
    """What each of so many providers offers of this machine: together they never offer more than there is."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    disk = os.statvfs("/")
    return Resources(
        cpu_milli=len(os.sched_getaffinity(0)) * 1000 // providers,
        memory_bytes=memory // providers,
        storage_bytes=disk.f_blocks * disk.f_frsize // providers,
    )


def _address(port: int) -> str:
    return f"/ip4/{LOOPBACK}/tcp/{port}"


def _write(folder: NetworkFolder, member: Member, plugins: tuple[str, ...], tables: dict[str, Any]) -> None:
    body = {"plugins": list(plugins), **{name: _present(table) for name, table in tables.items()}}
    text = f"# Written by `photon up` at each start.\n{tomli_w.dumps(body)}"
    home = folder.home(member)
    write_atomically(home / CONFIG_FILE, text.encode(), mode=0o644)


def _present(table: dict[str, Any]) -> dict[str, Any]:
    """TOML has no None, and lists for tuples."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in table.items() if v is not None}
