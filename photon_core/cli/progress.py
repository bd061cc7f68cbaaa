"""Following a deployment from the command line: a line for each step, until it serves, or says why it does not."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from attrs import define, field

from photon_core.api.errors import ExitCode, PhotonError
from photon_core.cli.frame import Facts, Session
from photon_core.cli.steps import endpoint_text, step_text

if TYPE_CHECKING:
    import trio

    from photon_core.api.ids import LeaseId
    from photon_core.tenant import steps
    from photon_core.tenant.client import Tenant

    Following = AbstractAsyncContextManager[trio.MemoryReceiveChannel[steps.Step]]


async def until_signal(work: Callable[[Tenant], Awaitable[None]], tenant: Tenant) -> None:
    """SIGTERM is answered as Ctrl-C is, by KeyboardInterrupt: what was paid for goes on without this command."""
    import trio

    async def interrupt(signals: AsyncIterator[int]) -> None:
        async for _ in signals:
            raise KeyboardInterrupt

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupt, signals)
            await work(tenant)
            nursery.cancel_scope.cancel()


@define(kw_only=True)
class Progress:
    """What has happened so far; seconds since the transaction was done.

    `groups`: indexes of those that are waited for; `waited_for`: what that is called, when it does not come.
    """

    session: Session
    groups: frozenset[int]
    deployment: int = 0
    waited_for: str = "the deployment was seen to serve"
    _began_s: float = 0.0
    _seconds: dict[str, float] = field(factory=dict)
    _leases: dict[LeaseId, dict[str, Any]] = field(factory=dict)
    _serving: dict[LeaseId, tuple[Any, ...]] = field(factory=dict)

    def begins(self, text: str) -> None:
        import time

        self._began_s = time.monotonic()
        self.session.progress(text)

    async def follow(self, tenant: Tenant, following: Following, timeout_s: float) -> None:
        """Until every group serves; PhotonError (exit code 6) says what it still waits for."""
        import trio

        with trio.move_on_after(timeout_s) as scope:
            async with following as told:
                await self._read(told)
        if scope.cancelled_caught:
            status = await tenant.status(self.deployment)
            waits = "; ".join(
                f"{each.detail.group.spec.name}: {each.says}"
                for each in status.groups
                if each.detail.group.index in self.groups and (each.standing != "serving" or each.awaits_update)
            )
            raise PhotonError(
                code="not-serving-yet",
                what=f"deployment {self.deployment} does not serve after {timeout_s:g} s",
                found=waits,
                exit_code=ExitCode.TIMEOUT,
                remedy=self._goes_on(),
            )

    def interrupted(self) -> PhotonError:
        """What Ctrl-C leaves behind."""
        return PhotonError(
            code="interrupted",
            what=f"interrupted before {self.waited_for}",
            exit_code=ExitCode.INTERRUPTED,
            remedy=self._goes_on(),
        )

    def _goes_on(self) -> str:
        number = self.deployment
        return f"deployment {number} goes on: `photon status {number}`; to end it: `photon close {number}`"

    async def _read(self, told: trio.MemoryReceiveChannel[steps.Step]) -> None:
        async for step in told:
            self._on_step(step)
            if self.groups <= {lease.group for lease in self._serving}:
                return
        raise PhotonError(
            code="deployment-closed",
            what=f"deployment {self.deployment} was closed before it served",
            remedy=f"`photon status {self.deployment}` says why",
        )

    def _on_step(self, step: steps.Step) -> None:
        import time

        from photon_core.tenant import steps

        elapsed_s = time.monotonic() - self._began_s
        self.session.progress(f"{elapsed_s:7.2f} s  {step_text(step)}")
        self._seconds.setdefault(type(step).__name__, round(elapsed_s, 3))
        match step:
            case steps.Leased():
                self._leases[step.lease] = {"provider": step.provider, "price": step.price}
            case steps.ManifestDelivered():
                self._leases.setdefault(step.lease, {"provider": step.provider})
            case steps.Serving():
                self._serving[step.lease] = step.endpoints
            case steps.LeaseEnded():
                self._leases.pop(step.lease, None)
                self._serving.pop(step.lease, None)
            case steps.Paused() | steps.DeliveryFailed():
                raise PhotonError(
                    code="not-served",
                    what=step_text(step),
                    remedy=f"`photon status {self.deployment}` says more; `photon close {self.deployment}` ends it",
                )

    def document(self) -> dict[str, object]:
        from photon_core.api.bech32m import encode_address
        from photon_core.api.fields import to_json

        return {
            "deployment": self.deployment,
            "leases": [
                {
                    "lease": str(lease),
                    "provider": encode_address(body["provider"]),
                    "price": body.get("price"),
                    "endpoints": [to_json(endpoint) for endpoint in self._serving.get(lease, ())],
                }
                for lease, body in self._leases.items()
            ],
            "seconds": self._seconds,
        }

    def human(self) -> Facts:
        endpoints = [endpoint_text(endpoint) for found in self._serving.values() for endpoint in found]
        return Facts([("deployment", self.deployment), *(("reached at", text) for text in endpoints)])
