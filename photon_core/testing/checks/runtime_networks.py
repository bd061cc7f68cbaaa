"""Conformance of a runtime with the capability NETWORK_AGENT: default deny, and doors only where the agent makes them.

Every check that something is refused first shows, with the same command, that it would be seen to succeed.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from photon_core.api.ids import InstanceId
from photon_core.api.runtime import InstanceState, Namespace, Runtime
from photon_core.testing.checks.runtime_kit import (
    FOREVER,
    RuntimeKit,
    desired,
    echo_forever,
    instance,
    networks,
    observed,
    removing,
    run_beside,
    said,
    until,
)

Check = Callable[[RuntimeKit], Awaitable[None]]
SO_ORIGINAL_DST = 80
PORT = 8123
PEER = "127.77.0.1"


async def agent_connects_to_what_listens_inside(kit: RuntimeKit) -> None:
    spec = kit.spec("web", kit.serve(PORT))
    async with kit.leased(spec) as runtime:
        namespace = await networks(runtime).namespace(spec.id)
        assert await _greeting(namespace, PORT, len(kit.greeting)) == kit.greeting
        assert await _refused(namespace, PORT + 1)


async def workload_reaches_only_what_the_agent_listens_for(kit: RuntimeKit) -> None:
    spec = kit.spec("web", FOREVER, hosts=(("db", PEER),))
    async with kit.leased(spec) as runtime:
        namespace = await networks(runtime).namespace(spec.id)
        assert not await _reaches(kit, runtime, spec.id, "db", PORT)
        async with _answering(await namespace.listener(PEER, PORT)):
            assert await _reaches(kit, runtime, spec.id, "db", PORT)
            assert not await _reaches(kit, runtime, spec.id, "db", PORT + 1)
        assert not await _reaches(kit, runtime, spec.id, "db", PORT)


async def workload_does_not_reach_the_host(kit: RuntimeKit) -> None:
    """Neither its loopback nor its other addresses. The positive control reaches the same port from outside."""
    spec = kit.spec("web", FOREVER)
    async with kit.leased(spec) as runtime:
        namespace = await networks(runtime).namespace(spec.id)
        with socket.create_server(("0.0.0.0", 0)) as listening:  # noqa: S104 - all addresses is what is checked
            port = listening.getsockname()[1]
            for host in dict.fromkeys(("127.0.0.1", _own_address())):
                with socket.create_connection((host, port)):
                    pass
                assert not await _reaches(kit, runtime, spec.id, host, port)
            async with _answering(await namespace.listener("127.0.0.1", port)):
                assert await _reaches(kit, runtime, spec.id, "127.0.0.1", port)


async def workloads_do_not_reach_each_other(kit: RuntimeKit) -> None:
    server, client = kit.spec("server", kit.serve(PORT)), kit.spec("client", FOREVER)
    async with kit.leased(server, client) as runtime:
        inside = await networks(runtime).namespace(server.id)
        assert await _greeting(inside, PORT, len(kit.greeting)) == kit.greeting
        assert await _reaches(kit, runtime, server.id, "127.0.0.1", PORT)
        assert not await _reaches(kit, runtime, client.id, "127.0.0.1", PORT)


async def network_outlives_the_workload(kit: RuntimeKit) -> None:
    """A listener that the agent made is there for the next workload too, and was there before the first."""
    spec = kit.spec("web", f"echo run; {FOREVER}")
    changed = kit.spec("web", f"echo again; {FOREVER}")
    async with kit.leased(spec) as runtime:
        namespace = await networks(runtime).namespace(spec.id)
        async with _answering(await namespace.listener(PEER, PORT)):
            assert await _reaches(kit, runtime, spec.id, PEER, PORT)
            await runtime.apply(desired(changed))
            await said(runtime, spec.id, b"again")
            assert await _reaches(kit, runtime, spec.id, PEER, PORT)


async def sandbox_can_be_wired_before_its_workload(kit: RuntimeKit) -> None:
    spec = kit.spec("web", (*kit.reach(PEER, PORT),))
    async with kit.leased(lease=spec.id.lease) as runtime:
        empty = desired(spec)
        await runtime.apply(type(empty)(lease=empty.lease, sandboxes=empty.sandboxes))
        namespace = await networks(runtime).namespace(spec.id)
        async with _answering(await namespace.listener(PEER, PORT)):
            await runtime.apply(empty)
            assert (await until(runtime, spec.id, InstanceState.EXITED)).exit_code == 0


async def network_is_there_after_the_agents_restart(kit: RuntimeKit) -> None:
    spec = kit.spec("web", kit.serve(PORT))
    async with kit.agent() as runtime:
        await runtime.apply(desired(spec))
    async with kit.leased(spec) as runtime:
        namespace = await networks(runtime).namespace(spec.id)
        assert await _greeting(namespace, PORT, len(kit.greeting)) == kit.greeting
        async with _answering(await namespace.listener(PEER, PORT + 1)):
            assert await _reaches(kit, runtime, spec.id, PEER, PORT + 1)
        seen = await observed(runtime, spec.id)
        assert seen is not None
        assert seen.restarts == 0


async def unknown_sandbox_has_no_network(kit: RuntimeKit) -> None:
    async with kit.agent() as runtime:
        try:
            await networks(runtime).namespace(instance("nobody"))
        except KeyError:
            return
    raise AssertionError("a namespace of an instance that is not there")


async def refused_targets_are_reported_where_the_kernel_can(kit: RuntimeKit) -> None:
    """With redirect: the target of every attempt is known, granted listeners and the workload's own are untouched."""
    spec = kit.spec("web", echo_forever("up"))
    async with kit.leased(spec) as runtime, removing(runtime, spec.id.lease):
        namespace = await networks(runtime).namespace(spec.id)
        with await namespace.listener("127.255.255.254", 0) as gather:
            if not await namespace.redirect(gather.getsockname()[1]):
                return
            collected = trio.socket.from_stdlib_socket(gather)
            for host in ("10.1.2.3", "127.64.0.9"):
                await _reaches(kit, runtime, spec.id, host, 4321)
                arrived, _ = await collected.accept()
                with arrived:
                    raw = arrived.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16)
                    asked_port, asked = struct.unpack(">2xH4s", raw[:8])
                    assert (socket.inet_ntoa(asked), asked_port) == (host, 4321)
            async with _answering(await namespace.listener(PEER, PORT)):
                assert await _reaches(kit, runtime, spec.id, PEER, PORT)
            assert not await _reaches(kit, runtime, spec.id, "127.0.0.1", PORT)


