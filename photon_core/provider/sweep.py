"""Ends all workloads of a provider whose agent is dead, through the runtime that made them."""

from __future__ import annotations

import trio

from photon_core.api.bech32m import encode_address
from photon_core.api.ids import Hash
from photon_core.api.runtime import RuntimeContext
from photon_core.plugins import PluginManager

from .config import ProviderConfig

RUNTIME_FOLDER = "runtime"


async def remove_workloads(config: ProviderConfig, plugins: PluginManager, chain_id: Hash) -> int:
    """Of how many leases. RuntimeFailure when the runtime cannot, also when a living agent uses it."""
    home = config.folder / RUNTIME_FOLDER
    if not home.exists():
        return 0
    context = RuntimeContext(
        home=home, chain_id=chain_id, agent=encode_address(config.settings.id), config=None, offer=config.settings.offer
    )
    runtime = plugins.make("runtime", plugins.choice.one("runtime").name, context)
    leases = {one.id.lease for one in await runtime.observe()}
    if leases:
        async with trio.open_nursery() as nursery:
            await nursery.start(runtime.run)
            for lease in sorted(leases | {one.id.lease for one in await runtime.observe()}):
                await runtime.remove(lease)
            nursery.cancel_scope.cancel()
    return len(leases)
