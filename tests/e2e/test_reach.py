"""What a deployment's services can reach: exactly what `expose` says, the same in each version of the format."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import trio
import yaml
from attrs import evolve
from harness import ROOT, Network, endpoints_of, get

from photon_core.tenant.client import Tenant
from photon_core.tenant.steps import Serving

VERSIONS = ("0.1", "2.0", "2.1")
PROBE = (Path(__file__).parent / "probe.py").read_text()
Ask = Callable[[str], Awaitable[str]]


def probing(version: str, folder: Path) -> Path:
    """The two-tier example with the probe in place of its programs, and a third service that only db may ask."""
    body = yaml.safe_load((ROOT / f"examples/two-tier-{version}.yml").read_text())
    services = body["services"]
    services["other"] = {**services["db"], "expose": [{"port": 7000, "to": [{"service": "db"}]}]}
    body["deployment"]["other"] = body["deployment"]["db"]
    ports = {"db": "TCP_PORTS=6379 6380", "web": "HTTP_PORT=8080", "other": "TCP_PORTS=7000"}
    for name, environment in ports.items():
        services[name] |= {"args": [PROBE], "env": [environment]}
    file = folder / f"probing-{version}.yml"
    file.write_text(yaml.safe_dump(body, sort_keys=False))
    return file


@pytest.fixture
def port_of_host() -> Iterator[socket.socket]:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        listener.settimeout(5.0)
        yield listener


def address_of_host() -> str:
    """The one that others know it by; loopback where there is no network. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


async def deploy(tenant: Tenant, file: Path) -> tuple[Ask, Ask]:
    """How to ask its web what it reaches, and how to ask for a hostname that nobody has."""
    deployment = await tenant.deploy(await tenant.plan(file))
    async with tenant.following(deployment) as steps:
        async for step in steps:
            if isinstance(step, Serving):
                break
    (endpoint,) = [e for e in await endpoints_of(tenant, deployment) if e.service == "web"]

    async def ask(line: str) -> str:
        return (await get(endpoint, f"/?{quote(line)}")).text

    async def ask_for_db(line: str) -> str:
        other = evolve(endpoint, hostnames=(endpoint.hostnames[0].replace("web.", "db."),))
        return str((await get(other, f"/?{quote(line)}")).status_code)

    return ask, ask_for_db


async def check(ask: Ask, ask_for_db: Ask, listener: socket.socket) -> None:
    """Each refusal beside the control that shows that what is refused is there to be reached."""
    assert await ask("db:6379") == "open"

    assert await ask("db:6379 127.0.0.1:6380") == "open", "db listens there, but"
    assert (await ask("db:6380")).startswith("closed"), "nobody may connect to it"

    assert await ask("db:6379 other:7000") == "open", "db may, but"
    assert (await ask("other:7000")).startswith("closed"), "web may not, by name"
    address = await ask("db:6379 resolve other")
    assert (await ask(f"{address}:7000")).startswith("closed"), "nor by address"

    port = listener.getsockname()[1]
    for host in ("127.0.0.1", address_of_host()):
        socket.create_connection((host, port), timeout=5.0).close()
        listener.accept()[0].close()
        assert (await ask(f"{host}:{port}")).startswith("closed"), "the host's ports are out of reach"
    listener.settimeout(0.0)
    with pytest.raises(BlockingIOError):
        listener.accept()
    listener.settimeout(5.0)

    assert await ask_for_db("db:6379") == "404", "only web is exposed to everyone"


@pytest.mark.slow
async def test_only_declared_connections_work(
    new_network: Callable[..., Network], port_of_host: socket.socket, tmp_path: Path
) -> None:
    network = new_network()
    async with network.tenant() as tenant:
        plans = [await tenant.plan(probing(version, tmp_path)) for version in VERSIONS]
        assert plans[0].groups[0].section == plans[1].groups[0].section == plans[2].groups[0].section
        found: list[tuple[Ask, Ask]] = []

        async def one(file: Path) -> None:
            found.append(await deploy(tenant, file))

        async with trio.open_nursery() as nursery:
            for version in VERSIONS:
                nursery.start_soon(one, probing(version, tmp_path))
        for asks in found:
            await check(*asks, port_of_host)
    assert network.stop() == 0
