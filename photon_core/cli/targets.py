"""How tenants name things: a deployment `17`, one of its leases `17/0/1`, a service `web`, an instance `web/1`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
from attrs import frozen

from photon_core.api.errors import ExitCode, PhotonError, UsageError

if TYPE_CHECKING:
    from photon_core.api.ids import LeaseId
    from photon_core.tenant.client import Tenant

_NUMBERED = re.compile(r"[0-9]+(/[0-9]+/[0-9]+)?")


@frozen
class Target:
    """A deployment, and one of its leases if that was named."""

    deployment: int
    lease: LeaseId | None = None


def is_target(text: str) -> bool:
    """Whether it names a deployment or a lease; services are not called so."""
    return _NUMBERED.fullmatch(text) is not None


def parse_target(text: str) -> Target:
    from photon_core.api.ids import LeaseId

    if text.isascii() and text.isdigit():
        return Target(int(text))
    try:
        lease = LeaseId.parse(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}, deployments like 17") from None
    return Target(lease.deployment, lease)


def parse_instance(text: str) -> tuple[str, int | None]:
    """`web` or `web/1`, as `photon logs` writes it in front of a line."""
    service, slash, ordinal = text.rpartition("/")
    if not slash:
        return text, None
    if not service or not ordinal.isascii() or not ordinal.isdigit():
        raise click.BadParameter(f"{text!r} is no instance such as web/1, nor a service such as web")
    return service, int(ordinal)


async def only_deployment(tenant: Tenant, service: str) -> Target:
    """The tenant's only deployment with an active lease (that has the service): when nobody said which."""
    found = []
    for detail in await tenant.list():
        try:
            await tenant.active_lease(detail.deployment.id, service)
        except PhotonError as error:
            if error.exit_code != ExitCode.NOT_FOUND:
                raise
        else:
            found.append(detail.deployment.id)
    if len(found) == 1:
        return Target(found[0])
    if not found:
        of = f" with a service {service}" if service else ""
        raise PhotonError(
            code="no-lease",
            what=f"none of your deployments has an active lease{of}",
            remedy="`photon list` shows yours",
            exit_code=ExitCode.NOT_FOUND,
        )
    raise UsageError(
        code="which-deployment",
        what="several of your deployments could be meant",
        found=", ".join(map(str, found)),
        remedy=f"name one before the service: {found[0]} {service}".rstrip(),
    )
