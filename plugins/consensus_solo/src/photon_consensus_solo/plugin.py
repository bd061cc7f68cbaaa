"""Entry point of the plugin `consensus_solo`."""

from __future__ import annotations

from collections.abc import Iterable

from photon_core.api.consensus import CRASH_ONLY, ConsensusProvider, Engine, EngineContext
from photon_core.hooks import hookimpl


def _make(context: EngineContext) -> Engine:
    from .engine import SoloEngine  # noqa: PLC0415  # registering imports nothing heavy

    return SoloEngine(context)


@hookimpl
def photon_register_consensus() -> Iterable[ConsensusProvider]:
    yield ConsensusProvider(
        name="solo",
        summary="one validator that orders alone, for development",
        factory=_make,
        capabilities=frozenset({CRASH_ONLY}),
    )
