"""Entry point of the plugin `transport_memory`."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from photon_core.api.transport import Transport, TransportContext, TransportProvider
from photon_core.hooks import hookimpl


@frozen(kw_only=True)
class MemoryConfig:
    """`network` names the network inside this process; transports of one name meet. The first one to come decides the
    rest.

    `latency_ms` to `latency_ms + jitter_ms` is how long a frame travels, drawn anew for each; `loss_ppm` is how many
    of a million frames are lost, each taking its link down.
    """

    network: str = "main"
    seed: int = 0
    latency_ms: int = 0
    jitter_ms: int = 0
    loss_ppm: int = 0


def make(context: TransportContext) -> Transport:
    # A hook's module imports only what it needs to register.
    from .network import MemoryNetwork, named_network  # noqa: PLC0415
    from .transport import MemoryTransport  # noqa: PLC0415

    if isinstance(context.config, MemoryNetwork):
        return MemoryTransport(context, context.config)
    config = context.config if isinstance(context.config, MemoryConfig) else MemoryConfig()
    network = named_network(
        config.network,
        seed=config.seed,
        latency_ms=config.latency_ms,
        jitter_ms=config.jitter_ms,
        loss_ppm=config.loss_ppm,
    )
    return MemoryTransport(context, network)


@hookimpl
def photon_register_transport() -> Iterable[TransportProvider]:
    yield TransportProvider(
        name="memory",
        summary="links inside one process, for tests and one-process networks",
        factory=make,
        config_type=MemoryConfig,
    )