NETWORK_CHECKS: tuple[Check, ...] = (
    agent_connects_to_what_listens_inside,
    workload_reaches_only_what_the_agent_listens_for,
    workload_does_not_reach_the_host,
    workloads_do_not_reach_each_other,
    network_outlives_the_workload,
    sandbox_can_be_wired_before_its_workload,
    network_is_there_after_the_agents_restart,
    unknown_sandbox_has_no_network,
    refused_targets_are_reported_where_the_kernel_can,
)


async def _reaches(kit: RuntimeKit, runtime: Runtime, of: InstanceId, host: str, port: int) -> bool:
    return (await run_beside(runtime, of, kit.reach(host, port))).exit_code == 0


async def _greeting(namespace: Namespace, port: int, size: int) -> bytes:
    """What a server inside says; it may still be starting, so a refused connection is tried again."""
    while True:
        try:
            connection = await namespace.connect("127.0.0.1", port)
        except ConnectionRefusedError:
            await trio.sleep(0.02)
            continue
        async with trio.SocketStream(trio.socket.from_stdlib_socket(connection)) as stream:
            heard = b""
            while len(heard) < size and (piece := await stream.receive_some(size - len(heard))):
                heard += piece
            return heard


async def _refused(namespace: Namespace, port: int) -> bool:
    try:
        connection = await namespace.connect("127.0.0.1", port)
    except OSError:
        return True
    connection.close()
    return False


@asynccontextmanager
async def _answering(listener: socket.socket) -> AsyncIterator[None]:
    """Accepts and closes, as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_accept, trio.socket.from_stdlib_socket(listener))
        yield
        nursery.cancel_scope.cancel()


async def _accept(listener: trio.socket.SocketType) -> None:
    with listener:
        while True:
            accepted, _ = await listener.accept()
            accepted.close()


def _own_address() -> str:
    """An address of this host other than loopback, if it has one. Nothing is sent: the socket is only routed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
