"""`photon update` over real processes: what changed is made anew, what is allowed changes in place, no more."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trio
import yaml
from harness import PHOTON, Network, Process, endpoints_of, eventually, get

from photon_core.api.bech32m import encode_address
from photon_core.api.ids import LeaseId
from photon_core.tenant.client import Tenant
from photon_core.tenant.steps import Serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PATIENT = {"reconfirmation_period_ms": 30_000}
"""A busy machine takes some seconds to start an agent again, in which its leases must not go stale."""
PROBE = (Path(__file__).parent / "probe.py").read_text()
HOLDER = """
kept = {}
def held(line):
    what, _, target = line.partition(" ")
    if what == "env":
        return os.environ.get(target, "")
    if what == "hold":
        host, _, port = target.rpartition(":")
        kept[target] = socket.create_connection((host, int(port)), timeout=3)
        return "held"
    if what == "held":
        kept[target].settimeout(0.2)
        try:
            kept[target].sendall(b"resolve localhost\\n")
            return "alive" if kept[target].recv(100) else "over"
        except OSError:
            return "over"
    return reached(line)
reached, reach = reach, held
"""
"""Before the probe serves: `hold TARGET` keeps a connection, `held TARGET` says whether it still carries bytes."""
Ask = Callable[[str], Awaitable[str]]


def program(**environment: str) -> dict[str, object]:
    head, serving = PROBE.split("class Lines", 1)
    return {
        "command": ["python3", "-c", f"{head}{HOLDER}\n\nclass Lines{serving}"],
        "env": [f"{key}={value}" for key, value in environment.items()],
    }


def only(*services: str, port: int) -> list[dict[str, object]]:
    return [{"port": port, "to": [{"service": service} for service in services]}]


def services(colour: str = "red", db: str = "web", other: str = "db") -> dict[str, dict[str, object]]:
    """`db` and `other` are each for one service; `web` is for everyone and answers what it reaches."""
    return {
        "db": {**program(TCP_PORTS="6379"), "expose": only(db, port=6379)},
        "other": {**program(TCP_PORTS="7000"), "expose": only(other, port=7000)},
        "web": {
            **program(HTTP_PORT="8080", COLOUR=colour),
            "expose": [{"port": 8080, "as": 80, "to": [{"global": True}]}],
        },
    }


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Without a keeper: who delivers is the tests' business."""
    network = Network(tmp_path_factory.mktemp("updates") / "net", PATIENT).start()
    network.kill("keeper")
    yield network
    network.close()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write(name, colour=…)`: a deployment file of `services`, each in one small instance."""

    def make(name: str, **changes: str) -> Path:
        amounts = {"cpu": {"units": 0.02}, "memory": {"size": "64Mi"}, "storage": {"size": "32Mi"}}
        pricing = {"small": {"denom": "uptn", "amount": 1000}}
        found = services(**changes)
        body = {
            "version": "2.0",
            "services": {each: {"image": "photon.test/any:1", **rest} for each, rest in found.items()},
            "profiles": {"compute": {"small": {"resources": amounts}}, "placement": {"here": {"pricing": pricing}}},
            "deployment": {each: {"here": {"profile": "small", "count": 1}} for each in found},
        }
        file = tmp_path / f"{name}.yml"
        file.write_text(yaml.safe_dump(body, sort_keys=False))
        return file

    return make


async def delivered(tenant: Tenant, file: Path) -> LeaseId:
    """Of a new deployment that serves."""
    deployment = await tenant.deploy(await tenant.plan(file))
    async with tenant.following(deployment) as steps:
        async for step in steps:
            if isinstance(step, Serving):
                return step.lease
    raise AssertionError(f"deployment {deployment} ended")


async def closed(tenant: Tenant, deployment: int) -> None:
    await tenant.close(deployment)
    await eventually(partial(tenant.detail, deployment), lambda detail: detail.deployment.state.name == "CLOSED")


def of(network: Network) -> tuple[str, ...]:
    return ("--network", str(network.folder), "--home", network.document["homes"]["tenant"])


async def update(network: Network, deployment: int, file: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """The command as a person runs it: exit code, JSON, and all that it said."""
    command = [PHOTON, "update", str(deployment), str(file), *of(network), "--output", "json", *options]
    run = partial(subprocess.run, command, capture_output=True, text=True, timeout=90, check=False)
    ended = await trio.to_thread.run_sync(run)
    return ended.returncode, json.loads(ended.stdout or "{}"), f"{ended.stderr}{ended.stdout}"


async def instances(tenant: Tenant, deployment: int) -> dict[str, tuple[int, int]]:
    """(restarts, since) of each service's only instance, once all serve."""
    await endpoints_of(tenant, deployment)
    report = (await tenant.status(deployment)).groups[0].report
    assert report is not None
    return {each.name: (each.instances[0].restarts, each.instances[0].since_ms) for each in report.services}


async def asking(tenant: Tenant, deployment: int) -> Ask:
    (endpoint,) = await endpoints_of(tenant, deployment)

    async def ask(line: str) -> str:
        return (await get(endpoint, f"/?{quote(line)}")).text

    return ask


async def test_only_the_service_that_changed_is_started_anew(network: Network, write: Callable[..., Path]) -> None:
    async with network.tenant() as tenant:
        lease = await delivered(tenant, write("file"))
        number = lease.deployment
        before = await instances(tenant, number)
        ask = await asking(tenant, number)
        assert (await ask("env COLOUR"), await ask("db:6379")) == ("red", "open")

        code, document, said = await update(network, number, write("green", colour="green"))
        assert code == 0, said
        assert document["version"] == (await tenant.detail(number)).deployment.version.hex()
        assert document["changed_groups"] == ["here"]
        provider = encode_address((await tenant.detail(number)).groups[0].order.lease.provider)  # type: ignore[union-attr]
        for words in ("updated on chain", f"manifest delivered to {provider}, its hash is the one on chain"):
            assert words in said
        assert f"lease {lease}: serving again" in said

        assert (await ask("env COLOUR"), await ask("db:6379")) == ("green", "open")
        after = await instances(tenant, number)
        assert after["web"] != before["web"]
        assert {name: after[name] for name in ("db", "other")} == {name: before[name] for name in ("db", "other")}
        assert (await tenant.detail(number)).groups[0].order.order.id == lease, "the same lease"  # type: ignore[union-attr]
        await closed(tenant, number)


async def test_grants_are_given_and_taken_back_without_a_restart(network: Network, write: Callable[..., Path]) -> None:
    async with network.tenant() as tenant:
        number = (await delivered(tenant, write("file"))).deployment
        before = await instances(tenant, number)
        ask = await asking(tenant, number)
        assert await ask("hold db:6379") == "held"
        assert await ask("held db:6379") == "alive"
        assert await ask("db:6379 other:7000") == "open", "db may"
        assert (await ask("other:7000")).startswith("closed"), "web may not"

        code, _, said = await update(network, number, write("other", db="other", other="web"))
        assert code == 0, said
        assert await ask("other:7000") == "open", "web may now"
        assert await ask("other:7000 db:6379") == "open", "db listens as before, and other may, but"
        assert (await ask("db:6379")).startswith("closed"), "web may not any more"
        assert await ask("held db:6379") == "over", "nor go on with what it had"
        assert await instances(tenant, number) == before
        await closed(tenant, number)


async def test_what_is_no_update_is_refused_and_changes_nothing(network: Network, write: Callable[..., Path]) -> None:
    async with network.tenant() as tenant:
        same, larger = write("same"), write("larger")
        larger.write_text(larger.read_text().replace("count: 1", "count: 2", 1))
        number = (await delivered(tenant, same)).deployment
        before = await instances(tenant, number)
        for file, error, expected in ((same, "same-version", 2), (larger, "groups-differ", 2)):
            code, document, said = await update(network, number, file)
            assert (code, document["error"]["code"]) == (expected, error), said
        assert await instances(tenant, number) == before
        await closed(tenant, number)
        code, document, _ = await update(network, number, write("late", colour="late"))
        assert (code, document["error"]["code"]) == (4, "deployment-closed")


async def test_an_update_while_the_agent_is_dead_is_awaited_and_delivered_by_whoever_comes(
    network: Network, write: Callable[..., Path]
) -> None:
    """The agent comes back to a version that it does not have: it serves the one before, and says so."""
    async with network.tenant() as tenant:
        lease = await delivered(tenant, write("file"))
        number = lease.deployment
        before = await instances(tenant, number)
        provider = encode_address((await tenant.detail(number)).groups[0].order.lease.provider)  # type: ignore[union-attr]
        member = next(
            name
            for name in network.members("provider")
            if provider in (network.folder / name / "config.toml").read_text()
        )
        network.kill(member)
        green = write("green", colour="green")
        code, _, said = await update(network, number, green, "--no-wait")
        assert code == 0, said
        await trio.to_thread.run_sync(network.start_again, member)
        status = await eventually(partial(tenant.status, number), lambda status: status.groups[0].awaits_update)
        assert "a newer manifest is awaited" in status.groups[0].says
        assert await instances(tenant, number) == before
        ask = await asking(tenant, number)
        assert (await ask("env COLOUR"), await ask("db:6379")) == ("red", "open")

        code, document, said = await update(network, number, green)
        assert (code, document["transaction"]) == (0, None), said
        assert await ask("env COLOUR") == "green"

        code, _, said = await update(network, number, write("blue", colour="blue"), "--no-wait")
        assert code == 0, said
        keeper = Process("serve", *of(network))
        try:
            assert await eventually(partial(ask, "env COLOUR"), lambda colour: colour == "blue") == "blue"
        finally:
            keeper.close()
        after = await instances(tenant, number)
        assert (after["db"], after["other"]) == (before["db"], before["other"])
        await closed(tenant, number)
