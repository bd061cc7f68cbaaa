"""The agent's executor, of actions on runtime and network: one per lease at a time, leases side by side.

What fails is that lease's trouble: remembered with the time of the next try, told to operator and tenant, and nobody
else's concern. A pull that takes minutes keeps one lease busy and delays nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from photon_core.api.ids import LeaseId
from photon_core.api.runtime import Runtime, RuntimeFailure

from .network.fabric import Fabric
from .network.grants import LeaseNetwork
from .reconcile import Apply, Remove, Rewire, Trouble

log = logging.getLogger(__name__)

RETRY_FIRST_MS = 1_000
RETRY_MAX_MS = 30_000


class RuntimeExecutor:
    def __init__(
        self,
        runtime: Runtime,
        fabric: Fabric | None,
        nursery: trio.Nursery,
        now_ms: Callable[[], int],
        done: Callable[[], None],
    ) -> None:
        self._runtime, self._fabric, self._nursery = runtime, fabric, nursery
        self._now_ms, self._done = now_ms, done
        self.busy: set[LeaseId] = set()
        self.trouble: dict[LeaseId, Trouble] = {}
        self.removed: set[LeaseId] = set()
        self._attempts: dict[LeaseId, int] = {}
        self._scopes: dict[LeaseId, trio.CancelScope] = {}
        self._closed = False
        self._idle = trio.Event()

    def begin(self, action: Apply | Rewire | Remove) -> None:
        """Starts the action and returns; `done` is called when it is over. Nothing when the lease is busy."""
        if action.lease in self.busy or self._closed:
            return
        self.busy.add(action.lease)
        match action:
            case Apply():
                self.removed.discard(action.lease)
                self._nursery.start_soon(self._carry_out, action.lease, lambda: self._apply(action))
            case Rewire():
                self._nursery.start_soon(self._carry_out, action.lease, lambda: self._wire(action.network))
            case Remove():
                self._nursery.start_soon(self._carry_out, action.lease, lambda: self._remove(action))

    async def close(self) -> None:
        """Begins nothing any more; returns when nothing is under way."""
        self._closed = True
        for scope in self._scopes.values():
            scope.cancel()
        while self.busy:
            self._idle = trio.Event()
            await self._idle.wait()

    def forget(self, known: set[LeaseId]) -> None:
        """Leases that are over everywhere leave nothing in memory."""
        self.removed &= known
        for lease in [lease for lease in self.trouble if lease not in known and lease not in self.busy]:
            self._clear(lease)

    async def _apply(self, action: Apply) -> None:
        await self._runtime.apply(action.desired)
        await self._wire(action.network)

    async def _wire(self, network: LeaseNetwork) -> None:
        if self._fabric is not None:
            await self._fabric.wire(network)

    async def _remove(self, action: Remove) -> None:
        if self._fabric is not None:
            await self._fabric.unwire(action.lease)
        await self._runtime.remove(action.lease)
        self.removed.add(action.lease)

    async def _carry_out(self, lease: LeaseId, action: Callable[[], Awaitable[None]]) -> None:
        scope = self._scopes[lease] = trio.CancelScope()
        try:
            with scope:
                if self._closed:
                    return
                await action()
                self._clear(lease)
        except RuntimeFailure as failure:
            self._note(lease, failure.what, failure.remedy)
        except (OSError, KeyError) as error:  # a sandbox that died while it was wired
            self._note(lease, f"the sandbox cannot be reached: {error}", "")
        except Exception as error:  # a runtime plugin's bug is that lease's trouble, not the end of all leases
            log.exception("lease %s: the runtime plugin failed", lease)
            self._note(lease, f"the runtime failed: {type(error).__name__}", "see the agent's log")
        finally:
            self.busy.discard(lease)
            del self._scopes[lease]
            self._idle.set()
            self._done()

    def _clear(self, lease: LeaseId) -> None:
        self.trouble.pop(lease, None)
        self._attempts.pop(lease, None)

    def _note(self, lease: LeaseId, what: str, remedy: str) -> None:
        now_ms = self._now_ms()
        before = self.trouble.get(lease)
        attempts = self._attempts[lease] = self._attempts.get(lease, 0) + 1
        wait_ms = min(RETRY_FIRST_MS << min(attempts - 1, 10), RETRY_MAX_MS)
        if before is None or before.what != what:
            log.warning("lease %s: %s%s", lease, what, f" ({remedy})" if remedy else "")
        self.trouble[lease] = Trouble(
            what=what, since_ms=before.since_ms if before else now_ms, retry_ms=now_ms + wait_ms
        )
