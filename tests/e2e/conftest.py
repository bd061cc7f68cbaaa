"""Networks that end with their test, whatever happens in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # for `import harness`: these folders are no packages

from harness import Network


@pytest.fixture
def new_network(tmp_path: Path) -> Iterator[Callable[..., Network]]:
    """`new_network(name, parameters)`: a running one in a folder of its own."""
    made: list[Network] = []

    def make(name: str = "net", parameters: dict[str, int] | None = None) -> Network:
        made.append(Network(tmp_path / name, parameters))
        return made[-1].start()

    yield make
    for network in made:
        network.close()
