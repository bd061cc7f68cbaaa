"""What a workload can reach beyond its own lease: nothing, each refusal beside the control that shows it is there.

Within one lease, and the host's own ports, are `tests/e2e/test_reach.py`'s.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

from deploying import EVERYONE, closed, delivered
from harness import Network, endpoints_of, get

from photon_core.tenant.client import Tenant

PROBE = (Path(__file__).parents[2] / "e2e/probe.py").read_text()
Ask = Callable[[str], Awaitable[str]]


def probing(write: Callable[..., Path], name: str) -> Path:
    """`web`, which everyone may ask what it reaches, and `db`, which only it may reach."""
    program = {"command": ["python3", "-c", PROBE]}
    return write(
        name,
        db={**program, "env": ["TCP_PORTS=6379"], "expose": [{"port": 6379, "to": [{"service": "web"}]}]},
        web={**program, "env": ["HTTP_PORT=8080"], "expose": EVERYONE},
    )


async def deploy(tenant: Tenant, file: Path) -> tuple[int, Ask]:
    lease = await delivered(tenant, file)
    (endpoint,) = await endpoints_of(tenant, lease.deployment)

    async def ask(line: str) -> str:
        return (await get(endpoint, f"/?{quote(line)}")).text

    return lease.deployment, ask


def knock(host: str, port: int) -> None:
    """OSError unless something listens there."""
    socket.create_connection((host, port), timeout=5.0).close()


async def test_other_leases_the_agent_itself_and_the_internet_are_out_of_reach(
    network: Network, write: Callable[..., Path]
) -> None:
    async with network.tenant() as tenant:
        one, ask_one = await deploy(tenant, probing(write, "one"))
        two, ask_two = await deploy(tenant, probing(write, "two"))

        assert await ask_one("db:6379") == await ask_two("db:6379") == "open", "each its own db, by the same name"
        address = await ask_one("resolve db")
        for number in range(1, 6):
            target = f"127.77.0.{number}"
            reached = (await ask_one(f"{target}:6379")) == "open"
            assert reached == (target == address), "of all addresses of peers only its own db's answers"
        hostname = f"web.{two}-0-0.photon.internal"
        assert (await ask_one(f"{hostname}:80")).startswith("closed"), "another lease's public name is no way in either"

        run = json.loads((network.folder / "provider-1/run.json").read_text())
        ports = [int(text.rsplit("/", 1)[1]) for text in run["addresses"]]
        (endpoint,) = await endpoints_of(tenant, one)
        for port in (*ports, endpoint.external_port, int(network.document["node"].rsplit(":", 1)[1])):
            knock("127.0.0.1", port)
            assert (await ask_one(f"127.0.0.1:{port}")).startswith("closed"), "the agent's and the node's own ports"

        for outside in ("192.0.2.1:80", "8.8.8.8:53", "1.1.1.1:443"):
            assert (await ask_one(outside)).startswith("closed"), "no way to the internet"
        assert await ask_one("db:6379") == "open", "and all the while what is granted worked"
        for number in (one, two):
            await closed(tenant, number)
