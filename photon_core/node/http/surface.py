"""What the API may ask of the node that it stands on: this and nothing else, so that tests can stand it on less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from photon_core.api.ids import Hash
from photon_core.exchange.events import Receipt
from photon_core.exchange.listings import Listings
from photon_core.exchange.state import Ledger
from photon_core.node.feed import Feed
from photon_core.node.views import BlockDetail, BlockEvents, NodeStatus, Submitted


class NodeSurface(Protocol):
    feed: Feed

    def status(self) -> NodeStatus: ...

    def genesis_json(self) -> dict[str, Any]: ...

    def ledger(self) -> Ledger:
        """For reading, as of now; not to be kept across an await."""
        ...

    async def submit(self, raw: Sequence[bytes], wait_s: float) -> tuple[Submitted, ...]: ...

    async def outcome(self, transaction_id: Hash) -> tuple[int, Receipt] | None:
        """Height and receipt of a committed transaction, from memory or disk."""
        ...

    def is_waiting(self, transaction_id: Hash) -> bool: ...

    async def block(self, height: int) -> BlockDetail | None: ...

    async def block_events(self, height: int) -> BlockEvents | None: ...

    @property
    def listings(self) -> Listings:
        """Ids by what they belong to, as of the newest executed block."""
        ...
