"""Entry point of the plugin `runtime_docker`."""

from __future__ import annotations

from collections.abc import Iterable

from photon_core.api.runtime import NETWORK_AGENT, Runtime, RuntimeContext, RuntimeProvider
from photon_core.hooks import hookimpl
from photon_runtime_containers.config import Config


def make(context: RuntimeContext) -> Runtime:
    # Only when it is really used: the library takes a while to import.
    from photon_runtime_containers.runtime import ContainerRuntime  # noqa: PLC0415
    from photon_runtime_docker.engine import DockerEngine  # noqa: PLC0415

    config = context.config if isinstance(context.config, Config) else Config()
    return ContainerRuntime(context, DockerEngine.at(config.socket))


@hookimpl
def photon_register_runtime() -> Iterable[RuntimeProvider]:
    """Workloads as containers of a Docker engine on this machine, each in a sandbox without a network of its own."""
    yield RuntimeProvider(
        name="docker",
        summary="containers of the Docker engine on this machine; the agent runs as root",
        factory=make,
        config_type=Config,
        capabilities=frozenset({NETWORK_AGENT}),
    )
