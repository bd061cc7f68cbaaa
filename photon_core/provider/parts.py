"""What an agent is made of, given from outside, so that tests and `photon up` can give others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from photon_core.api.ids import Address, Hash
from photon_core.api.pricing import Pricing
from photon_core.api.runtime import Runtime
from photon_core.node.account import AccountSender
from photon_core.node.client import NodeClient

from .network.fabric import IngressConfig


@frozen(kw_only=True)
class AgentOptions:
    """Times in milliseconds, money in uptn. `reserve_uptn` of the operator's balance is kept for fees, never bid."""

    max_collateral_uptn: int
    reserve_uptn: int = 0
    ready_timeout_ms: int | None = None
    """A declared port must be open by then; None: half of the chain's start timeout."""
    withdraw_every_ms: int = 24 * 3_600_000
    ingress: IngressConfig = IngressConfig()


@frozen(kw_only=True)
class AgentParts:
    """`folder` is the agent's own, under the provider's home. `now_ms` is Unix time."""

    chain_id: Hash
    provider: Address
    node: NodeClient
    sender: AccountSender
    runtime: Runtime
    capabilities: frozenset[str]
    pricing: Pricing
    folder: Path
    now_ms: Callable[[], int]
    options: AgentOptions
