import socket
from contextlib import suppress

import pytest
import trio
from attrs import evolve

from photon_core.api.ids import InstanceId, LeaseId
from photon_core.api.runtime import Desired, RuntimeFailure
from photon_core.manifest.records import Protocol
from photon_core.provider.network import wiring as wiring_module
from photon_core.provider.network.fabric import Fabric, IngressConfig
from photon_core.provider.network.grants import network_of
from photon_core.provider.network.limits import NetworkLimits
from photon_core.testing.fakes.runtime import FakeRuntime, World

LIMITS = NetworkLimits(head_timeout_s=0.2, head_bytes_max=2048, address_connections_max=4, lease_connections_max=6)


def stream(sock: socket.socket) -> trio.SocketStream:
    sock.setblocking(False)
    return trio.SocketStream(trio.socket.from_stdlib_socket(sock))


async def read_all(source: trio.SocketStream) -> bytes:
    with trio.fail_after(5):
        return b"".join([chunk async for chunk in source])


async def assert_reset(connection: socket.socket) -> None:
    """Nothing is served on it: a reset, or an orderly end when the reset was overtaken."""
    with trio.fail_after(5), suppress(trio.BrokenResourceError):
        async with stream(connection) as client:
            assert not await client.receive_some()


@pytest.fixture
async def sandboxes(runtime, lease, section):
    """Sandboxes of the whole lease, and of a second one."""

    async def make(of: LeaseId = lease) -> None:
        network = network_of(of, section)
        resources = section.services[0].resources
        await runtime.apply(Desired(lease=of, sandboxes=tuple((id_, resources) for id_ in network.instances)))

    await make()
    return make


@pytest.fixture
async def fabric(runtime, nursery, sandboxes):
    fabric = Fabric(runtime, IngressConfig(), limits=LIMITS)
    await nursery.start(fabric.run)
    return fabric


@pytest.fixture
def answering(runtime, nursery):
    """`answering(instance, port, text)`: the workload listens, reads what comes and says its text in return."""

    async def serve(listening: socket.socket, text: bytes) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))

        async def answer(connection: trio.SocketStream) -> None:
            async with connection:
                heard = await connection.receive_some()
                await connection.send_all(text + b"|" + heard)

        await trio.serve_listeners(answer, [listener])

    def start(instance: InstanceId, port: int, text: bytes) -> None:
        nursery.start_soon(serve, runtime.world(instance).serve(port), text)

    return start


async def ask(sock: socket.socket, question: bytes) -> bytes:
    async with stream(sock) as client:
        await client.send_all(question)
        return await read_all(client)


