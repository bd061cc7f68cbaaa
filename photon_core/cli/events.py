"""`photon events [ID]`: what happened to a deployment, on chain and at its providers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import click

from photon_core.api.bech32m import encode_address
from photon_core.cli.amounts import per_hour, ptn
from photon_core.cli.frame import Session, Table, pass_session
from photon_core.cli.frame.output import printable
from photon_core.cli.steps import word
from photon_core.cli.targets import only_deployment
from photon_core.cli.tenancy import find_place, key_options, node_options

if TYPE_CHECKING:
    from photon_core.exchange.events import Event
    from photon_core.peers.methods import LeaseEvent
    from photon_core.tenant.client import Tenant
    from photon_core.tenant.history import Entry

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@click.command("events")
@click.argument("deployment", type=int, required=False, metavar="[ID]")
@click.option("-f", "--follow", is_flag=True, help="Go on until the deployment is closed, or Ctrl-C.")
@click.option(
    "--since",
    metavar="WHEN",
    default="",
    help="Only from then on: 90s, 10m, 2h or 7d ago; 2026-05-01T12:00:00Z; or the time_ms of a line of JSON.",
)
@key_options
@node_options
@pass_session
def events_command(
    session: Session,
    deployment: int | None,
    follow: bool,
    since: str,
    node: str | None,
    network: Path | None,
    key: str | None,
    passphrase_file: Path | None,
) -> None:
    """Show what happened to a deployment, in the order of time: on chain, and to its workloads.

    Orders, bids, leases and why they ended come from the chain; starts, exits, restarts, refused connections and
    trouble with the engine are what the provider saw, which keeps the newest 256 of each lease. ID may be left out
    when you have one deployment that runs.

    With --output json each event is a line. To go on later, pass the time_ms of the last line to --since: that instant
    is told again, and each line's id says which of it you have.

    \b
    Examples:
      photon events 17
      photon events 17 -f
      photon events 17 --since 10m --output json
    """
    since_ms = parse_since(since)
    place = find_place(session, node, network)
    unlocked = place.unlock(key, passphrase_file)

    async def work(tenant: Tenant) -> None:
        from photon_core.tenant.history import Entry

        number = deployment if deployment is not None else (await only_deployment(tenant, "")).deployment
        rows = []
        async with tenant.history(number, since_ms=since_ms, follow=follow) as told:
            async for one in told:
                if not isinstance(one, Entry):
                    session.progress(one.text)
                elif session.json or follow:
                    session.stream(_document(one), "  ".join(filter(None, map(printable, _row(one)))))
                else:
                    rows.append(_row(one))
        if not session.json and not follow:
            session.show(None, Table(("time", "about", "what", "more"), rows, "nothing happened since then"))

    place.run_as_tenant(unlocked, work)


def parse_since(text: str, now: datetime | None = None) -> int:
    """Unix time in milliseconds; 0 for no text."""
    if not text:
        return 0
    number, unit = text[:-1], text[-1:]
    try:
        if text.isascii() and text.isdigit():
            return int(text)
        if unit in UNITS and number.isascii() and number.isdigit():
            then = (now or datetime.now(UTC)) - timedelta(**{UNITS[unit]: int(number)})
        else:
            then = datetime.fromisoformat(text)
        return max(int((then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() * 1000), 0)
    except (ValueError, OverflowError):
        hint = "say 90s, 10m, 2h or 7d; 2026-05-01T12:00:00Z; or milliseconds of Unix time"
        raise click.BadParameter(f"{text!r} is no time: {hint}") from None


# --- showing ---------------------------------------------------------------------------------------------------------


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"


def _row(entry: Entry) -> tuple[str, str, str, str]:
    kind, text = _words(entry)
    return _time(entry.time_ms), entry.about, kind, text


def _document(entry: Entry) -> dict[str, Any]:
    from photon_core.api.fields import to_json
    from photon_core.peers.methods import LeaseEvent

    kind, text = _words(entry)
    return {
        "time": _time(entry.time_ms),
        "time_ms": entry.time_ms,
        "id": entry.key,
        "source": "provider" if isinstance(entry.event, LeaseEvent) else "chain",
        "about": entry.about,
        "what": kind,
        "text": text,
        "event": to_json(entry.event),
    }


def _words(entry: Entry) -> tuple[str, str]:
    from photon_core.peers.methods import LeaseEvent

    if isinstance(entry.event, LeaseEvent):
        return word(entry.event.kind), _of_provider(entry.event)
    return _of_chain(entry.event)


def _of_provider(event: LeaseEvent) -> str:
    times = f"{event.count} times" if event.count > 1 else ""
    return ", ".join(filter(None, (event.text, times)))


def _of_chain(event: Event) -> tuple[str, str]:  # noqa: C901  # one line for each kind
    from photon_core.exchange import events

    match event:
        case events.DeploymentCreated():
            return "created", f"deposit {ptn(event.deposit_uptn)}, version {event.version.hex()[:16]}"
        case events.DeploymentFunded():
            return "funded", f"{ptn(event.amount_uptn)} by {encode_address(event.depositor)}"
        case events.DeploymentClosing():
            return "closing", f"{ptn(event.refunded_uptn)} came back"
        case events.DeploymentClosed():
            return "closed", ""
        case events.GroupPaused():
            return "paused", event.reason
        case events.GroupResumed():
            return "resumed", ""
        case events.GroupClosed():
            return "group-closed", "it is not ordered again"
        case events.OrderOpened():
            return "ordered", f"at most {per_hour(event.max_price)}, collateral {ptn(event.collateral_uptn)}"
        case events.OrderPhaseChanged():
            return "order-phase", event.phase
        case events.OrderExpired():
            return "no-winner", event.reason
        case events.BidPlaced():
            return "bid", f"{per_hour(event.price)} by {encode_address(event.provider)}"
        case events.BidEnded():
            return "bid-ended", f"of {encode_address(event.provider)}: {event.reason}"
        case events.LeaseCreated():
            return "leased", f"{encode_address(event.provider)} wins at {per_hour(event.price)}"
        case events.LeaseStatusChanged():
            return word(event.status), event.reason
        case events.LeaseClosing():
            return "lease-ended", f"{word(event.reason)}, paid {ptn(event.paid_uptn)}"
        case events.LeaseClosed():
            forfeited = event.collateral_forfeited_uptn
            return "lease-closed", f"{ptn(forfeited)} of collateral came to you" if forfeited else ""
        case events.PaidOut():
            return "paid-out", f"{ptn(event.amount_uptn)} to {encode_address(event.provider)}"
        case events.Transferred() | events.ProviderChanged():
            return word(type(event).__name__), ""
        case _:
            assert_never(event)
