"""Addresses: the multiaddrs that a TCP transport can listen at and dial."""

from __future__ import annotations

import ipaddress

MULTIADDR_PARTS = 4
NAMES = ("ip4", "ip6", "dns", "dns4", "dns6")


def parse(address: str) -> tuple[str, int]:
    """`/ip4/127.0.0.1/tcp/4001` as host and port. A trailing `/p2p/…` is taken and not needed: links are dialled by
    key.
    """
    parts = address.split("/p2p/", maxsplit=1)[0].split("/")
    if len(parts) != MULTIADDR_PARTS + 1 or parts[0] or parts[1] not in NAMES or parts[3] != "tcp":
        raise _not_an_address(address)
    kind, host, port = parts[1], parts[2], parts[4]
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 0xFFFF:
        raise _not_an_address(address)
    if kind in {"ip4", "ip6"}:
        try:
            version = ipaddress.ip_address(host).version
        except ValueError:
            raise _not_an_address(address) from None
        if kind != f"ip{version}":
            raise _not_an_address(address)
    return host, int(port)


def to_text(host: str, port: int) -> str:
    return f"/ip{6 if ':' in host else 4}/{host}/tcp/{port}"


def network_of(host: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network that every IPv6 customer has to itself."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.split("%", maxsplit=1)[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))


def _not_an_address(address: str) -> ValueError:
    return ValueError(f"{address!r} is not an address of this transport; they look like /ip4/127.0.0.1/tcp/4001")
