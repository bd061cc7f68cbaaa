"""One network over two machines, a provider on Docker in one, on Podman in the other: who reaches whom from inside.

Everything is asked from inside the containers, by `exec` over the tenant's link. Each denial stands beside a control,
which shows that what is refused is there to be reached.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from harness import endpoints_of, eventually, get
from machines import Machines
from wide_network import WideNetwork

from photon_core.api.ids import LeaseId
from photon_core.api.runtime import ExecStream
from photon_core.exchange.records import LeaseStatus
from photon_core.tenant.client import Tenant

pytestmark = [pytest.mark.engines, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]
ENGINE = {"m1": "docker", "m2": "podman"}
PROVIDERS = {f"provider-{machine}": (machine, engine) for machine, engine in ENGINE.items()}
FILE = """\
version: "2.0"
services:
  front:
    image: photon.test/nginx:1
    expose: [{{port: 8080, as: 80, to: [{{global: true}}]}}]
  store:
    image: photon.test/redis:1
    expose: [{{port: 6379, to: [{{service: {client}}}]}}]
  third:
    image: photon.test/web-busybox:1
profiles:
  compute:
    small: {{resources: {{cpu: {{units: 0.1}}, memory: {{size: 64Mi}}, storage: {{size: 64Mi}}}}}}
  placement:
    here:
      attributes: {{machine: {machine}}}
      pricing: {{small: {{denom: uptn, amount: 1000}}}}
deployment:
  front: {{here: {{profile: small, count: 1}}}}
  store: {{here: {{profile: small, count: 1}}}}
  third: {{here: {{profile: small, count: 1}}}}
