"""The library's own host, with everything in it, takes this node for a libp2p peer: it identifies it and pings it."""

from __future__ import annotations

import multiaddr
import trio

from photon_core.api.transport import LinkUp


async def test_a_libp2p_host_connects_identifies_and_pings(victim, proves_alive) -> None:
    from libp2p import new_host
    from libp2p.identity.identify.pb.identify_pb2 import Identify
    from libp2p.peer.peerinfo import PeerInfo
    from libp2p.utils.varint import read_length_prefixed_protobuf

    from photon_transport_libp2p.library import peer_id_of

    async with victim(handshake_s=10.0) as node:
        host = new_host()
        peer_id = peer_id_of(node.transport.key)
        async with host.run(listen_addrs=[]):
            await host.connect(PeerInfo(peer_id, [multiaddr.Multiaddr(node.address)]))
            stream = await host.new_stream(peer_id, ["/ipfs/id/1.0.0"])
            identity = Identify()
            identity.ParseFromString(await read_length_prefixed_protobuf(stream))
            assert identity.protocol_version == "photon/1"
            assert "/photon/link/1" in identity.protocols
            ping = await host.new_stream(peer_id, ["/ipfs/ping/1.0.0"])
            await ping.write(b"p" * 32)
            assert await ping.read(32) == b"p" * 32
            await proves_alive(node)
            await host.disconnect(peer_id)  # the library leaves the socket open otherwise


async def test_links_are_up_and_down_in_less_than_a_second(make_transport) -> None:
    started = trio.current_time()
    one, other = make_transport(1), make_transport(2)
    async with trio.open_nursery() as nursery:
        for transport in (one, other):
            await nursery.start(transport.run)
        one.dial(other.key, (await other.listen(""),))
        while not isinstance(await other.receive(), LinkUp):
            pass
        nursery.cancel_scope.cancel()
    assert trio.current_time() - started < 1
