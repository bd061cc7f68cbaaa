"""Runs a provider's agent: makes its parts from configuration, keys and plugins, and starts them. A thin assembly.

    async with trio.open_nursery() as nursery:
        running = await nursery.start(run_agent, load_config(home), ProviderKeys(operator=…, node=…), plugins)

Cancel it to stop; workloads go on, and the next agent of the same home adopts them.
"""

from __future__ import annotations

import logging
import os
import resource
import time

import trio
from attrs import evolve, frozen

from photon_core.api.bech32m import encode_address
from photon_core.api.errors import PhotonError, UsageError
from photon_core.api.ids import Hash, NodeKey
from photon_core.api.pricing import PricingContext
from photon_core.api.runtime import RuntimeContext, RuntimeFailure
from photon_core.api.transport import Transport, TransportContext
from photon_core.chain.keys import KeyPurpose, SigningKey
from photon_core.exchange.messages import UpdateProvider
from photon_core.node.account import AccountSender
from photon_core.node.client import NodeClient, NodeUnreachable
from photon_core.node.config import RunInfo, clear_run_info, write_run_info
from photon_core.peers import Peers
from photon_core.plugins import PluginManager

from .chain import ChainView
from .config import ProviderConfig, ProviderSettings
from .driver import Agent
from .gateway import Gateway
from .parts import AgentParts
from .status import keep_written

log = logging.getLogger(__name__)

STOP_WORKLOADS_S = 15.0
DESCRIPTORS_WANTED = 16_384
"""Two for each connection that the network may carry (`NetworkLimits.connections_max`), and room."""
NODE_RETRY_S = 0.5
FOLDER_MODE = 0o700


@frozen(kw_only=True)
class ProviderKeys:
    """Unlocked: the operator's account key and the agent's node key."""

    operator: SigningKey
    node: SigningKey

    def __attrs_post_init__(self) -> None:
        for key, purpose in ((self.operator, KeyPurpose.OPERATOR), (self.node, KeyPurpose.NODE)):
            if key.purpose is not purpose:
                raise UsageError(
                    code="wrong-key",
                    what=f"a {key.purpose} key where the {purpose} key belongs",
                    remedy="one key, one purpose: `photon key list` shows which is which",
                )


@frozen(kw_only=True)
class RunningAgent:
    """`addresses` are those that tenants dial; `http_port` is the ingress's."""

    agent: Agent
    addresses: tuple[str, ...]
    http_port: int


async def run_agent(
    config: ProviderConfig,
    keys: ProviderKeys,
    plugins: PluginManager,
    *,
    stop_workloads: bool = False,
    task_status: trio.TaskStatus[RunningAgent] = trio.TASK_STATUS_IGNORED,
) -> None:
    """`started(RunningAgent)` once it has the chain in view and takes links, at addresses that are on chain.

    Waits for a node that does not answer yet.

    `stop_workloads`: when it is cancelled nothing is left running, for networks that live and die on one machine.
    Raises PhotonError (not registered, wrong chain, damaged state) and RuntimeFailure for a set-up that cannot work.
    """
    _raise_descriptor_limit()
    config.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    async with NodeClient(config.settings.node) as node:
        chain_id = await _chain_id(node)
        transport = _make_transport(plugins, keys, chain_id)
        agent = Agent(_make_parts(config, keys, plugins, node, chain_id))
        peers = Peers(transport)
        Gateway(agent, peers)
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            await nursery.start(transport.run)
            await nursery.start(peers.run)
            addresses = tuple([await transport.listen(address) for address in config.settings.listen])
            write_run_info(config.home, RunInfo(pid=os.getpid(), node_key=keys.node.public.hex(), addresses=addresses))
            try:
                await announce(agent, config.settings, keys.node.public, addresses)
                if agent.view is not None and (poor := funding_problem(agent.view, config.settings)):
                    log.warning("%s", poor)
                nursery.start_soon(keep_written, agent, config.folder)
                http_port = agent.fabric.http_port if agent.fabric else 0
                task_status.started(RunningAgent(agent=agent, addresses=addresses, http_port=http_port))
                await trio.sleep_forever()
            finally:
                clear_run_info(config.home)
                if stop_workloads:
                    await stop_all_workloads(agent)