"""
PING = "(echo PING; sleep 1) | nc -w 3 {host} {port}"
KNOCK = "nc -w 3 {host} {port} </dev/null"


class Inside:
    """A lease of the file above, asked from inside its containers."""

    def __init__(self, tenant: Tenant, lease: LeaseId) -> None:
        self._tenant, self.lease = tenant, lease

    async def run(self, service: str, script: str) -> tuple[int, str]:
        said = b""
        async with self._tenant.exec(self.lease, ("sh", "-c", script), service=service) as session:
            await session.end_input()
            while (piece := await session.read()) is not None:
                said += piece.data if piece.stream is ExecStream.STDOUT else b""
            return session.exit_code(), said.decode()

    async def reaches(self, service: str, host: str, port: int) -> bool:
        code, _ = await self.run(service, KNOCK.format(host=host, port=port))
        return code == 0

    async def pings(self, service: str, host: str = "store") -> bool:
        _, said = await self.run(service, PING.format(host=host, port=6379))
        return said.startswith("+PONG")

    async def address(self, service: str, name: str) -> str:
        _, said = await self.run(service, f"grep -w {name} /etc/hosts")
        return said.split()[0]

    async def starts(self) -> dict[str, tuple[int, int]]:
        """By service: restarts, and since when it is as it is."""
        report = await self._tenant.report(self.lease)
        return {s.name: (i.restarts, i.since_ms) for s in report.services for i in s.instances}


def file_for(folder: Path, machine: str, client: str = "front") -> Path:
    path = folder / f"{machine}-{client}.yml"
    path.write_text(FILE.format(machine=machine, client=client))
    return path


async def deploy(tenant: Tenant, file: Path) -> Inside:
    number = await tenant.deploy(await tenant.plan(file))

    async def lease() -> LeaseId | None:
        (group,) = (await tenant.detail(number)).groups
        return group.order.lease.id if group.order is not None and group.order.lease is not None else None

    found = await eventually(lease)
    assert found is not None
    await tenant.deliver(found)
    await eventually(partial(tenant.report, found), lambda now: now.status is LeaseStatus.SERVING, within_s=90)
    return Inside(tenant, found)


def listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


async def nothing_but_the_declared(one: Inside, other: Inside, machines: Machines, machine: str) -> None:
    """`other` is another lease on the same provider."""
    assert await one.pings("front"), "declared"
    assert await other.pings("front"), "each its own store"

    store, third = await one.address("front", "store"), await one.address("front", "third")
    async with trio.open_nursery() as nursery:  # another port of store, on which somebody listens
        nursery.start_soon(one.run, "store", "timeout 20 nc -l -p 7777 >/dev/null; true")
        await eventually(partial(one.reaches, "store", "127.0.0.1", 7777))
        nursery.cancel_scope.cancel()
    assert not await one.reaches("front", store, 6380)
    assert await one.reaches("third", "127.0.0.1", 8080), "third listens there, but"
    assert not await one.reaches("front", third, 8080), "front may not connect to it"
    assert not await one.pings("third", store), "and third not to store"

    own, neighbour = machines.address(machine), machines.address("m2" if machine == "m1" else "m1")
    for host, port, what in (
        (own, 4390, "the agent"),
        (own, 8080, "the ingress"),
        (neighbour, 4390, "the other provider"),
        (neighbour, 8080, "its ingress, and so other leases"),
    ):
        assert listens(host, port), what
        assert not await one.reaches("front", host, port), what
    with socket.create_server((machines.host_address, 0)) as server:
        port = server.getsockname()[1]
        assert listens(machines.host_address, port)
        assert not await one.reaches("front", machines.host_address, port), "the host of the validators"
    assert not await one.reaches("front", "169.254.169.254", 80), "the metadata address of clouds"
    code, _ = await one.run("front", "ls /run/docker.sock /var/run/docker.sock /run/podman/podman.sock")
    assert code != 0, "no engine's socket inside"


async def test_inside_the_containers_there_is_what_is_declared_and_nothing_else(
    new_wide_network: Callable[..., WideNetwork], machines: Machines, tmp_path: Path
) -> None:
    network = new_wide_network(PROVIDERS)
    for name in PROVIDERS:
        network.start_provider(name)
    async with network.tenant() as tenant:
        for machine in ENGINE:
            one = await deploy(tenant, file_for(tmp_path, machine))
            other = await deploy(tenant, file_for(tmp_path, machine))
            (endpoint,) = await endpoints_of(tenant, one.lease.deployment)
            assert (await get(endpoint)).text.startswith("hello from nginx")
            await nothing_but_the_declared(one, other, machines, machine)
            refused = (await tenant.report(one.lease)).refused
            assert any(r.service == "third" and r.port == 6379 for r in refused), "the tenant is told who tried what"

            before = await one.starts()
            network.kill(f"provider-{machine}")
            assert (await get_by_engine(machines, machine, one.lease)).startswith("+PONG") is False, "nobody carries it"
            network.start_provider(f"provider-{machine}")
            await eventually(partial(one.pings, "front"), within_s=30)
            await nothing_but_the_declared(one, other, machines, machine)
            assert await one.starts() == before, "adopted, and not restarted"

            machines.cut(machine)
            try:
                assert (await get_by_engine(machines, machine, one.lease)).startswith("+PONG"), "inside it goes on"
            finally:
                machines.mend(machine)
            await eventually(partial(one.pings, "front"), within_s=30)
            for each in (one, other):
                await tenant.close(each.lease.deployment)
                await eventually(
                    partial(tenant.detail, each.lease.deployment), lambda now: now.deployment.state.name == "CLOSED"
                )
            assert containers(machines, machine) == [], "nothing is left in the engine"


async def get_by_engine(machines: Machines, machine: str, lease: LeaseId) -> str:
    """What store says to front, asked by the engine itself: the agent, or its cable, is away."""
    named = f"photon-{lease.label}-front-0-workload-"
    (name,) = [one for one in containers(machines, machine) if one.startswith(named)]
    engine = [ENGINE[machine], *(["-H", machines.socket(machine, "docker")] if ENGINE[machine] == "docker" else ["-r"])]
    environment = ["env", f"CONTAINER_HOST={machines.socket(machine, 'podman')}"]
    script = PING.format(host="store", port=6379) + "; true"
    return await trio.to_thread.run_sync(
        lambda: machines.run(machine, *environment, *engine, "exec", name, "sh", "-c", script)
    )


def containers(machines: Machines, machine: str) -> list[str]:
    """Names of all that are there, running or not."""
    engine = [ENGINE[machine], *(["-H", machines.socket(machine, "docker")] if ENGINE[machine] == "docker" else ["-r"])]
    environment = ["env", f"CONTAINER_HOST={machines.socket(machine, 'podman')}"]
    return machines.run(machine, *environment, *engine, "ps", "-a", "--format", "{{.Names}}").split()
