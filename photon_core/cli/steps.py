"""A deployment's steps (`photon_core/tenant/steps.py`) as lines that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from photon_core.api.bech32m import encode_address
from photon_core.cli.amounts import per_hour, ptn

if TYPE_CHECKING:
    from photon_core.peers.methods import Endpoint
    from photon_core.tenant.steps import Step


def step_text(step: Step) -> str:  # noqa: C901  # one line for each kind
    """One line."""
    from photon_core.tenant import steps

    match step:
        case steps.Ordered():
            terms = f"at most {per_hour(step.max_price)}, collateral {ptn(step.collateral_uptn)}"
            return f"order {step.order} opened: {terms}"
        case steps.BidCame():
            return f"bid of {encode_address(step.provider)} for {step.order}: {per_hour(step.price)}"
        case steps.NobodyWon():
            return f"order {step.order} ended without a winner: {step.reason}"
        case steps.Leased():
            return f"lease {step.lease}: {encode_address(step.provider)} wins at {per_hour(step.price)}"
        case steps.DeliveryWaits():
            return f"lease {step.lease}: the manifest is not delivered yet, trying again: {step.reason}"
        case steps.DeliveryFailed():
            return f"lease {step.lease}: the manifest cannot be delivered: {step.reason}"
        case steps.ManifestDelivered():
            by = "" if step.by_us else " (by the keeper)"
            to = encode_address(step.provider)
            return f"lease {step.lease}: manifest delivered to {to}{by}, its hash is the one on chain"
        case steps.VersionChanged():
            return f"deployment {step.deployment} updated on chain: version {step.version.hex()}"
        case steps.WorkloadChanged():
            reason = f": {step.reason}" if step.reason else ""
            return f"lease {step.lease}: {word(step.status)}{reason}"
        case steps.Serving():
            return f"lease {step.lease}: serving{' again' if step.again else ''}{_at(step.endpoints)}"
        case steps.LeaseEnded():
            why = f": {step.why}" if step.why else ""
            return f"lease {step.lease} ended ({word(step.reason)}{why}), paid {ptn(step.paid_uptn)}"
        case steps.Paused():
            return f"group {step.group} is paused: {step.reason}"
        case steps.Ended():
            return f"deployment {step.deployment} closed, {ptn(step.refunded_uptn)} came back"
        case _:
            assert_never(step)


def word(choice: object) -> str:
    """An enum's member in small letters: `workload-fault`."""
    return str(getattr(choice, "name", choice)).lower().replace("_", "-")


def endpoint_text(endpoint: Endpoint) -> str:
    """How to reach it, such as `web:80 at http://127.0.0.1:8080 (Host: web.1-0-0.photon.internal)`."""
    from photon_core.manifest.records import Protocol

    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    where = f"{host}:{endpoint.external_port}"
    if endpoint.protocol is Protocol.HTTP:
        where = f"http://{where}" + (f" (Host: {endpoint.hostnames[0]})" if endpoint.hostnames else "")
    return f"{endpoint.service}:{endpoint.port} at {where}"


def _at(endpoints: tuple[Endpoint, ...]) -> str:
    return ": " + ", ".join(map(endpoint_text, endpoints)) if endpoints else ""