def _make_parts(
    config: ProviderConfig, keys: ProviderKeys, plugins: PluginManager, node: NodeClient, chain_id: Hash
) -> AgentParts:
    settings = config.settings
    runtime_name, pricing_name = plugins.choice.one("runtime").name, plugins.choice.one("pricing").name
    home = config.folder / "runtime"
    home.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    context = RuntimeContext(
        home=home, chain_id=chain_id, agent=encode_address(settings.id), config=None, offer=settings.offer
    )
    return AgentParts(
        chain_id=chain_id,
        provider=settings.id,
        node=node,
        sender=AccountSender(node, keys.operator),
        runtime=plugins.make("runtime", runtime_name, context),
        capabilities=plugins.runtime(runtime_name).capabilities,
        pricing=plugins.make("pricing", pricing_name, PricingContext(config=None)),
        folder=config.folder,
        now_ms=lambda: time.time_ns() // 1_000_000,
        options=settings.options(),
    )


def _make_transport(plugins: PluginManager, keys: ProviderKeys, chain_id: Hash) -> Transport:
    context = TransportContext(node_seed=keys.node.seed, chain_id=chain_id, config=None)
    return plugins.make("transport", plugins.choice.one("transport").name, context)


async def announce(agent: Agent, settings: ProviderSettings, node_key: NodeKey, listening: tuple[str, ...]) -> None:
    """Where tenants dial, and what this provider says of itself, is put on chain when it is not what is there."""
    assert agent.view is not None
    found = agent.view.provider
    wanted = evolve(
        found, node_key=node_key, addresses=settings.advertise or listening, attributes=settings.sorted_attributes
    )
    if wanted == found:
        return
    try:
        await agent.parts.sender.send(
            UpdateProvider(
                provider=found.id, node_key=wanted.node_key, addresses=wanted.addresses, attributes=wanted.attributes
            )
        )
    except PhotonError as error:
        log.error("this provider's entry on chain is out of date and could not be changed: %s", error.what)


async def stop_all_workloads(agent: Agent) -> None:
    """Of all leases, whatever fails for one of them. Nothing is begun any more, and what is under way ends first."""
    runtime = agent.parts.runtime
    with trio.CancelScope(shield=True, deadline=trio.current_time() + STOP_WORKLOADS_S) as patience:
        if agent.executor is not None:
            await agent.executor.close()
        try:
            leases = sorted({one.id.lease for one in await runtime.observe()})
        except Exception as error:  # noqa: BLE001 - told, and nobody is left to be harmed
            log.error("workloads may be left running: %s", _words(error))
            return
        for lease in leases:
            try:
                await runtime.remove(lease)
            except Exception as error:  # noqa: BLE001 - the other leases are stopped all the same
                log.error("lease %s is left running: %s", lease, _words(error))
    if patience.cancelled_caught:
        log.error("workloads may be left running: they did not end within %s s", STOP_WORKLOADS_S)


def _words(error: Exception) -> str:
    return error.what if isinstance(error, RuntimeFailure) else f"{type(error).__name__}: {error}"


async def _chain_id(node: NodeClient) -> Hash:
    told = False
    while True:
        try:
            return (await node.status()).chain_id
        except NodeUnreachable as error:
            if not told:
                told = True
                log.warning("waiting for the node: %s (start it, or name another one in config.toml)", error.what)
            await trio.sleep(NODE_RETRY_S)


def funding_problem(view: ChainView, settings: ProviderSettings) -> str:
    """Why this operator cannot bid whatever the order; empty when it can."""
    if view.balance_uptn > settings.reserve_uptn:
        return ""
    operator = encode_address(view.provider.operator)
    return (
        f"the operator {operator} has {view.balance_uptn} uptn, and {settings.reserve_uptn} are kept for fees: no bid "
        f"can be made. Pay it: photon tx transfer {operator} AMOUNT"
    )


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_WANTED, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
