"""What holds on a real Docker engine beyond the contract: limits, hardening, killed agents, people's hands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import docker
import pytest
import trio
from attrs import evolve

from photon_core.api.runtime import InstanceState
from photon_core.testing.checks.runtime_kit import (
    FOREVER,
    SMALL,
    RuntimeKit,
    closing,
    desired,
    echo_forever,
    networks,
    observed,
    run_beside,
    said,
    until,
)
from photon_runtime_containers.labels import AGENT, CHAIN
from photon_runtime_containers.runtime import ContainerRuntime

pytestmark = [pytest.mark.engines, pytest.mark.root]

MIB = 2**20
HERE = Path(__file__).parent
Make = Callable[..., ContainerRuntime]
Ours = Callable[..., list[dict[str, Any]]]


async def beside(runtime: ContainerRuntime, spec: Any, script: str) -> bytes:
    return (await run_beside(runtime, spec.id, script)).stdout


async def test_workload_has_no_power_and_its_limits(kit: RuntimeKit, ours: Ours) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        status = dict(
            line.split(":\t", 1) for line in (await beside(runtime, spec, "cat /proc/1/status")).decode().splitlines()
        )
        (made,) = ours("workload")
        assert await beside(runtime, spec, "ls /sys/class/net") == b"lo\n"
        assert b"name server" in await beside(runtime, spec, "cat /etc/resolv.conf")
        assert (await run_beside(runtime, spec.id, "echo x > /etc/hosts")).exit_code != 0
        assert (await run_beside(runtime, spec.id, "ls /var/run/docker.sock")).exit_code != 0
        low = "import socket; socket.create_server(('127.0.0.1', 80)).close()"
        assert (await run_beside(runtime, spec.id, ("python3", "-c", low))).exit_code == 0
    assert {status[f"Cap{which}"] for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split() == ["1000"] * 4
    host = made["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (256 * MIB, 256 * MIB, 200_000_000)
    assert host["PidsLimit"] == 512
    assert not made["NetworkSettings"]["Ports"]


async def test_processes_are_limited(make: Make, kit: RuntimeKit) -> None:
    spec = kit.spec("bomb", "sleep 1; for i in $(seq 100); do sleep 1000 & done; echo never")
    async with evolve(kit, make=lambda: make(pids_max=20)).leased(spec) as runtime:
        assert (await until(runtime, spec.id, InstanceState.EXITED)).exit_code != 0


async def test_read_only_root_has_room_in_memory_alone(make: Make, kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    limited = evolve(kit, make=lambda: make(read_only_root=True, tmp_bytes=MIB))
    async with limited.leased(spec) as runtime:
        assert (await run_beside(runtime, spec.id, "echo x > /here/x")).exit_code != 0
        assert (await run_beside(runtime, spec.id, "echo x > /tmp/x && cat /tmp/x")).stdout == b"x\n"
        assert (await run_beside(runtime, spec.id, "dd if=/dev/zero of=/tmp/y bs=1M count=3")).exit_code != 0


async def test_capabilities_are_the_providers_to_give(make: Make, kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER)
    async with evolve(kit, make=lambda: make(capabilities=("CHOWN",))).leased(spec) as runtime:
        assert b"CapBnd:\t0000000000000001\n" in await beside(runtime, spec, "grep CapBnd /proc/1/status")


async def test_running_out_of_memory_is_named(kit: RuntimeKit) -> None:
    hog = ("python3", "-c", "x = []\nwhile True: x.append(bytearray(10**6))")
    small = evolve(SMALL, memory_bytes=32 * MIB, cpu_milli=1000)
    spec = kit.spec("hog", hog, resources=small)
    async with kit.leased(spec) as runtime:
        seen = await until(runtime, spec.id, InstanceState.EXITED)
        assert (seen.exit_code, seen.reason) == (137, "killed: out of memory, limit 32 MiB")


async def test_limits_change_while_it_runs(kit: RuntimeKit, ours: Ours) -> None:
    spec = kit.spec("web", echo_forever("up"))
    async with kit.leased(spec) as runtime:
        await said(runtime, spec.id, b"up")
        before = await until(runtime, spec.id, InstanceState.RUNNING)
        more = evolve(SMALL, memory_bytes=300 * MIB, cpu_milli=400)
        await runtime.apply(desired(evolve(spec, resources=more)))
        assert await observed(runtime, spec.id) == before
        (made,) = ours("workload")
        host = made["HostConfig"]
        assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (300 * MIB, 300 * MIB, 400_000_000)
        assert host["PidsLimit"] == 512


async def test_memory_that_is_in_use_is_taken_in_a_restart(kit: RuntimeKit, ours: Ours) -> None:
    script = "x = bytearray(100 * 2**20)\nprint('full', flush=True)\nimport time\ntime.sleep(1000)"
    large = evolve(SMALL, memory_bytes=200 * MIB, cpu_milli=1000)
    spec = kit.spec("web", ("python3", "-c", script), resources=large)
    async with kit.leased(spec) as runtime:
        await said(runtime, spec.id, b"full")
        await runtime.apply(desired(evolve(spec, resources=evolve(large, memory_bytes=50 * MIB))))
        (made,) = ours("workload")
        assert made["HostConfig"]["Memory"] == 50 * MIB


async def test_flood_of_output_is_bounded_and_the_runtime_goes_on(make: Make, kit: RuntimeKit, ours: Ours) -> None:
    """Docker itself may lose what a follower does not read in time, and begins again at what is kept."""
    spec = kit.spec("loud", f"yes {'photon' * 100} | head -c 200000000; echo; echo done; {FOREVER}")
    spec = evolve(spec, resources=evolve(SMALL, cpu_milli=1000))
    async with evolve(kit, make=lambda: make(log_bytes=3 * MIB)).leased(spec) as runtime:
        async with closing(runtime.logs(spec.id, follow=True, tail_lines=1000)) as log:
            heard = 0
            while heard < MIB:
                heard += len(await anext(log))
                with trio.fail_after(5):
                    assert await observed(runtime, spec.id)
        last = b""
        while last != b"done\n":
            last = b"".join([piece async for piece in runtime.logs(spec.id, follow=False, tail_lines=1)])
        (made,) = ours("workload")
        kept = sum(path.stat().st_size for path in Path(made["LogPath"]).parent.glob("*-json.log*"))
        assert kept <= 4 * MIB


async def test_log_is_followed_over_a_restart(kit: RuntimeKit) -> None:
    spec = kit.spec("job", "test -e ran && { echo second; sleep 1000; }; touch ran; echo first; echo last; exit 1")
    async with kit.leased(spec) as runtime:
        heard = b""
        async with trio.open_nursery() as nursery:

            async def again() -> None:
                await until(runtime, spec.id, InstanceState.EXITED)
                await runtime.apply(desired(spec))

            nursery.start_soon(again)
            async with closing(runtime.logs(spec.id, follow=True, tail_lines=100)) as log:
                async for piece in log:
                    heard += piece
                    if b"second\n" in heard:
                        break
        assert heard == b"first\nlast\nsecond\n"


async def test_bad_command_of_any_kind_is_the_tenants(kit: RuntimeKit) -> None:
    specs = [
        kit.spec("folder", ("/etc",)),
        kit.spec("text", ("/etc/passwd",)),
        kit.spec("nowhere", ("no-such-command-here",)),
    ]
    async with kit.leased(*specs) as runtime:
        for spec in specs:
            seen = await until(runtime, spec.id, InstanceState.FAILED)
            assert seen.spec_digest == spec.spec_digest
            assert spec.command[0] in seen.reason
            assert "OCI" not in seen.reason


async def test_unknown_image_is_the_tenants(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER, image="127.0.0.1:9/nothing/here:1")
    async with kit.leased(spec) as runtime:
        seen = await until(runtime, spec.id, InstanceState.FAILED)
        assert "127.0.0.1:9/nothing/here:1" in seen.reason
        assert "refused" in seen.reason


async def test_images_volumes_go_with_the_lease(kit: RuntimeKit, docker_api: docker.APIClient) -> None:
    made = docker_api.create_container(kit.image)["Id"]
    docker_api.commit(made, "photon.test/volumes", "1", conf={"Volumes": {"/data": {}}})
    docker_api.remove_container(made)
    before = len(docker_api.volumes()["Volumes"] or ())
    spec = kit.spec("web", FOREVER, image="photon.test/volumes:1")
    async with kit.leased(spec) as runtime:
        assert len(docker_api.volumes()["Volumes"]) == before + 1
        await runtime.apply(desired(evolve(spec, env=(("NEW", "1"),))))
        assert len(docker_api.volumes()["Volumes"]) == before + 1
    assert len(docker_api.volumes()["Volumes"] or ()) == before


# --- by hand ----------------------------------------------------------------------------------------------------------


async def test_forged_container_is_neither_seen_nor_touched(
    kit: RuntimeKit, docker_api: docker.APIClient, ours: Ours
) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        (real,) = ours("workload")
        labels = real["Config"]["Labels"]
        forged = docker_api.create_container(kit.image, ["sleep", "1000"], name="forged-photon", labels=labels)["Id"]
        docker_api.start(forged)
        try:
            await runtime.apply(desired(spec))
            assert len(await runtime.observe()) == 1
            await runtime.remove(spec.id.lease)
            assert docker_api.inspect_container(forged)["State"]["Running"]
        finally:
            docker_api.remove_container(forged, force=True)
    assert {labels[AGENT], labels[CHAIN]} <= set(labels.values())


@pytest.mark.parametrize("how", ["remove", "stop", "restart"])
async def test_sandbox_that_somebody_touched_is_mended(
    kit: RuntimeKit, docker_api: docker.APIClient, ours: Ours, how: str
) -> None:
    spec = kit.spec("web", kit.serve(8080))
    async with kit.leased(spec) as runtime:
        await until(runtime, spec.id, InstanceState.RUNNING)
        before = await networks(runtime).namespace(spec.id)
        assert before == await networks(runtime).namespace(spec.id)
        (sandbox,) = ours("sandbox")
        match how:
            case "remove":
                docker_api.remove_container(sandbox["Id"], force=True)
            case "stop":
                docker_api.stop(sandbox["Id"], timeout=0)
            case _:
                docker_api.restart(sandbox["Id"], timeout=0)
        if how != "restart":
            with pytest.raises(KeyError):
                await networks(runtime).namespace(spec.id)
        seen = await until(runtime, spec.id, InstanceState.EXITED)
        assert "sandbox" in seen.reason
        await runtime.apply(desired(spec))
        await until(runtime, spec.id, InstanceState.RUNNING)
        after = await networks(runtime).namespace(spec.id)
        assert after != before
        while True:
            try:
                (await after.connect("127.0.0.1", 8080)).close()
                break
            except ConnectionRefusedError:
                await trio.sleep(0.1)
        with pytest.raises(OSError, match="gone"):
            await before.connect("127.0.0.1", 8080)


async def test_removed_workload_is_made_anew_in_the_same_network(
    kit: RuntimeKit, docker_api: docker.APIClient, ours: Ours
) -> None:
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        network = await networks(runtime).namespace(spec.id)
        docker_api.remove_container(ours("workload")[0]["Id"], force=True)
        await until(runtime, spec.id, InstanceState.SANDBOX)
        await runtime.apply(desired(spec))
        await until(runtime, spec.id, InstanceState.RUNNING)
        assert await networks(runtime).namespace(spec.id) == network


# --- agents and engines that die --------------------------------------------------------------------------------------


async def test_killed_agents_workloads_are_adopted_and_its_commands_ended(
    kit: RuntimeKit, home: Path, ours: Ours, chain_id: bytes
) -> None:
    command = [sys.executable, str(HERE / "agent_process.py"), str(home), chain_id.hex(), kit.image]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdout=subprocess.PIPE, check=False)
        agent = await nursery.start(run)
        assert b"ready" in await agent.stdout.receive_some()
        agent.kill()
    (workload,) = ours("workload")
    spec = kit.spec("web", "echo up; while :; do sleep 1000; done")
    assert "4321" in _commands()
    async with kit.leased(spec) as runtime:
        assert "4321" not in _commands()
        seen = await until(runtime, spec.id, InstanceState.RUNNING)
        assert (seen.spec_digest, seen.restarts) == (spec.spec_digest, 0)
        assert ours("workload")[0]["State"]["StartedAt"] == workload["State"]["StartedAt"]
        await said(runtime, spec.id, b"up")


def _commands() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return "\n".join(line for line in found if line.startswith("sleep"))
