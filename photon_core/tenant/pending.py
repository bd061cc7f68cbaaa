"""Manifests that were kept before their deployment had a number, and never heard of it: a crash, or a lost answer."""

from __future__ import annotations

from collections.abc import Iterable

from photon_core.api.ids import Address
from photon_core.manifest.vault import Vault
from photon_core.node.client import NodeClient


async def assign_pending(node: NodeClient, vault: Vault, owners: Iterable[Address]) -> tuple[int, ...]:
    """Gives each pending manifest the number of the owners' deployment that has its version; returns the numbers.

    A version that no deployment has is left: its transaction may still be on its way.
    """
    pending = set(vault.new_versions())
    found = []
    for owner in owners if pending else ():
        for detail in await node.deployments(owner):
            deployment = detail.deployment
            if deployment.version in pending and vault.get(deployment.id) is None:
                pending.discard(deployment.version)
                vault.assign(deployment.version, deployment.id)
                found.append(deployment.id)
    return tuple(found)
