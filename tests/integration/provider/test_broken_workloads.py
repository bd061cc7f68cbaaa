"""Workloads that do not work: the tenant is told what is wrong, and the provider neither spins nor pays for it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
from deploying import closed, delivered, leased, service
from harness import PHOTON, ROOT, Network, endpoints_of, eventually, get

from photon_core.api.errors import PhotonError
from photon_core.api.ids import LeaseId
from photon_core.api.sandbox_net import RULE_TOOLS
from photon_core.exchange.records import CloseReason, GroupState, LeaseState, LeaseStatus
from photon_core.tenant.client import Tenant

STARTS_MAX = 7
"""In the 15 s of the fault's time limit: at once, at once, then after 1, 2 and 4 s."""
PAGE = """
import http.server, os, time
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.getpid()} {BORN}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *ignored):
        pass
BORN = time.time_ns()
print("start", flush=True)
"""
SERVE = PAGE + 'http.server.ThreadingHTTPServer(("", 8080), Page).serve_forever()\n'
CRASHES = PAGE + (
    "import threading; threading.Timer(0.7, lambda: os._exit(7)).start()\n"
    'http.server.ThreadingHTTPServer(("", 8080), Page).serve_forever()\n'
)
FLOODS = PAGE + (
    'import sys\nfor number in range(400_000):\n    sys.stdout.write(f"line {number:06} " + 40 * "x" + "\\n")\n'
    'sys.stdout.flush()\nhttp.server.ThreadingHTTPServer(("", 8080), Page).serve_forever()\n'
)
FORKS = PAGE + (
    "children = 0\n"
    "try:\n"
    "    while children < 5_000:\n"
    "        if os.fork() == 0:\n"
    "            time.sleep(1_000)\n"
    "        children += 1\n"
    "except OSError as error:\n"
    '    print(f"forked {children}, then: {error}", flush=True)\n'
    'http.server.HTTPServer(("", 8080), Page).serve_forever()\n'
)
FAULTS = {
    "missing": (["/no/such/program"], "/no/such/program"),
    "exits": (["sh", "-c", "echo start; exit 3"], "exited with code 3"),
    "ends": (["sh", "-c", "echo start; exit 0"], "exited with code 0, repeatedly"),
    "silent": (["sh", "-c", "echo start; exec sleep 1000"], "declared port 8080 is not open"),
    "crashes": (["python3", "-c", CRASHES], "exited with code 7"),
}


async def log_of(tenant: Tenant, lease: LeaseId, tail_lines: int = 1000) -> str:
    async with tenant.logs(lease, tail_lines=tail_lines) as chunks:
        return b"".join([chunk.data async for chunk in chunks]).decode()


