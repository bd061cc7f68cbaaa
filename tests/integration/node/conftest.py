"""A real node in this process: see `photon_core.testing.live_node`."""

from __future__ import annotations

from pathlib import Path

import pytest

from photon_core.testing.live_node import LiveChain


@pytest.fixture
def chain(tmp_path: Path) -> LiveChain:
    return LiveChain(tmp_path)
