"""Entry point of the plugin `consensus_pbft`."""

from __future__ import annotations

from collections.abc import Iterable

from photon_core.api.consensus import ConsensusProvider, Engine, EngineContext
from photon_core.hooks import hookimpl

from .config import PbftConfig


def _make(context: EngineContext) -> Engine:
    from .engine import PbftEngine  # noqa: PLC0415  # registering imports nothing heavy

    return PbftEngine(context)


@hookimpl
def photon_register_consensus() -> Iterable[ConsensusProvider]:
    yield ConsensusProvider(
        name="pbft",
        summary="PBFT on a chain: goes on, and agrees, while less than a third of the power fails or lies",
        factory=_make,
        config_type=PbftConfig,
    )
