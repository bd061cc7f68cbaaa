"""What the agent knows of the chain: read whole, in one go, through the node that it trusts.

A view is **fresh** when the node's chain is ours, it has not halted, and its height is not below the highest that this
agent ever acted on (which `state` keeps). A node that was set up anew and is still reading blocks answers "no such
lease" about leases that live; the mark is what tells the two apart. The status is read first, so that everything else
in the view is at least as new as its height.
"""

from __future__ import annotations

from attrs import frozen

from photon_core.api.errors import PhotonError
from photon_core.api.ids import Address, Hash
from photon_core.api.market import BidStatus
from photon_core.exchange import events
from photon_core.exchange.parameters import Parameters
from photon_core.exchange.records import Provider
from photon_core.node.client import NodeClient
from photon_core.node.views import LeaseDetail, NodeStatus, OrderDetail

AGENT_CONCERNS = (
    events.OrderOpened,
    events.OrderExpired,
    events.LeaseCreated,
    events.LeaseClosing,
    events.LeaseClosed,
    events.BidEnded,
    events.ProviderChanged,
    events.DeploymentFunded,
    events.DeploymentUpdated,
)
"""What happens on chain and may change what an agent has to do."""


@frozen(kw_only=True)
class ChainView:
    status: NodeStatus
    provider: Provider
    parameters: Parameters
    leases: tuple[LeaseDetail, ...]
    orders: tuple[OrderDetail, ...]
    balance_uptn: int

    @property
    def height(self) -> int:
        return self.status.height

    def is_fresh(self, mark: int) -> bool:
        return not self.status.halted and self.status.height >= mark

    def open_bids(self) -> tuple[OrderDetail, ...]:
        """Orders on which this provider has a bid that may still win."""
        return tuple(
            order
            for order in self.orders
            if any(b.provider == self.provider.id and b.status is BidStatus.OPEN for b in order.bids)
        )


class WrongChain(PhotonError):
    """The node follows another chain than this agent was set up for."""


class NotRegistered(PhotonError):
    """The chain knows no such provider."""


async def read_chain(node: NodeClient, provider_id: Address, operator: Address, chain_id: Hash) -> ChainView:
    """NodeUnreachable when it does not answer; WrongChain, NotRegistered when it is of no use."""
    status = await node.status()
    if status.chain_id != chain_id:
        raise WrongChain(
            code="wrong-chain",
            what=f"the node at {node.url} follows another chain",
            expected=chain_id.hex(),
            found=status.chain_id.hex(),
            remedy="name the right node, or give this provider a home of its own",
        )
    provider = await node.provider(provider_id)
    if provider is None:
        raise NotRegistered(
            code="not-registered",
            what="this provider is not on chain yet",
            exit_code=3,
            remedy="run `photon provider register`, with the payee's key",
        )
    orders = await node.open_orders()
    return ChainView(
        status=status,
        provider=provider,
        parameters=await node.parameters(),
        orders=orders,
        leases=await node.leases(provider_id),  # after the orders: a bid that won meanwhile is seen as one or both
        balance_uptn=(await node.account(operator)).balance_uptn,
    )
