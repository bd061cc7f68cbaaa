"""What the running agent last saw, as a file for `photon provider status`: no further port to listen on or protect.

Rewritten when it changed, at most once a second; the time in it says how old it is, and `run.json` whether the agent
lives. Nothing secret: no environment, no manifest.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import trio

from photon_core.api import fields
from photon_core.api.bech32m import encode_address
from photon_core.api.resources import Resources
from photon_core.chain.files import write_atomically
from photon_core.node.views import LeaseDetail

from .driver import Agent
from .report import lease_report

log = logging.getLogger(__name__)

WRITE_EVERY_S = 1.0
STATUS_FILE = "status.json"


def status_document(agent: Agent) -> dict[str, Any]:
    """The JSON of `photon provider status --output json`, but for whether the agent lives."""
    view, parts = agent.view, agent.parts
    body: dict[str, Any] = {
        "provider": encode_address(parts.provider),
        "operator": encode_address(parts.sender.address),
        "node": parts.node.url,
        "problem": agent.problem,
        "last_refusal": agent.envoy.last_problem if agent.envoy else "",
    }
    if view is None:
        return body
    stock = agent.desk.stock(view, agent.capacity)
    return body | {
        "height": view.height,
        "balance_uptn": view.balance_uptn,
        "attributes": dict(view.provider.attributes),
        "capacity": _amounts(stock.capacity),
        "leased": _amounts(stock.leased),
        "bid_for": _amounts(stock.bid_for),
        "free": _amounts(stock.free),
        "confirmed_at_ms": agent.envoy.confirmed_at_ms if agent.envoy else 0,
        "leases": [_lease(agent, detail) for detail in view.leases],
        "bids": [
            {"order": str(order.order.id), "price": bid.price, "collateral_uptn": bid.collateral_uptn}
            for order in view.open_bids()
            for bid in order.bids
            if bid.provider == parts.provider
        ],
        "no_bids": [
            {"order": str(order), "why": str(no.why), "reason": no.reason} for order, no in agent.desk.reasons.items()
        ],
    }


async def keep_written(agent: Agent, folder: Path) -> None:
    """What a full disk keeps from being written is tried again: it is a report, and nothing depends on it."""
    last, failed = b"", ""
    while True:
        body = status_document(agent)
        data = json.dumps(body, indent=1).encode()
        if data != last:
            stamped = json.dumps({"written_ms": agent.parts.now_ms(), **body}, indent=1).encode()
            try:
                await trio.to_thread.run_sync(write_atomically, folder / STATUS_FILE, stamped, 0o600)
                last, failed = data, ""
            except OSError as error:
                if str(error) != failed:
                    log.warning("the status cannot be written: %s", error)
                failed = str(error)
        await trio.sleep(WRITE_EVERY_S)


def read_status(folder: Path) -> dict[str, Any] | None:
    """None when no agent ever ran here, or the file is none of ours."""
    try:
        body = json.loads((folder / STATUS_FILE).read_text())
    except (OSError, ValueError):
        return None
    return body if isinstance(body, dict) else None


def _lease(agent: Agent, detail: LeaseDetail) -> dict[str, Any]:
    return fields.to_json(lease_report(agent, detail)) | {
        "state": detail.lease.state.name.lower(),
        "price": detail.lease.price,
        "earned_uptn": detail.earned_uptn,
        "connections": agent.fabric.connections(detail.lease.id) if agent.fabric else 0,
    }


def _amounts(resources: Resources) -> dict[str, int]:
    return {
        "cpu_milli": resources.cpu_milli,
        "memory_bytes": resources.memory_bytes,
        "storage_bytes": resources.storage_bytes,
    }
