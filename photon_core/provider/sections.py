"""What this agent runs for each lease: the sections that it was given, and which of them are not in force yet.

A section goes on being the one to run until another is delivered, whatever stands on chain meanwhile: an update that
nobody has brought yet is no reason to stop a workload. `docs/adr/0029` has the decision.
"""

from __future__ import annotations

import trio

from photon_core.api.ids import Hash, LeaseId
from photon_core.exchange.records import LeaseState
from photon_core.manifest.records import Section
from photon_core.node.views import LeaseDetail

from .manifests import Held, SectionStore
from .reconcile import Apply, Plan, Rewire, Situation


class Sections:
    """`held`: what runs, or is to, by lease. `unapplied`: leases whose section is newer than what a pass has carried
    out: nobody may be told yet that it serves.
    """

    def __init__(self, store: SectionStore, chain_id: Hash) -> None:
        self._store, self._chain_id = store, chain_id
        self.held: dict[LeaseId, Held] = {}
        self.unapplied: set[LeaseId] = set()

    def get(self, lease: LeaseId) -> Section | None:
        held = self.held.get(lease)
        return held.section if held else None

    async def load(self, detail: LeaseDetail) -> None:
        """What an earlier run of the agent was given. OSError when the disk does not answer."""
        lease = detail.lease.id
        if detail.lease.state is LeaseState.ACTIVE and lease not in self.held:
            held = await trio.to_thread.run_sync(self._store.get, lease, self._chain_id, detail.group.spec)
            if held is not None:
                self.held[lease] = held

    async def take(self, lease: LeaseId, held: Held) -> bool:
        """A section that was checked against the chain; on disk when this returns. Whether it is news."""
        before = self.held.get(lease)
        if before is not None and before.hash == held.hash:
            return False
        await trio.to_thread.run_sync(self._store.put, lease, held)
        self.held[lease] = held
        self.unapplied.add(lease)
        return True

    async def forget(self, lease: LeaseId) -> None:
        self.held.pop(lease, None)
        self.unapplied.discard(lease)
        await trio.to_thread.run_sync(self._store.forget, lease)

    def passed(self, situation: Situation, plan: Plan) -> None:
        """After a pass: what it saw carried out is in force."""
        if situation.observed is None:
            return
        to_do = {action.lease for action in plan.actions if isinstance(action, Apply | Rewire)}
        unsettled = to_do | situation.busy | set(situation.trouble)
        self.unapplied = {
            lease
            for lease in self.unapplied
            if lease in unsettled or situation.sections.get(lease) is not self.get(lease)
        }
