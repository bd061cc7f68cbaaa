from __future__ import annotations

from photon_core.api.transport import TransportContext
from photon_transport_memory.plugin import MemoryConfig, photon_register_transport


def test_transports_meet_by_the_name_of_their_network() -> None:
    (record,) = photon_register_transport()

    def make(number: int, network: str) -> object:
        context = TransportContext(
            node_seed=bytes([number]) * 32, chain_id=bytes(32), config=MemoryConfig(network=network, latency_ms=number)
        )
        return record.factory(context)

    one, other, apart = make(1, "a"), make(2, "a"), make(3, "b")
    assert one._network is other._network is not apart._network
    assert other._network.latency_ms == 1, "the first one decides"
    del one, other
    assert make(4, "a")._network.latency_ms == 4, "a network lives as long as somebody uses it"
