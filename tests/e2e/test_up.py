"""`photon up`: what it leaves behind, however it ends, and how several get along."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import ROOT, Network, Process, endpoints_of, eventually, get, kill, mounts_of, processes_of, workloads

WEB = ROOT / "examples/web.yml"


async def serve_web(network: Network) -> int:
    async with network.tenant() as tenant:
        deployment = await tenant.deploy(await tenant.plan(WEB))
        async with tenant.following(deployment):
            (endpoint,) = await endpoints_of(tenant, deployment)
        assert (await get(endpoint)).text == "hello from photon\n"
        return deployment


@pytest.mark.slow
async def test_ctrl_c_leaves_nothing_running_and_the_next_start_goes_on(new_network: Callable[..., Network]) -> None:
    network = new_network()
    deployment = await serve_web(network)
    chain_id = network.document["chain_id"]
    assert workloads(network.folder), "the control: while it runs there is a workload"

    assert network.stop() == 0

    assert list(processes_of(network.folder)) == []
    assert mounts_of(network.folder) == []
    assert not (network.folder / "network.json").exists()

    network.start()
    assert network.document["chain_id"] == chain_id
    async with network.tenant() as tenant:
        (endpoint,) = await endpoints_of(tenant, deployment)
        assert (await get(endpoint)).text == "hello from photon\n"
        money = await tenant.close(deployment)
    assert money.unaccounted_uptn == 0
    assert network.stop() == 0


@pytest.mark.slow
async def test_what_a_killed_one_leaves_is_swept_by_the_next(tmp_path: Path) -> None:
    """Of a temporary network: its members die with it, and the next `up` removes folder and workloads."""
    temporary = {"TMPDIR": str(tmp_path)}
    first = Process("up", environment=temporary)
    first.wait_ready()
    (folder,) = entries(tmp_path)
    network = Network(folder)
    network.up = first
    await serve_web(network)
    for name in network.members("provider"):  # or they would end their workloads when `up` dies
        os.kill(network.document["members"][name]["pid"], signal.SIGSTOP)
    stopped = [network.document["members"][name]["pid"] for name in network.members("provider")]
    first.close()
    for pid in stopped:
        kill(pid)
    left = workloads(folder)
    assert left, "the control: there is something to sweep"
    await eventually(lambda: _others(folder, set(left)), lambda others: not others)

    second = Process("up", environment=temporary)
    second.wait_ready()
    assert not folder.exists()
    assert workloads(folder) == []
    assert list(processes_of(folder)) == []
    assert second.stop() == 0
    assert entries(tmp_path) == []


def entries(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def _others(folder: Path, left: set[int]) -> list[str]:
    """Members that still live."""
    return [command for pid, command in processes_of(folder) if "photon up" in command and pid not in left]


@pytest.mark.slow
async def test_two_at_once_do_not_meet(new_network: Callable[..., Network], tmp_path: Path) -> None:
    one, other = new_network("one"), new_network("other")

    assert one.document["chain_id"] != other.document["chain_id"]
    ports = [json.loads((network.folder / "ports.json").read_text()).values() for network in (one, other)]
    assert not set(ports[0]) & set(ports[1])
    async with one.node() as node, other.node() as other_node:
        assert {p.id for p in await node.providers()}.isdisjoint(p.id for p in await other_node.providers())
        assert (await node.status()).peers == len(one.members("validator"))
    again = Process("up", "--data", str(one.folder))
    assert again.wait() == 1
    assert "folder-in-use" in again.output
    assert one.stop() == 0
    assert other.stop() == 0


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("months of work")

    refused = Process("up", "--data", str(tmp_path))

    assert refused.wait() == 2
    assert "not-a-network" in refused.output
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
async def test_a_member_that_dies_is_told_and_can_be_started_again(new_network: Callable[..., Network]) -> None:
    network = new_network()

    network.kill("keeper")
    network.start_again("keeper")

    assert network.stop() == 1
    assert "keeper ended: killed by SIGKILL" in network.up.output
    assert "photon serve" in network.up.output
    assert list(processes_of(network.folder)) == []
