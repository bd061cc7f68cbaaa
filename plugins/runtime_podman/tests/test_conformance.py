"""Every check of the contract of runtimes, on a real Podman."""

import pytest

from photon_core.api.runtime import NETWORK_AGENT
from photon_core.testing.checks.runtime import Check, checks_for
from photon_core.testing.checks.runtime_kit import RuntimeKit

pytestmark = [pytest.mark.engines, pytest.mark.root]


@pytest.mark.parametrize("check", checks_for(frozenset({NETWORK_AGENT})), ids=lambda check: check.__name__)
async def test_runtime_is_as_the_contract_says(kit: RuntimeKit, check: Check) -> None:
    await check(kit)
