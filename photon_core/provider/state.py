"""The little that the agent must remember between runs: what it last acted on, and which names and ports are taken.

`state.json` in the agent's folder, replaced atomically. Everything else is found again on chain and in the runtime.
"""

from __future__ import annotations

import json
from pathlib import Path

from attrs import frozen

from photon_core.api.errors import PhotonError
from photon_core.api.ids import Hash
from photon_core.chain.files import write_atomically

from .network import claims
from .network.claims import Claims

FORMAT = 1


@frozen(kw_only=True)
class State:
    """`mark`: the highest height that was acted on."""

    chain_id: Hash
    mark: int = 0
    claims: Claims = Claims()


def load(path: Path, chain_id: Hash) -> State:
    """A new state when there is none; PhotonError when it cannot be read, or belongs to another chain."""
    try:
        raw = path.read_text()
    except FileNotFoundError:
        return State(chain_id=chain_id)
    try:
        body = json.loads(raw)
        if body["format"] != FORMAT:
            raise ValueError(f"format {body['format']}")
        found = State(
            chain_id=bytes.fromhex(body["chain_id"]), mark=int(body["mark"]), claims=claims.from_json(body["claims"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PhotonError(
            code="damaged-state",
            what=f"the agent's state cannot be read ({error!r})",
            where=str(path),
            remedy="move the file away: workloads are found again, hostnames and TCP ports may change hands",
        ) from None
    if found.chain_id != chain_id:
        raise PhotonError(
            code="wrong-chain",
            what="this home belongs to a provider of another chain",
            where=str(path),
            expected=chain_id.hex(),
            found=found.chain_id.hex(),
            remedy="use another home for this chain",
        )
    return found


def save(path: Path, state: State) -> None:
    body = {
        "format": FORMAT,
        "chain_id": state.chain_id.hex(),
        "mark": state.mark,
        "claims": claims.to_json(state.claims),
    }
    write_atomically(path, json.dumps(body, indent=1).encode(), 0o600)
