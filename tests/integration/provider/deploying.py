"""Steps that the tests of this folder share: a deployment up to its lease, its manifest, its end."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from harness import eventually

from photon_core.api.ids import LeaseId
from photon_core.tenant.client import Tenant

EVERYONE = [{"port": 8080, "as": 80, "to": [{"global": True}]}]


def service(command: list[str]) -> dict[str, object]:
    return {"command": command, "expose": EVERYONE}


async def leased(tenant: Tenant, file: Path) -> LeaseId:
    number = await tenant.deploy(await tenant.plan(file))
    return await eventually(partial(first_lease, tenant, number))


async def first_lease(tenant: Tenant, number: int) -> LeaseId | None:
    (group,) = (await tenant.detail(number)).groups
    return group.order.lease.id if group.order is not None and group.order.lease is not None else None


async def delivered(tenant: Tenant, file: Path) -> LeaseId:
    lease = await leased(tenant, file)
    await tenant.deliver(lease)
    return lease


async def closed(tenant: Tenant, deployment: int) -> None:
    await tenant.close(deployment)
    await eventually(partial(tenant.detail, deployment), lambda detail: detail.deployment.state.name == "CLOSED")
