"""Machines with real engines, and a network over them, that end with their tests, whatever happens."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
sys.path += [str(FOLDER), str(FOLDER.parent / "e2e")]  # for `import machines` and `import harness`: no packages

from machines import Machines, why_not  # noqa: E402 - the path is set above
from wide_network import WideNetwork  # noqa: E402 - likewise

IMAGES = ("web-busybox", "python", "nginx", "redis")


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    """Two, with Docker and Podman each, and the images that the tests name."""
    if reason := why_not():
        pytest.skip(reason)
    made = Machines(Path(tempfile.mkdtemp(prefix="photon-machines-")), count=2)
    try:
        made.load(*IMAGES)
        yield made
    finally:
        made.stop()


@pytest.fixture
def new_wide_network(machines: Machines, tmp_path: Path) -> Iterator[Callable[..., WideNetwork]]:
    """`new_wide_network({name: (machine, runtime)})`: validators and node run, providers are to be started."""
    made: list[WideNetwork] = []

    def make(providers: dict[str, tuple[str, str]]) -> WideNetwork:
        network = WideNetwork(tmp_path / "wide", machines, providers)
        made.append(network)
        network.start()
        return network

    yield make
    for network in made:
        network.close()
