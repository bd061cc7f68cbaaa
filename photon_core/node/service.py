"""A whole node, running: genesis, disk, plugins, keys, links, HTTP; until cancelled.

`run_node` is what `photon node start` and `photon validator start` call; the only difference is the consensus key.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import define

import photon_core
from photon_core.api.fields import to_json
from photon_core.api.ids import Hash
from photon_core.api.transport import Transport
from photon_core.exchange.events import Receipt
from photon_core.exchange.listings import Listings
from photon_core.exchange.state import Ledger

from .assembly import NodeSetup, make_driver, make_transport, open_signer, open_storage, require_rules
from .config import RunInfo, clear_run_info, write_run_info
from .driver import Driver
from .feed import Feed
from .http.app import make_app
from .http.server import serve_api
from .reach import admit, configured_peers, keep_linked, listen
from .signer.settle import settle_signer
from .signer.startup import StartupRule
from .storage import Storage
from .views import COUNTS_MAX, STATE_LENGTH_MAX, BlockDetail, BlockEvents, ConsensusStatus, Count, NodeStatus, Submitted

if TYPE_CHECKING:
    from photon_core.node.http.surface import NodeSurface

__all__ = ["NodeSetup", "RunningNode", "run_node"]

log = logging.getLogger(__name__)


@define
class RunningNode:
    """The node as its API sees it."""

    setup: NodeSetup
    driver: Driver
    storage: Storage
    feed: Feed
    addresses: tuple[str, ...] = ()

    def status(self) -> NodeStatus:
        head, core = self.storage.head, self.driver.core
        certificate = head.certificate
        return NodeStatus(
            version=photon_core.__version__,
            chain_id=core.chain_id,
            chain_name=self.setup.genesis.name,
            height=head.height,
            block_hash=head.block_hash,
            block_time_ms=head.time_ms,
            market_ms=self.storage.executor.exchange.market_ms,
            state_root=certificate.statement.state_root if certificate else self.storage.tree.root,
            best_height=max(head.height, core.sync.best_height),
            node_key=self.setup.node_key.public,
            addresses=self.addresses,
            peers=len(self.driver.peers.transport.links()),
            validator=core.own_key is not None,
            halted=core.halted[:1000],
            consensus=self._consensus(),
        )

    def _consensus(self) -> ConsensusStatus | None:
        driver = self.driver
        if driver.signing is None or driver.voting is None:
            return None
        return ConsensusStatus(
            state=driver.core.ordering.state[:STATE_LENGTH_MAX],
            signer=driver.signing.state[:STATE_LENGTH_MAX],
            in_flight=len(driver.core.pipeline),
            ignored=_counts(driver.core.ordering.ignored),
            lost=_counts(driver.voting.counters),
            evidence=driver.evidence.count,
        )

    def genesis_json(self) -> dict[str, Any]:
        return to_json(self.setup.genesis)

    def ledger(self) -> Ledger:
        return Ledger(self.storage.view)

    @property
    def listings(self) -> Listings:
        return self.storage.executor.exchange.listings

    async def submit(self, raw: Sequence[bytes], wait_s: float) -> tuple[Submitted, ...]:
        return await self.driver.submissions.submit(raw, wait_s)

    async def outcome(self, transaction_id: Hash) -> tuple[int, Receipt] | None:
        recent = self.feed.outcome(transaction_id)
        return recent or await trio.to_thread.run_sync(self.storage.archive.outcome, transaction_id)

    def is_waiting(self, transaction_id: Hash) -> bool:
        return self.driver.core.is_waiting(transaction_id)

    async def block(self, height: int) -> BlockDetail | None:
        return await trio.to_thread.run_sync(self.storage.archive.block_detail, height)

    async def block_events(self, height: int) -> BlockEvents | None:
        recent = self.feed.recent(height)
        return recent or await trio.to_thread.run_sync(self.storage.archive.block_events, height)


def _counts(counter: Counter[str]) -> tuple[Count, ...]:
    return tuple(Count(what=what[:64], count=count) for what, count in sorted(counter.items()) if count)[:COUNTS_MAX]


async def run_node(setup: NodeSetup, task_status: trio.TaskStatus[RunInfo] = trio.TASK_STATUS_IGNORED) -> None:
    """`started` with where it answers, once peers and clients can reach it. PhotonError when it cannot run."""
    require_rules(setup.plugins, setup.genesis)
    storage = await trio.to_thread.run_sync(open_storage, setup)
    signer = None
    try:
        for note in storage.notes:
            log.warning("%s", note)
        signer = await trio.to_thread.run_sync(open_signer, setup, storage)
        transport = make_transport(setup)
        driver = make_driver(setup, storage, transport, signer)
        await _run(RunningNode(setup, driver, storage, driver.feed), transport, task_status)
    finally:
        if signer is not None:
            signer.close()
        storage.close()


async def _run(node: RunningNode, transport: Transport, task_status: trio.TaskStatus[RunInfo]) -> None:
    setup = node.setup
    async with trio.open_nursery() as nursery:
        await nursery.start(transport.run)
        configured = configured_peers(setup)
        transport.set_admission(partial(admit, setup.genesis, frozenset(configured)))
        nursery.start_soon(node.driver.peers.run)
        await nursery.start(node.driver.run)
        node.addresses = tuple([await listen(transport, address, setup) for address in setup.settings.listen])
        nursery.start_soon(keep_linked, transport, configured)
        nursery.start_soon(_settle_signer, node.driver)
        surface: NodeSurface = node
        url = await nursery.start(serve_api, make_app(surface), setup.settings.api)
        info = RunInfo(pid=os.getpid(), api=url, node_key=setup.node_key.public.hex(), addresses=node.addresses)
        write_run_info(setup.home, info)
        try:
            task_status.started(info)
            await trio.sleep_forever()
        finally:
            clear_run_info(setup.home)


async def _settle_signer(driver: Driver) -> None:
    """Lets the signer sign once a quorum of validators has said what they know of its key."""
    if driver.signer is None or driver.signing is None or driver.voting is None:
        return
    rule = StartupRule(
        signer=driver.signer,
        validators=driver.core.validators,
        chain_id=driver.core.chain_id,
        inspect=driver.core.engine.inspect,
        own_certificate=driver.storage.head.certificate,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(settle_signer, rule, driver.peers, driver.voting.nodes))
        driver.signing.settled()
