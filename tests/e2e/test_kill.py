"""kill -9, one at a time and everything at once: what was acknowledged stays, what can go on goes on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from harness import (
    QUICK,
    ROOT,
    Network,
    all_money_is_there,
    endpoints_of,
    eventually,
    get,
    kill,
    processes_of,
    workloads,
)

from photon_core.api.bech32m import encode_address
from photon_core.api.ids import LeaseId
from photon_core.exchange.records import CloseReason, GroupState, LeaseState
from photon_core.node.client import NodeClient
from photon_core.tenant.client import Tenant
from photon_core.tenant.status import DeploymentStatus, Standing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
WEB = ROOT / "examples/web.yml"
ANSWER = "hello from photon\n"
PATIENT = {"reconfirmation_period_ms": 15_000}
"""A busy machine takes some seconds to start an agent again, in which its leases must not go stale."""


async def deploy_web(tenant: Tenant) -> tuple[int, str]:
    """Its number, and the name of the provider that serves it."""
    deployment = await tenant.deploy(await tenant.plan(WEB))
    async with tenant.following(deployment):
        await answers(tenant, deployment)
    return deployment, encode_address((await tenant.status(deployment)).groups[0].lease.provider)  # type: ignore[union-attr]


async def answers(tenant: Tenant, deployment: int) -> None:
    """Once its provider says that it serves, it does."""
    (endpoint,) = await endpoints_of(tenant, deployment)
    response = await eventually(partial(get, endpoint), lambda response: response.status_code == 200)
    assert response.text == ANSWER


def member_of(network: Network, provider: str) -> str:
    """Whose provider it is: by its settings."""
    return next(
        name for name in network.members("provider") if provider in (network.folder / name / "config.toml").read_text()
    )


async def test_any_validator_may_die_and_the_node_goes_on_where_it_was(new_network: Callable[..., Network]) -> None:
    network = new_network(parameters=QUICK)
    async with network.tenant() as tenant, network.node() as node:
        first, _ = await deploy_web(tenant)
        before = await node.block()
        assert before is not None

        network.kill("validator-1")
        second, _ = await deploy_web(tenant)
        network.start_again("validator-1")
        network.kill("validator-2")  # so that the one that came back is needed
        height = (await node.status()).height
        await eventually(node.status, lambda status: status.height >= height + 3)
        network.start_again("validator-2")

        after = await node.block(before.header.height)
        assert after is not None
        assert after.block_hash == before.block_hash, "nothing that was acknowledged is lost"

        network.kill("node")
        network.start_again("node")

        async with NodeClient(network.document["members"]["validator-1"]["api"]) as validator:
            newest = (await validator.status()).height
            await eventually(node.status, lambda status: status.height >= newest)
        await answers(tenant, first)
        await answers(tenant, second)
        await all_money_is_there(network, tenant, [first, second])
    network.stop()
    assert list(processes_of(network.folder)) == []


async def test_an_agent_adopts_what_it_left_and_workloads_come_back(new_network: Callable[..., Network]) -> None:
    network = new_network(parameters=QUICK | PATIENT)
    async with network.tenant() as tenant, network.node() as node:
        deployment, provider = await deploy_web(tenant)
        lease = LeaseId(deployment, 0, 0)
        member = member_of(network, provider)
        running = workloads(network.folder)

        network.kill(member)
        assert workloads(network.folder) == running
        network.start_again(member)

        confirmed_ms = (await node.status()).market_ms
        await eventually(lambda: _lease(node, lease), lambda detail: detail.confirmed_ms > confirmed_ms)
        assert workloads(network.folder) == running, "adopted, not made anew"
        await answers(tenant, deployment)

        for pid in running:
            kill(pid)
        await eventually(lambda: _workloads(network), lambda now: now and now != running)
        await answers(tenant, deployment)
        assert (await _lease(node, lease)).lease.state is LeaseState.ACTIVE
        await all_money_is_there(network, tenant, [deployment])
    network.stop()
    assert list(processes_of(network.folder)) == []


async def test_another_provider_takes_over_while_the_tenant_is_away(new_network: Callable[..., Network]) -> None:
    network = new_network(parameters=QUICK)
    async with network.tenant() as tenant:
        deployment, provider = await deploy_web(tenant)

    lose(network, provider)
    async with network.node() as node:
        await taken_over(node, deployment)

    async with network.tenant() as tenant:  # back; it delivers nothing: the keeper has
        status = await eventually(partial(tenant.status, deployment), serves)
        await check_the_change(status, provider)
        await answers(tenant, deployment)
        await all_money_is_there(network, tenant, [deployment])
    network.stop()
    assert list(processes_of(network.folder)) == []


async def test_without_a_keeper_status_says_that_it_waits_for_the_manifest(new_network: Callable[..., Network]) -> None:
    network = new_network(parameters=QUICK)
    async with network.tenant() as tenant:
        deployment, provider = await deploy_web(tenant)
        network.kill("keeper")

        lose(network, provider)
        await taken_over(tenant.node, deployment)

        status = await eventually(
            partial(tenant.status, deployment), lambda status: status.groups[0].standing is Standing.WAITS_FOR_MANIFEST
        )
        assert "photon serve" in status.groups[0].says
        network.start_again("keeper")
        await check_the_change(await eventually(partial(tenant.status, deployment), serves), provider)
        await answers(tenant, deployment)
        await all_money_is_there(network, tenant, [deployment])
    network.stop()


async def test_everything_at_once(new_network: Callable[..., Network]) -> None:
    network = new_network(parameters=QUICK)
    async with network.tenant() as tenant, network.node() as node:
        deployment, _ = await deploy_web(tenant)
        before = await node.block()
        assert before is not None
        account = await node.account(tenant.address)

    network.kill_everything()
    assert workloads(network.folder) == []
    assert list(processes_of(network.folder)) == []
    network.start()

    async with network.tenant() as tenant, network.node() as node:
        after = await node.block(before.header.height)
        assert after is not None
        assert after.block_hash == before.block_hash
        assert await node.account(tenant.address) == account
        assert (await _lease(node, LeaseId(deployment, 0, 0))).lease.state is LeaseState.ACTIVE
        await answers(tenant, deployment)
        await all_money_is_there(network, tenant, [deployment])
    assert network.stop() == 0


# --- what several of them do and see --------------------------------------------------------------------------------


def lose(network: Network, provider: str) -> None:
    """A provider's machine burns down: agent and workloads."""
    network.kill(member_of(network, provider))
    for pid in workloads(network.folder):
        kill(pid)


async def taken_over(node: NodeClient, deployment: int) -> None:
    """The chain has closed the first lease as stale and matched another."""
    await eventually(
        partial(node.deployment, deployment),
        lambda detail: detail.groups[0].group.state is GroupState.LEASED and detail.groups[0].group.orders > 1,
    )


def serves(status: DeploymentStatus) -> bool:
    return status.groups[0].standing is Standing.SERVING and len(status.groups[0].past) > 0


async def check_the_change(status: DeploymentStatus, provider: str) -> None:
    (group,) = status.groups
    lost = group.past[0]
    assert lost.close_reason is CloseReason.STALE
    assert encode_address(lost.provider) == provider
    assert lost.collateral_forfeited_uptn == 600_000, "an hour of the highest price, to the tenant"
    assert group.lease is not None
    assert group.lease.provider != lost.provider


async def _lease(node: NodeClient, lease: LeaseId):
    detail = await node.lease(lease)
    assert detail is not None
    return detail


async def _workloads(network: Network) -> list[int]:
    return workloads(network.folder)