async def get(fabric: Fabric, host: str, extra: bytes = b"") -> bytes:
    sock = socket.create_connection(("127.0.0.1", fabric.http_port))
    return await ask(sock, b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n" + extra + b"\r\n")


def ids(lease: LeaseId) -> tuple[InstanceId, InstanceId, InstanceId]:
    return InstanceId(lease, "web", 0), InstanceId(lease, "db", 0), InstanceId(lease, "other", 0)


async def test_granted_name_and_port_lead_to_the_server_and_nothing_else_does(
    fabric, runtime, lease, section, answering
):
    web, db, other = ids(lease)
    answering(db, 6379, b"db")
    network = network_of(lease, section)
    await fabric.wire(network)
    address = network.grants[0].address

    assert await ask(runtime.world(web).dial(address, 5000), b"hello") == b"db|hello"
    for client, port in ((web, 6379), (other, 5000), (db, 5000)):
        with pytest.raises(ConnectionRefusedError):
            runtime.world(client).dial(address, port)


async def test_revoking_a_grant_closes_its_listener_and_its_connections(fabric, runtime, lease, section, answering):
    web, db, _ = ids(lease)
    answering(db, 6379, b"db")
    network = network_of(lease, section)
    await fabric.wire(network)
    address = network.grants[0].address
    async with stream(runtime.world(web).dial(address, 5000)) as live:
        with trio.fail_after(5):
            while not fabric.connections(lease):  # noqa: ASYNC110 - the product has no event for it
                await trio.sleep(0.01)

        await fabric.wire(evolve(network, grants=()))

        assert await read_all(live) == b""
    with pytest.raises(ConnectionRefusedError):
        runtime.world(web).dial(address, 5000)


async def test_connections_go_to_the_instances_in_turn_and_past_the_dead(fabric, lease, section, answering):
    answering(InstanceId(lease, "web", 0), 8080, b"0")
    answering(InstanceId(lease, "web", 1), 8080, b"1")
    await fabric.wire(network_of(lease, section))
    assert {(await get(fabric, "shop.example"))[:1] for _ in range(4)} == {b"0", b"1"}


async def test_dead_instance_is_passed_over(fabric, lease, section, answering):
    answering(InstanceId(lease, "web", 1), 8080, b"1")
    await fabric.wire(network_of(lease, section))
    assert [(await get(fabric, "shop.example"))[:1] for _ in range(3)] == [b"1"] * 3


async def test_redirected_connections_are_judged_by_their_destination(
    fabric, runtime, lease, section, answering, monkeypatch
):
    """Where the kernel can redirect, it leads to one listener what is granted, and nothing else."""
    web, db, _ = ids(lease)
    answering(db, 6379, b"db")
    world = runtime.world(web)
    world.can_redirect = True
    network = network_of(lease, section)
    address = network.grants[0].address
    await fabric.wire(network)
    assert world.redirected[1] == ((address, 5000),)

    monkeypatch.setattr(wiring_module, "original_destination", lambda _: (address, 5000))
    assert await ask(world.dial(address, 5000), b"hi") == b"db|hi"

    before = world.redirected[0]
    await fabric.wire(evolve(network, grants=()))
    assert world.redirected == (before, ()), "the way is closed in the kernel"
    late = socket.create_connection(("127.0.0.1", before))
    await assert_reset(late)  # and whoever was on it already meets a judge
    assert [(r.address, r.port, r.count) for r in fabric.refused(lease)] == [(address, 5000, 1)]


async def test_a_redirect_that_cannot_be_changed_is_trouble_and_tried_anew(fabric, runtime, lease, section):
    """The old way stays as narrow as it was, and is not taken for the new one."""
    web, _, _ = ids(lease)
    world = runtime.world(web)
    world.can_redirect = True
    network = network_of(lease, section)
    await fabric.wire(evolve(network, grants=()))
    world.can_redirect = False
    with pytest.raises(RuntimeFailure, match="could not be changed"):
        await fabric.wire(network)
    assert fabric.wired[lease] != network
    world.can_redirect = True
    await fabric.wire(network)
    assert fabric.wired[lease] == network
    assert world.redirected[1] == ((network.grants[0].address, 5000),)


async def test_while_the_network_changes_what_stays_allowed_is_carried(
    fabric, runtime, lease, section, answering, nursery, monkeypatch
):
    """A change of grants takes a tool some milliseconds: nobody else's connections may notice."""
    answering(InstanceId(lease, "web", 0), 8080, b"web")
    network = network_of(lease, section)
    await fabric.wire(network)
    web, _, _ = ids(lease)
    world = runtime.world(web)
    begun, go_on = trio.Event(), trio.Event()

    async def slow_listener(address: str, port: int) -> socket.socket:
        begun.set()
        await go_on.wait()
        return await World.listener(world, address, port)

    monkeypatch.setattr(world, "listener", slow_listener)
    (grant, *_) = network.grants
    nursery.start_soon(fabric.wire, evolve(network, grants=(*network.grants, evolve(grant, port=5001))))
    await begun.wait()
    assert (await get(fabric, "shop.example")).startswith(b"web|")
    go_on.set()


async def test_who_was_refused_what_is_counted_and_its_own_closed_ports_are_not(
    fabric, runtime, lease, section, autojump_clock
):
    web, _, _ = ids(lease)
    network = network_of(lease, section)
    address = network.grants[0].address
    await fabric.wire(network)
    for target in ((address, 22), (address, 22), ("10.0.0.1", 80), ("127.0.0.1", 9)):
        with pytest.raises(ConnectionRefusedError):
            runtime.world(web).dial(*target)
    await trio.sleep(1)
    assert [(r.service, r.address, r.port, r.name, r.count) for r in fabric.refused(lease)] == [
        ("web", "10.0.0.1", 80, "", 1),
        ("web", address, 22, "db", 2),
    ]


async def test_new_sandbox_under_the_old_name_is_noticed_and_wired(
    fabric, runtime, lease, section, answering, sandboxes
):
    web, db, _ = ids(lease)
    answering(db, 6379, b"db")
    network = network_of(lease, section)
    await fabric.wire(network)
    assert fabric.wired[lease] == network

    runtime.lose_sandbox(web)
    await fabric.refresh()
    assert fabric.wired[lease] != network
    await sandboxes()
    await fabric.wire(network)

    assert fabric.wired[lease] == network
    assert await ask(runtime.world(web).dial(network.grants[0].address, 5000), b"x") == b"db|x"


async def test_port_in_the_way_is_a_note_and_not_a_failure(fabric, runtime, lease, section):
    web, _, _ = ids(lease)
    network = network_of(lease, section)
    with await runtime.world(web).listener(network.grants[0].address, 5000):
        await fabric.wire(network)
    assert any("db:5000" in note for note in fabric.notes(lease))


# --- ingress ---------------------------------------------------------------------------------------------------------


async def test_http_reaches_the_service_by_default_and_by_own_hostname(fabric, lease, section, answering):
    answering(InstanceId(lease, "web", 0), 8080, b"web")
    await fabric.wire(network_of(lease, section))

    for host in ("web.17-0-1.photon.internal", "shop.example", "SHOP.example:1234"):
        answer = await get(fabric, host)
        assert answer.startswith(b"web|GET / HTTP/1.1\r\n")
        assert b"Connection: close" in answer
    assert (await get(fabric, "db.17-0-1.photon.internal")).startswith(b"HTTP/1.1 404")
    assert (await get(fabric, "other.example")).startswith(b"HTTP/1.1 404")


async def test_second_request_on_a_connection_never_reaches_another_tenant(
    fabric, lease, section, answering, sandboxes
):
    second = LeaseId(18, 0, 0)
    await sandboxes(second)
    mine = network_of(lease, section)
    await fabric.wire(mine)
    await fabric.wire(evolve(network_of(second, section), ingress=network_of(second, section).ingress))
    answering(InstanceId(lease, "web", 0), 8080, b"first")
    answering(InstanceId(second, "web", 0), 8080, b"second")

    smuggled = b"GET /x HTTP/1.1\r\nHost: web.18-0-0.photon.internal\r\n\r\n"
    sock = socket.create_connection(("127.0.0.1", fabric.http_port))
    answer = await ask(sock, b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n" + smuggled)

    assert answer.startswith(b"first|")
    assert b"second|" not in answer


async def test_hostname_of_another_lease_is_refused_with_the_reason(fabric, lease, section, answering, sandboxes):
    second = LeaseId(18, 0, 0)
    await sandboxes(second)
    answering(InstanceId(lease, "web", 0), 8080, b"first")
    answering(InstanceId(second, "web", 0), 8080, b"second")
    await fabric.wire(network_of(lease, section))
    await fabric.wire(network_of(second, section))

    assert any("shop.example" in note for note in fabric.notes(second))
    assert (await get(fabric, "shop.example")).startswith(b"first|")
    assert (await get(fabric, "web.18-0-0.photon.internal")).startswith(b"second|")
    names = [e.hostnames for e in fabric.endpoints(second) if e.protocol is Protocol.HTTP]
    assert names == [("web.18-0-0.photon.internal",)]

    await fabric.unwire(lease)
    await fabric.wire(network_of(second, section))
    assert (await get(fabric, "shop.example")).startswith(b"second|")


async def test_workload_that_does_not_answer_is_a_503(fabric, lease, section):
    await fabric.wire(network_of(lease, section))
    assert (await get(fabric, "shop.example")).startswith(b"HTTP/1.1 503")


async def test_tcp_has_a_port_of_its_own_that_stays_after_a_restart(
    fabric, runtime, lease, section, answering, nursery
):
    answering(InstanceId(lease, "web", 0), 9000, b"tcp")
    saved = []

    async def save(claims):
        saved.append(claims)

    network = network_of(lease, section)
    async with trio.open_nursery() as first_life:
        first = Fabric(runtime, IngressConfig(), save=save, limits=LIMITS)
        await first_life.start(first.run)
        await first.wire(network)
        (endpoint,) = [e for e in first.endpoints(lease) if e.protocol is Protocol.TCP]
        sock = socket.create_connection((endpoint.address, endpoint.external_port))
        assert await ask(sock, b"hi") == b"tcp|hi"
        first_life.cancel_scope.cancel()

    second = Fabric(runtime, IngressConfig(), claims=saved[-1], limits=LIMITS)
    await nursery.start(second.run)
    await second.wire(network)
    assert endpoint in second.endpoints(lease)


async def test_tcp_range_that_is_used_up_is_a_note(runtime, lease, section, nursery, sandboxes):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        fabric = Fabric(runtime, IngressConfig(tcp_ports=(port, port)), limits=LIMITS)
        await nursery.start(fabric.run)
        await fabric.wire(network_of(lease, section))
        assert any("web:9000" in note for note in fabric.notes(lease))


# --- bounds ----------------------------------------------------------------------------------------------------------


async def test_slow_head_is_answered_and_closed(fabric):
    async with stream(socket.create_connection(("127.0.0.1", fabric.http_port))) as client:
        await client.send_all(b"GET / HTTP/1.1\r\nHost:")
        assert (await read_all(client)).startswith(b"HTTP/1.1 408")


async def test_long_head_is_answered_and_closed(fabric):
    sock = socket.create_connection(("127.0.0.1", fabric.http_port))
    assert (await ask(sock, b"GET / HTTP/1.1\r\nX: " + b"y" * 4000)).startswith(b"HTTP/1.1 431")


async def test_one_address_has_so_many_places_and_gets_them_back(fabric, lease, section, answering):
    answering(InstanceId(lease, "web", 0), 8080, b"web")
    await fabric.wire(network_of(lease, section))
    idle = [
        stream(socket.create_connection(("127.0.0.1", fabric.http_port))) for _ in range(LIMITS.address_connections_max)
    ]
    for client in idle:
        await client.send_all(b"GET")
    await assert_reset(socket.create_connection(("127.0.0.1", fabric.http_port)))
    for client in idle:
        await client.aclose()
    with trio.fail_after(5):
        while True:
            try:
                assert b"web|" in await get(fabric, "shop.example")
                break
            except trio.BrokenResourceError:
                await trio.sleep(0.01)


async def test_one_lease_has_so_many_connections(fabric, runtime, lease, section, nursery):
    web, db, _ = ids(lease)
    listening = runtime.world(db).serve(6379)
    network = network_of(lease, section)
    await fabric.wire(network)
    address = network.grants[0].address
    held = [runtime.world(web).dial(address, 5000) for _ in range(LIMITS.lease_connections_max)]
    with trio.fail_after(5):
        while fabric.connections(lease) < LIMITS.lease_connections_max:  # noqa: ASYNC110 - the product has no event for it
            await trio.sleep(0.01)

    await assert_reset(runtime.world(web).dial(address, 5000))

    listening.close()
    for sock in held:
        sock.close()


async def test_nothing_of_a_lease_is_left_after_unwire(fabric, runtime, lease, section, answering):
    web, db, _ = ids(lease)
    answering(db, 6379, b"db")
    network = network_of(lease, section)
    await fabric.wire(network)
    (endpoint,) = [e for e in fabric.endpoints(lease) if e.protocol is Protocol.TCP]

    await fabric.unwire(lease)
    await fabric.unwire(lease)

    assert fabric.wired == {}
    assert fabric.endpoints(lease) == ()
    with pytest.raises(ConnectionRefusedError):
        runtime.world(web).dial(network.grants[0].address, 5000)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((endpoint.address, endpoint.external_port))
    assert (await get(fabric, "shop.example")).startswith(b"HTTP/1.1 404")


def test_fake_runtime_is_complete():
    from photon_core.api.runtime import Runtime, SandboxNetworks
    from photon_core.plugins import protocols

    for protocol in (Runtime, SandboxNetworks):
        assert protocols.faults(protocol, FakeRuntime()) == ()


async def test_port_of_a_service_and_of_its_peer_is_warned_of_before_anything_runs(fabric, lease, section):
    """Only where nothing is redirected, and only of the client whose port it is."""
    db, web, other = section.services
    same = evolve(db, expose=(evolve(db.expose[0], as_port=8080),))
    await fabric.wire(network_of(lease, evolve(section, services=(same, web, other))))
    assert set(fabric.contested(lease)) == {"web"}
    (note,) = {note for note in fabric.notes(lease) if "8080" in note}
    assert "port 8080 is web's own and db's" in note
    await fabric.wire(network_of(lease, section))
    assert fabric.contested(lease) == {}
    assert not any("redirected" in note for note in fabric.notes(lease))


async def test_head_over_the_limit_is_refused_even_when_it_comes_in_one_piece_with_its_end(fabric, lease, section):
    await fabric.wire(network_of(lease, section))
    for count in (LIMITS.head_bytes_max, 2 * LIMITS.head_bytes_max):
        answer = await get(fabric, "web.17-0-1.photon.internal", b"X: " + count * b"x" + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 431")
