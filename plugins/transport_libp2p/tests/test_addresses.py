from __future__ import annotations

import pytest

from photon_transport_libp2p.addresses import network_of, parse, to_text


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("/ip4/127.0.0.1/tcp/4001", "127.0.0.1", 4001),
        ("/ip6/::1/tcp/0", "::1", 0),
        ("/dns/provider.example/tcp/65535", "provider.example", 65535),
        ("/ip4/10.0.0.1/tcp/1/p2p/12D3KooW", "10.0.0.1", 1),
    ],
)
def test_parse(address: str, host: str, port: int) -> None:
    assert parse(address) == (host, port)
    assert to_text("::1", 2) == "/ip6/::1/tcp/2"


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1:4001", "/ip4/127.0.0.1/tcp/70000", "/ip4/::1/tcp/1", "/ip4/nowhere/tcp/1", "/ip4/1.2.3.4/udp/1",
     "/ip4/1.2.3.4/tcp/-1", "/ip4/1.2.3.4/tcp/1/ws", "/dns//tcp/1", "/ip4/1.2.3.4/tcp/٣"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(ValueError, match=r"they look like /ip4/127\.0\.0\.1/tcp/4001"):
        parse(address)


def test_one_ipv6_customer_is_one_address() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") == "10.0.0.1"
    assert network_of("fe80::1%eth0") == "fe80::/64"
