"""Entry point of the plugin `runtime_process`."""

from __future__ import annotations

from collections.abc import Iterable

from photon_core.api.runtime import IMAGES_OPTIONAL, NETWORK_AGENT, Runtime, RuntimeContext, RuntimeProvider
from photon_core.hooks import hookimpl
from photon_runtime_process.config import Config


def make(context: RuntimeContext) -> Runtime:
    from photon_runtime_process.runtime import ProcessRuntime  # noqa: PLC0415 - only when it is really used

    return ProcessRuntime(context)


@hookimpl
def photon_register_runtime() -> Iterable[RuntimeProvider]:
    """Workloads as processes in namespaces of their own, on this machine, for development."""
    yield RuntimeProvider(
        name="process",
        summary="commands as processes in namespaces of their own; images are not used; for development",
        factory=make,
        config_type=Config,
        capabilities=frozenset({NETWORK_AGENT, IMAGES_OPTIONAL}),
    )
