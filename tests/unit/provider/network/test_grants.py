from attrs import evolve

from photon_core.api.ids import InstanceId
from photon_core.manifest.records import Protocol, Target
from photon_core.provider.network.grants import addresses, network_of


def test_exactly_the_exposed_port_is_granted_and_only_to_the_named_service(lease, section):
    network = network_of(lease, section)

    assert [(g.client.service, g.client.ordinal, g.name, g.port, g.server_port) for g in network.grants] == [
        ("web", 0, "db", 5000, 6379),
        ("web", 1, "db", 5000, 6379),
    ]


def test_everyone_is_ingress_and_has_the_default_hostname_first(lease, section):
    tcp, http = sorted(network_of(lease, section).ingress, key=lambda rule: rule.protocol is Protocol.HTTP)

    assert (tcp.service, tcp.port, tcp.hostnames) == ("web", 9000, ())
    assert http.hostnames == ("web.17-0-1.photon.internal", "shop.example")


def test_addresses_are_loopback_differ_and_do_not_depend_on_order(section):
    found = addresses(section)

    assert len(set(found.values())) == 3
    assert all(address.startswith("127.77.") for address in found.values())
    assert addresses(evolve(section, services=section.services[::-1])) == found


def test_unknown_clients_are_granted_nothing(lease, section):
    db = section.services[0]
    stranger = evolve(db, expose=(evolve(db.expose[0], targets=(Target(service="nobody"),)),))

    assert network_of(lease, evolve(section, services=(stranger,))).grants == ()


def test_all_instances_of_a_service_serve(lease, section):
    web = [one for one in network_of(lease, section).instances if one.service == "web"]
    assert web == [InstanceId(lease, "web", 0), InstanceId(lease, "web", 1)]
