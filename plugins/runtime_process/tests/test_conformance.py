"""The checks that every runtime has to pass."""

from __future__ import annotations

import pytest

from photon_core.api.runtime import IMAGES_OPTIONAL, NETWORK_AGENT
from photon_core.testing.checks.runtime import Check, checks_for
from photon_core.testing.checks.runtime_kit import RuntimeKit


@pytest.mark.parametrize(
    "check", checks_for(frozenset({NETWORK_AGENT, IMAGES_OPTIONAL})), ids=lambda check: check.__name__
)
async def test_conformance(kit: RuntimeKit, check: Check) -> None:
    await check(kit)
