import json
import socket
import tomllib
from pathlib import Path

import pytest

from photon_core.cli.up.layout import NetworkFolder, Role, members_with
from photon_core.cli.up.settings import LOOPBACK, Ports, reserve_ports, write_configs
from photon_core.node.config import node_settings
from photon_core.provider.config import provider_settings

ADDRESS = "photon1zgpz9v09v5j5qfwl3zjegjm0qs8tsqwxl4ayq6"
MEMBERS = members_with(4)
PROVIDERS = [member.name for member in MEMBERS if member.role is Role.PROVIDER]


@pytest.fixture
def folder(tmp_path: Path) -> NetworkFolder:
    folder = NetworkFolder(tmp_path)
    for member in MEMBERS:
        folder.home(member).mkdir(exist_ok=True)
    return folder


def configured(folder: NetworkFolder, plugins: tuple[str, ...]) -> Ports:
    ports = reserve_ports(folder.ports, MEMBERS)
    keys = {member.name: f"{index:064x}" for index, member in enumerate(MEMBERS)}
    write_configs(folder, MEMBERS, ports, plugins, keys, dict.fromkeys(PROVIDERS, ADDRESS))
    ports.reservation.close()
    return ports


def test_every_use_has_a_port_of_its_own(folder: NetworkFolder) -> None:
    ports = reserve_ports(folder.ports, MEMBERS)
    with ports.reservation:
        assert len(set(ports.by_name.values())) == len(ports.by_name) == 14


def test_a_reserved_port_is_given_to_nobody_else_but_can_be_listened_on(folder: NetworkFolder) -> None:
    ports = reserve_ports(folder.ports, MEMBERS)
    with ports.reservation:
        port = ports.by_name["node.api"]
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((LOOPBACK, port))
        with socket.create_server((LOOPBACK, port)) as server:  # with SO_REUSEADDR, as all our servers
            socket.create_connection(server.getsockname()).close()


def test_ports_are_kept_for_the_next_start(folder: NetworkFolder) -> None:
    first, second = configured(folder, ()), configured(folder, ())
    assert first.by_name == second.by_name


def test_a_port_that_was_taken_meanwhile_is_replaced(folder: NetworkFolder) -> None:
    before = configured(folder, ()).by_name
    with socket.create_server((LOOPBACK, before["node.api"])):
        after = configured(folder, ()).by_name
    assert after["node.api"] != before["node.api"]
    assert after | {"node.api": 0} == before | {"node.api": 0}


@pytest.mark.parametrize("found", ["", "[]", '{"node.api": "80"}', '{"node.api": 70000}', '{"node.api": -1}'])
def test_a_damaged_file_of_ports_costs_only_the_ports(folder: NetworkFolder, found: str) -> None:
    folder.ports.write_text(found)
    assert all(port > 1024 for port in configured(folder, ()).by_name.values())
    assert json.loads(folder.ports.read_text())["node.api"] > 1024


def test_what_is_written_is_what_the_members_read(folder: NetworkFolder) -> None:
    ports = configured(folder, ("pricing_scale", "runtime_process"))
    node = MEMBERS[4]
    offers = []
    for member in MEMBERS:
        if member.role is Role.PROVIDER:
            body = tomllib.loads((folder.home(member) / "config.toml").read_text())
            settings = provider_settings(body, folder.home(member))
            assert settings.node == f"http://{LOOPBACK}:{ports.of(node, 'api')}"
            assert body["plugin"]["pricing_scale"] == member.prices
            offers.append(settings.offer)
    assert offers[0] == offers[1], "half of the machine each"


def test_validators_know_each_other_and_the_node_knows_them_all(folder: NetworkFolder) -> None:
    ports = configured(folder, ())
    lines = [f"{n:064x}@/ip4/{LOOPBACK}/tcp/{ports.of(MEMBERS[n], 'listen')}" for n in range(4)]
    for index, member in enumerate(MEMBERS[:5]):
        home = folder.home(member)
        peers = node_settings(tomllib.loads((home / "config.toml").read_text()), home).peers
        assert list(peers) == [line for line in lines if [line] != lines[index : index + 1]], member.name


def test_another_pricing_plugin_gets_no_table_of_prices(folder: NetworkFolder) -> None:
    configured(folder, ("pricing_fixed",))
    assert "plugin" not in tomllib.loads((folder.path / "provider-1/config.toml").read_text())