def photon(network: Network, *arguments: str) -> str:
    done = subprocess.run(
        [
            PHOTON,
            *arguments,
            "--network",
            str(network.folder),
            "--home",
            network.document["homes"]["tenant"],
            "--output",
            "json",
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


async def operators_money(tenant: Tenant) -> int:
    providers = await tenant.node.providers()
    return sum([(await tenant.node.account(provider.operator)).balance_uptn for provider in providers])


async def test_each_fault_is_told_by_name_bounded_and_free_of_charge_for_the_provider(
    network: Network, write: Callable[..., Path]
) -> None:
    """All side by side, and beside a healthy neighbour, who notices nothing."""
    async with network.tenant() as tenant:
        before_uptn = await operators_money(tenant)
        neighbour = await delivered(tenant, write("neighbour", web=service(["python3", "-c", SERVE])))
        (endpoint,) = await endpoints_of(tenant, neighbour.deployment)
        born = (await get(endpoint)).text

        async with trio.open_nursery() as nursery:
            for name, (command, words) in FAULTS.items():
                file = write(name, web=service(command))
                nursery.start_soon(one_fault, tenant, network, file, words, name == "exits")
            nursery.start_soon(contest, tenant, network, contested(write))
            nursery.start_soon(withheld, tenant, write("withheld", web=service(["sleep", "1000"])))

        assert (await get(endpoint)).text == born, "never restarted"
        await closed(tenant, neighbour.deployment)
        assert await operators_money(tenant) == before_uptn, "all collateral came back, to the uptn"


def contested(write: Callable[..., Path]) -> Path:
    """`web` listens on all addresses at the port that it reaches `db` by."""
    db = {
        "command": ["python3", "-c", SERVE.replace("8080", "6379")],
        "expose": [{"port": 6379, "as": 8080, "to": [{"service": "web"}]}],
    }
    return write("contested", db=db, web=service(["python3", "-c", SERVE]))


async def contest(tenant: Tenant, network: Network, file: Path) -> None:
    """Where nothing can be redirected, the agent's listener and the service's own want one port (ADR 10)."""
    if not any(shutil.which(tool) for tool, _ in RULE_TOOLS):
        await one_fault(tenant, network, file, "port-conflict: exited with code 1", False)
        return
    lease = await delivered(tenant, file)
    report = await eventually(partial(tenant.report, lease), lambda now: now.status is LeaseStatus.SERVING)
    assert report.notes == ()
    await closed(tenant, lease.deployment)


async def one_fault(tenant: Tenant, network: Network, file: Path, words: str, by_cli: bool) -> None:
    lease = await delivered(tenant, file)
    report = await eventually(
        partial(tenant.report, lease), lambda now: now.status is LeaseStatus.WORKLOAD_FAULT and words in now.reason
    )
    assert report.reason.startswith("web/0 ")
    if by_cli:
        await seen_by_commands(network, lease.deployment, words)
    else:
        log = await log_of(tenant, lease)
        assert "start" in log or not log, "what it printed is there; what never ran has printed nothing"
    starts = 0
    while (await tenant.node.lease(lease)).lease.state is LeaseState.ACTIVE:
        try:
            services = (await tenant.report(lease)).services
        except PhotonError:  # it closes just now
            break
        starts = max([starts, *(instance.restarts + 1 for each in services for instance in each.instances)])
        await trio.sleep(0.2)
    assert starts <= STARTS_MAX
    await ended(tenant, lease, CloseReason.FAULT)
    await closed(tenant, lease.deployment)


async def seen_by_commands(network: Network, deployment: int, words: str) -> None:
    said: dict[str, str] = {}

    async def run(verb: str) -> None:
        said[verb] = await trio.to_thread.run_sync(photon, network, verb, str(deployment))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, "status")
        nursery.start_soon(run, "logs")
    (group,) = json.loads(said["status"])["groups"]
    assert group["standing"] == "workload-fault"
    assert words in group["says"]
    lines = [json.loads(line) for line in said["logs"].splitlines()]
    assert {line["text"] for line in lines} == {"start"}
    assert {line["service"] for line in lines} == {"web"}


async def withheld(tenant: Tenant, file: Path) -> None:
    lease = await leased(tenant, file)
    status = await tenant.status(lease.deployment)
    assert status.groups[0].standing == "waits-for-manifest"
    await ended(tenant, lease, CloseReason.NO_MANIFEST)
    await closed(tenant, lease.deployment)


async def ended(tenant: Tenant, lease: LeaseId, reason: CloseReason) -> None:
    """Closed for that reason, with nothing forfeited, and this provider left out of the next order."""

    async def look() -> object:
        return await tenant.node.lease(lease)

    found = (await eventually(look, lambda detail: detail.lease.state is LeaseState.CLOSED)).lease
    assert found.close_reason is reason
    assert found.collateral_forfeited_uptn == 0
    (group,) = (await tenant.detail(lease.deployment)).groups
    assert [(e.provider, e.reason) for e in group.group.excluded] == [(found.provider, reason)]
    assert group.group.state is not GroupState.LEASED


async def test_flood_of_logs_is_bounded_and_its_end_is_there_to_read(
    network: Network, write: Callable[..., Path]
) -> None:
    async with network.tenant() as tenant:
        lease = await delivered(tenant, write("floods", web=service(["python3", "-c", FLOODS])))
        (endpoint,) = await endpoints_of(tenant, lease.deployment)
        assert (await get(endpoint)).status_code == 200
        tail = (await log_of(tenant, lease, tail_lines=3)).splitlines()
        assert [line.split()[:2] for line in tail] == [["line", f"{number:06}"] for number in range(399_997, 400_000)]
        logs = [path for path in network.folder.rglob("*.log*") if lease.label in str(path)]
        assert sum(path.stat().st_size for path in logs) < 2**24
        await closed(tenant, lease.deployment)


async def test_workload_that_forks_without_end_meets_its_limit_and_leaves_nothing(
    network: Network, write: Callable[..., Path]
) -> None:
    async with network.tenant() as tenant:
        lease = await delivered(tenant, write("forks", web=service(["python3", "-c", FORKS])))
        (endpoint,) = await endpoints_of(tenant, lease.deployment)
        assert (await get(endpoint)).status_code == 200
        assert "forked" in await log_of(tenant, lease)
        await closed(tenant, lease.deployment)
        assert (await get(endpoint)).status_code == 404


async def test_lease_closed_while_the_agent_was_dead_is_removed_and_confirmed_at_its_next_start(
    network: Network, write: Callable[..., Path]
) -> None:
    """And what was not closed is adopted as it is: the workload itself says since when it runs."""
    async with network.tenant() as tenant:
        over = await delivered(tenant, write("over", web=service(["python3", "-c", SERVE])))
        kept = await delivered(tenant, write("kept", web=service(["python3", "-c", SERVE])))
        await endpoints_of(tenant, over.deployment)
        (endpoint,) = await endpoints_of(tenant, kept.deployment)
        born = (await get(endpoint)).text

        network.kill("provider-1")
        with pytest.raises(httpx.TransportError):
            await get(endpoint)
        await tenant.close(over.deployment)
        network.start_again("provider-1")

        await ended_by_tenant(tenant, over)
        assert await eventually(partial(text_of, tenant, kept.deployment), lambda text: text == born)
        assert not list((network.folder / "provider-1/provider/manifests").glob(f"{over.label}*"))
        await closed(tenant, kept.deployment)


async def text_of(tenant: Tenant, deployment: int) -> str:
    (endpoint,) = await endpoints_of(tenant, deployment)
    return (await get(endpoint)).text


async def ended_by_tenant(tenant: Tenant, lease: LeaseId) -> None:
    look: Callable[[], Awaitable[object]] = partial(tenant.node.lease, lease)
    detail = await eventually(look, lambda found: found.lease.state is LeaseState.CLOSED)
    assert detail.lease.close_reason is CloseReason.TENANT
    assert detail.lease.collateral_forfeited_uptn == 0
