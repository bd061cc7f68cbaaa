"""Entry point of the plugin `transport_libp2p`. Importing libp2p takes a second or two, so only the factory does."""

from __future__ import annotations

from collections.abc import Iterable

from photon_core.api.transport import Transport, TransportContext, TransportProvider
from photon_core.hooks import hookimpl

from .config import Libp2pConfig


def make(context: TransportContext) -> Transport:
    from .transport import Libp2pTransport  # noqa: PLC0415  # the heavy import, when it is needed

    return Libp2pTransport(context)


@hookimpl
def photon_register_transport() -> Iterable[TransportProvider]:
    yield TransportProvider(
        name="libp2p",
        summary="links over libp2p: TCP, Noise and Yamux",
        factory=make,
        config_type=Libp2pConfig,
    )
