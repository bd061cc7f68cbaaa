"""`photon up --demo FILE`: one deployment from its file to its answer, and every uptn of it.

The demo is a tenant as any other program could be: it deploys through the SDK, follows the steps, asks the workload
through the provider's ingress, closes, and then adds up what the chain says that everybody has.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, cast

import httpx
import trio
from attrs import define, field

from photon_core.api.bech32m import encode_address
from photon_core.api.errors import ExitCode, PhotonError
from photon_core.api.fields import to_json
from photon_core.api.ids import Hash, LeaseId
from photon_core.api.transport import Transport, TransportContext
from photon_core.chain.keystore import Keystore
from photon_core.cli.amounts import per_hour, ptn
from photon_core.cli.frame.output import Facts, Human, Table
from photon_core.cli.steps import step_text
from photon_core.cli.up.layout import TENANT_KEY
from photon_core.cli.up.ledger import Balances, read_balances
from photon_core.cli.up.network import Network
from photon_core.exchange.events import LeaseClosed
from photon_core.manifest.records import Protocol
from photon_core.node.client import NodeClient
from photon_core.node.views import BlockEvents
from photon_core.peers.methods import Endpoint
from photon_core.plugins import PluginManager
from photon_core.plugins.selection import Choice
from photon_core.sdl import Plan
from photon_core.tenant import steps
from photon_core.tenant.client import Tenant, open_tenant
from photon_core.tenant.money import MoneySummary

SERVING_TIMEOUT_S = 60.0
"""Nobody bids, or the workload never opens its port: a person at the keyboard waits no longer."""
REQUEST_TIMEOUT_S = 10.0
CLOSED_TIMEOUT_S = 20.0
"""The agent ends the workload, with its grace, and confirms; then its collateral is free."""
BODY_BYTES_MAX = 64 * 1024

Tell = Callable[[str], None]
DemoResult = tuple[dict[str, Any], Callable[[], Human]]
"""The document of `--output json`, and the same for people."""


@define(kw_only=True)
class Story:
    """What has happened, and when: seconds since the deployment's transaction was handed over."""

    tell: Tell
    groups: int
    began_s: float
    names: dict[bytes, str]
    """Of providers, by their addresses."""
    bids: list[dict[str, Any]] = field(factory=list)
    leases: dict[LeaseId, dict[str, Any]] = field(factory=dict)
    serving: dict[LeaseId, tuple[Endpoint, ...]] = field(factory=dict)
    seconds: dict[str, float] = field(factory=dict)
    trouble: str = ""
    """What the provider last said of a workload that does not serve."""

    def mark(self, name: str) -> None:
        """The first time counts."""
        self.seconds.setdefault(name, round(trio.current_time() - self.began_s, 3))

    def say(self, text: str) -> None:
        for address, name in self.names.items():
            text = text.replace(encode_address(address), name)
        self.tell(f"{trio.current_time() - self.began_s:7.3f} s  {text}")

    @property
    def complete(self) -> bool:
        return len(self.serving) == self.groups

    def on_step(self, step: steps.Step) -> None:
        """PhotonError when it will not serve."""
        self.say(step_text(step))
        match step:
            case steps.Ordered():
                self.mark("order")
            case steps.BidCame():
                self.mark("first_bid")
                self.bids.append(
                    {
                        "order": str(step.order),
                        "provider": encode_address(step.provider),
                        "name": self.names.get(step.provider, ""),
                        "price": step.price,
                    }
                )
            case steps.Leased():
                self.mark("lease")
                self.leases[step.lease] = {
                    "id": str(step.lease),
                    "provider": encode_address(step.provider),
                    "name": self.names.get(step.provider, ""),
                    "price": step.price,
                }
            case steps.ManifestDelivered():
                self.mark("manifest")
            case steps.Serving():
                self.serving[step.lease] = step.endpoints
                if self.complete:
                    self.mark("serving")
            case steps.LeaseEnded() | steps.Paused() | steps.DeliveryFailed():
                raise PhotonError(code="not-served", what=step_text(step), found=self.trouble)
            case steps.WorkloadChanged():
                self.trouble = step.reason or self.trouble
            case _:
                pass


@define(kw_only=True)
class Answer:
    status: int | None = None
    body: str = ""


async def run_demo(network: Network, plan: Plan, choice: Choice, tell: Tell) -> DemoResult:
    """PhotonError when it does not go the whole way."""
    key = await trio.to_thread.run_sync(
        Keystore(network.folder.tenant / "keys").unlock, TENANT_KEY, network.blueprint.passphrase
    )
    make = partial(_transport, choice)
    async with (
        NodeClient(network.node_url) as node,
        open_tenant(node, key, home=network.folder.tenant, make_transport=make) as tenant,
    ):
        before = await read_balances(node, network.blueprint)
        names = {bytes(p.id): _name(network, p.id) for p in await node.providers()}
        story = Story(tell=tell, groups=len(plan.groups), began_s=trio.current_time(), names=names)
        deployment = await tenant.deploy(plan)
        story.say(f"deployment {deployment} created")
        await _follow(tenant, deployment, story)
        answer = await _ask(story)
        money = await _close(node, tenant, deployment, story)
        story.mark("total")
        after = await read_balances(node, network.blueprint)
    after.require_everything(money)
    return _document(deployment, story, answer, money), partial(_human, deployment, story, answer, money, before, after)


