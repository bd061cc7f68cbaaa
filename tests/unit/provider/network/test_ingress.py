"""Places at the ingress: of one address, of one IPv6 network, of everybody."""

import pytest

from photon_core.provider.network.ingress import Gate
from photon_core.provider.network.limits import NetworkLimits


class From:
    """A connection from there."""

    def __init__(self, address):
        self.address = address

    def getpeername(self):
        return (self.address, 1234)


@pytest.fixture
def gate():
    return Gate(NetworkLimits(address_connections_max=2, ingress_connections_max=3))


@pytest.mark.parametrize(
    ("others", "stranger"),
    [
        (["192.0.2.1", "192.0.2.1", "192.0.2.1"], "192.0.2.2"),
        (["2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:3"], "2001:db8:0:1::1"),
        (["::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1"], "::ffff:192.0.2.2"),
    ],
    ids=["IPv4 address", "IPv6 network", "IPv4 in IPv6"],
)
def test_one_customers_addresses_share_their_places(gate, others, stranger):
    first, second, third = others
    assert gate.enter(From(first)) == first
    assert gate.enter(From(second)) == second
    assert gate.enter(From(third)) is None
    assert gate.enter(From(stranger)) == stranger
    gate.leave(stranger)
    gate.leave(first)
    assert gate.enter(From(third)) == third


def test_all_together_have_so_many_places_and_get_them_back(gate):
    for number in range(3):
        assert gate.enter(From(f"192.0.2.{number}"))
    assert gate.enter(From("192.0.2.9")) is None
    gate.leave("192.0.2.0")
    assert gate.enter(From("192.0.2.9"))
