"""`photon deploy FILE` (alias create): from a file to a running workload, each step as it happens."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import define, field

from photon_core.api.errors import ExitCode, PhotonError
from photon_core.cli.amounts import amount
from photon_core.cli.frame import Facts, Session, pass_session
from photon_core.cli.frame.errors import leading
from photon_core.cli.steps import endpoint_text, step_text
from photon_core.cli.tenancy import find_place, key_options, node_options

if TYPE_CHECKING:
    import trio

    from photon_core.api.ids import LeaseId
    from photon_core.tenant import steps
    from photon_core.tenant.client import Tenant

WAIT_S = 300.0


@click.command("deploy")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--deposit", type=amount, metavar="AMOUNT", help="PTN, or 5000000uptn; default: 24 hours at the highest price."
)
@click.option(
    "--persist/--no-persist",
    default=True,
    show_default=True,
    help="Order again when a provider fails; otherwise close then.",
)
@click.option("--third-party-deposits", is_flag=True, help="Let other accounts pay into it.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Deliver, and show steps until it serves.")
@click.option("--timeout", type=float, default=WAIT_S, show_default=True, metavar="SECONDS", help="Wait so long.")
@key_options
@node_options
@pass_session
def deploy_command(
    session: Session,
    /,
    file: Path,
    node: str | None,
    network: Path | None,
    key: str | None,
    passphrase_file: Path | None,
    wait: bool,
    timeout: float,
    **terms: Any,
) -> None:
    """Create a deployment from FILE, bring its manifest to the winner, and wait until it serves.

    The deposit pays for it by the millisecond; what is not used comes back when it is closed. The manifest stays in the
    home folder: whoever runs `photon serve` there brings it to the next provider, should this one fail.

    \b
    Examples:
      photon deploy web.yml
      photon deploy web.yml --deposit 5 --no-persist --timeout 60
      photon deploy web.yml --no-wait          a running `photon serve` delivers
    """
    from photon_core import sdl

    plan = sdl.load(file)  # before a passphrase is asked for
    for warning in plan.warnings:
        session.progress(str(warning))
    place = find_place(session, node, network)
    unlocked = place.unlock(key, passphrase_file)
    progress = Progress(session=session, groups=len(plan.groups))

    async def work(tenant: Tenant) -> None:
        progress.deployment = await tenant.deploy(
            plan,
            deposit_uptn=terms["deposit"],
            persist=terms["persist"],
            third_party_deposits=terms["third_party_deposits"],
        )
        progress.created()
        _warn(session, place.home, persist=terms["persist"], wait=wait)
        if wait:
            await progress.follow(tenant, timeout)

    try:
        place.run_as_tenant(unlocked, lambda tenant: _until_signal(work, tenant))
    except BaseException as raised:
        if progress.deployment and isinstance(leading(raised), KeyboardInterrupt):
            raise progress.interrupted() from None
        raise
    session.show(progress.document(), progress.human)


async def _until_signal(work: Callable[[Tenant], Awaitable[None]], tenant: Tenant) -> None:
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


def _warn(session: Session, home: Path, *, persist: bool, wait: bool) -> None:
    from photon_core.tenant.identity import is_kept

    if is_kept(home):
        return
    serve = f"run `photon serve --home {home}`"
    if not wait:
        session.progress(f"Warning: nothing delivers the manifest: {serve}")
    elif persist:
        session.progress(f"Warning: should its provider fail, nobody brings the manifest to the next: {serve}")


@define(kw_only=True)
class Progress:
    """What has happened so far; seconds since the transaction was handed over."""

    session: Session
    groups: int
    deployment: int = 0
    _began_s: float = 0.0
    _seconds: dict[str, float] = field(factory=dict)
    _leases: dict[LeaseId, dict[str, Any]] = field(factory=dict)
    _serving: dict[LeaseId, tuple[Any, ...]] = field(factory=dict)

    def created(self) -> None:
        import time

        self._began_s = time.monotonic()
        self.session.progress(f"deployment {self.deployment} created")

    async def follow(self, tenant: Tenant, timeout_s: float) -> None:
        """Until every group serves; PhotonError (exit code 6) says what it still waits for."""
        import trio

        with trio.move_on_after(timeout_s) as scope:
            async with tenant.following(self.deployment) as told:
                await self._read(told)
        if scope.cancelled_caught:
            status = await tenant.status(self.deployment)
            waits = "; ".join(f"{g.detail.group.spec.name}: {g.says}" for g in status.groups if g.standing != "serving")
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
            what="interrupted before the deployment was seen to serve",
            exit_code=ExitCode.INTERRUPTED,
            remedy=self._goes_on(),
        )

    def _goes_on(self) -> str:
        number = self.deployment
        return f"deployment {number} goes on: `photon status {number}`; to end it: `photon close {number}`"

    async def _read(self, told: trio.MemoryReceiveChannel[steps.Step]) -> None:
        async for step in told:
            self._on_step(step)
            if len({lease.group for lease in self._serving}) == self.groups:
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
                    "price": body["price"],
                    "endpoints": [to_json(endpoint) for endpoint in self._serving.get(lease, ())],
                }
                for lease, body in self._leases.items()
            ],
            "seconds": self._seconds,
        }

    def human(self) -> Facts:
        endpoints = [endpoint_text(endpoint) for found in self._serving.values() for endpoint in found]
        return Facts([("deployment", self.deployment), *(("reached at", text) for text in endpoints)])