def _transport(choice: Choice, node_seed: bytes, chain_id: Hash) -> Transport:
    context = TransportContext(node_seed=node_seed, chain_id=chain_id, config=None)
    return PluginManager(choice).make("transport", choice.one("transport").name, context)


def _name(network: Network, provider: bytes) -> str:
    return next((n for n, a in network.blueprint.providers.items() if a == encode_address(provider)), "")


# --- the way ---------------------------------------------------------------------------------------------------------


async def _follow(tenant: Tenant, deployment: int, story: Story) -> None:
    with trio.move_on_after(SERVING_TIMEOUT_S) as scope:
        async with tenant.following(deployment) as told:
            async for step in told:
                story.on_step(step)
                if story.complete:
                    return
    if scope.cancelled_caught:
        status = await tenant.status(deployment)
        waits = "; ".join(f"{g.detail.group.spec.name}: {g.says}" for g in status.groups if g.standing != "serving")
        raise PhotonError(
            code="not-serving-yet",
            what=f"the deployment does not serve after {SERVING_TIMEOUT_S:g} s",
            found=waits,
            exit_code=ExitCode.TIMEOUT,
        )


async def _ask(story: Story) -> Answer:
    """The first service that speaks HTTP to everyone; none is no failure."""
    endpoints = [endpoint for found in story.serving.values() for endpoint in found]
    endpoint = next((e for e in endpoints if e.protocol is Protocol.HTTP), None)
    if endpoint is None:
        story.say("no service takes HTTP from everyone: nothing to ask")
        return Answer()
    url, host = f"http://{endpoint.address}:{endpoint.external_port}/", endpoint.hostnames[0]
    story.say(f"GET {url} with Host: {host}")
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=REQUEST_TIMEOUT_S) as client:
            response = await client.get(url, headers={"Host": host})
    except httpx.HTTPError as error:
        raise PhotonError(code="no-answer", where=url, what=f"the workload does not answer: {error!r}") from None
    body = response.content[:BODY_BYTES_MAX].decode(errors="replace")
    story.say(f"answer {response.status_code}: {body.strip()[:200]}")
    return Answer(status=response.status_code, body=body)


async def _close(node: NodeClient, tenant: Tenant, deployment: int, story: Story) -> MoneySummary:
    """Until the providers have confirmed that nothing is left: only then is all collateral free again."""
    from_height = (await node.status()).height
    closing = await tenant.close(deployment)
    story.say(f"deployment {deployment} closed; waiting until its workloads are gone")
    left = set(story.leases)
    with trio.move_on_after(CLOSED_TIMEOUT_S):
        generator = cast("AsyncGenerator[BlockEvents, None]", node.events(from_height))
        async with aclosing(generator) as blocks:
            async for block in blocks:
                left -= {event.lease for event in block.events if isinstance(event, LeaseClosed)}
                if not left:
                    break
        story.say("the workloads are gone, their collateral is back")
        return await tenant.money(deployment, fees_uptn=closing.fees_uptn)
    raise PhotonError(
        code="not-closed",
        what=f"no provider confirmed within {CLOSED_TIMEOUT_S:g} s that the workloads are gone",
        exit_code=ExitCode.TIMEOUT,
    )


# --- telling ---------------------------------------------------------------------------------------------------------


def _document(deployment: int, story: Story, answer: Answer, money: MoneySummary) -> dict[str, Any]:
    leases = [
        {**lease, "endpoints": [to_json(endpoint) for endpoint in story.serving[id_]]}
        for id_, lease in sorted(story.leases.items())
    ]
    return {
        "deployment": deployment,
        "bids": story.bids,
        "lease": leases[0],
        "leases": leases,
        "http_status": answer.status,
        "body": answer.body,
        "seconds": story.seconds,
        "paid_uptn": money.paid_uptn,
        "refunded_uptn": money.refunded_uptn,
        "fees_uptn": money.fees_uptn,
    }


def _human(
    deployment: int, story: Story, answer: Answer, money: MoneySummary, before: Balances, after: Balances
) -> Human:
    lease = next(iter(story.leases.values()))
    return [
        Facts(
            [
                ("deployment", deployment),
                ("bids", ", ".join(f"{b['name']} {per_hour(b['price'])}" for b in story.bids)),
                ("lease", f"{lease['id']} of {lease['name']} at {per_hour(lease['price'])}"),
                ("answer", f"{answer.status} {answer.body.strip()[:200]}" if answer.status else ""),
                ("seconds", ", ".join(f"{name} {at:.2f}" for name, at in story.seconds.items())),
            ]
        ),
        Facts(
            [
                ("deposited", f"{money.deposited_uptn} uptn"),
                ("paid", f"{money.paid_uptn} uptn"),
                ("refunded", f"{money.refunded_uptn} uptn"),
                ("fees", f"{money.fees_uptn} uptn"),
            ]
        ),
        Table(("who", "before", "after", "change"), after.changes(before)),
        f"All {ptn(after.supply_uptn)} are accounted for, to the uptn.",
    ]
