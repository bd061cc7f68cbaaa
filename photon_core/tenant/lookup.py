"""What a deployment looks like from outside: the chain's records, with the answers of its providers beside them."""

from __future__ import annotations

import trio

from photon_core.api.errors import PhotonError
from photon_core.api.ids import LeaseId, OrderId
from photon_core.exchange.records import GroupState, Lease
from photon_core.node.client import NodeClient
from photon_core.node.views import DeploymentDetail, GroupDetail
from photon_core.peers.methods import LeaseReport

from . import money
from .decisions import Answer, ask_decisions
from .delivery import Courier
from .errors import no_deployment
from .links import STATUS_LINK_TIMEOUT_S, ProviderLinks
from .status import DeploymentStatus, able_providers, describe_group, unbid_order

PAST_LEASES_MAX = 32
"""Of each group, the newest: one that is ordered again for ever has an endless past."""


async def deployment_detail(node: NodeClient, deployment: int) -> DeploymentDetail:
    """PhotonError (exit code 3) when there is no such deployment."""
    detail = await node.deployment(deployment)
    if detail is None:
        raise no_deployment(deployment)
    return detail


async def past_leases(node: NodeClient, group: GroupDetail) -> tuple[Lease, ...]:
    """Of the group's older orders, oldest first."""
    orders = group.group.orders
    found = []
    for sequence in range(max(0, orders - 1 - PAST_LEASES_MAX), orders - 1):
        detail = await node.lease(LeaseId(group.group.deployment, group.group.index, sequence))
        if detail is not None:
            found.append(detail.lease)
    return tuple(found)


async def deployment_status(
    node: NodeClient, deployment: int, courier: Courier | None, links: ProviderLinks | None = None
) -> DeploymentStatus:
    """`courier` None: nobody is asked about leases; `links` None: nobody is asked why there is no bid."""
    detail = await deployment_detail(node, deployment)
    providers = await node.providers()
    market_ms = (await node.status()).market_ms
    past = [await past_leases(node, group) for group in detail.groups]
    reports: list[tuple[LeaseReport | None, str]] = [(None, "")] * len(detail.groups)

    async def ask(index: int, lease: LeaseId, courier: Courier) -> None:
        try:
            reports[index] = await courier.report(lease, STATUS_LINK_TIMEOUT_S), ""
        except PhotonError as error:
            reports[index] = None, str(error).split("\n", maxsplit=1)[0]

    answers: list[tuple[Answer, ...]] = [()] * len(detail.groups)

    async def ask_why(index: int, order: OrderId, links: ProviderLinks) -> None:
        answers[index] = await ask_decisions(links, order, able_providers(detail.groups[index], providers))

    async with trio.open_nursery() as nursery:
        for index, group in enumerate(detail.groups):
            if links is not None and (order := unbid_order(group)) is not None:
                nursery.start_soon(ask_why, index, order, links)
            if courier is not None and group.group.state is GroupState.LEASED and group.order is not None:
                nursery.start_soon(ask, index, group.order.order.id, courier)
    groups = tuple(
        describe_group(
            group,
            *reports[index],
            past=past[index],
            providers=providers,
            market_ms=market_ms,
            answers=answers[index],
        )
        for index, group in enumerate(detail.groups)
    )
    earlier = [lease for leases in past for lease in leases]
    return DeploymentStatus(detail=detail, groups=groups, money=money.summarize(detail, earlier))
