"""Entry point of the plugin `runtime_podman`."""

from __future__ import annotations

from collections.abc import Iterable

from photon_core.api.runtime import NETWORK_AGENT, Runtime, RuntimeContext, RuntimeProvider
from photon_core.hooks import hookimpl
from photon_runtime_containers.config import Config


def make(context: RuntimeContext) -> Runtime:
    # Only when it is really used: the library takes a while to import.
    from photon_runtime_containers.runtime import ContainerRuntime  # noqa: PLC0415
    from photon_runtime_podman.engine import PodmanEngine  # noqa: PLC0415

    config = context.config if isinstance(context.config, Config) else Config()
    return ContainerRuntime(context, PodmanEngine.at(config.socket))


@hookimpl
def photon_register_runtime() -> Iterable[RuntimeProvider]:
    """Workloads as containers of a rootful Podman on this machine, each in a sandbox without a network of its own."""
    yield RuntimeProvider(
        name="podman",
        summary="containers of the rootful Podman on this machine; the agent runs as root",
        factory=make,
        config_type=Config,
        capabilities=frozenset({NETWORK_AGENT}),
    )
